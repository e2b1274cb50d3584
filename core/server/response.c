/* SPDX-License-Identifier: MIT */
/* The head of an answer, as CGI has it (RFC 3875, 6.3). */
#include "server/request.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <string.h>
#include <strings.h>

enum {
  NUMBER_ROOM = 20,  /* The digits of any size_t. */
  HEAD_ROOM = 128,   /* What an answer has beside its own headers and body. */
  SMALL_HEAD = 1024, /* Made on the stack. */
  TOGETHER = 8192    /* A body up to this size is copied with its head. */
};

static const struct {
  int status;
  const char *reason;
} reasons[] = {{100, "Continue"},
               {101, "Switching Protocols"},
               {102, "Processing"},
               {103, "Early Hints"},
               {200, "OK"},
               {201, "Created"},
               {202, "Accepted"},
               {203, "Non-Authoritative Information"},
               {204, "No Content"},
               {205, "Reset Content"},
               {206, "Partial Content"},
               {207, "Multi-Status"},
               {208, "Already Reported"},
               {226, "IM Used"},
               {300, "Multiple Choices"},
               {301, "Moved Permanently"},
               {302, "Found"},
               {303, "See Other"},
               {304, "Not Modified"},
               {307, "Temporary Redirect"},
               {308, "Permanent Redirect"},
               {400, "Bad Request"},
               {401, "Unauthorized"},
               {402, "Payment Required"},
               {403, "Forbidden"},
               {404, "Not Found"},
               {405, "Method Not Allowed"},
               {406, "Not Acceptable"},
               {407, "Proxy Authentication Required"},
               {408, "Request Timeout"},
               {409, "Conflict"},
               {410, "Gone"},
               {411, "Length Required"},
               {412, "Precondition Failed"},
               {413, "Content Too Large"},
               {414, "URI Too Long"},
               {415, "Unsupported Media Type"},
               {416, "Range Not Satisfiable"},
               {417, "Expectation Failed"},
               {421, "Misdirected Request"},
               {422, "Unprocessable Content"},
               {423, "Locked"},
               {424, "Failed Dependency"},
               {425, "Too Early"},
               {426, "Upgrade Required"},
               {428, "Precondition Required"},
               {429, "Too Many Requests"},
               {431, "Request Header Fields Too Large"},
               {451, "Unavailable For Legal Reasons"},
               {500, "Internal Server Error"},
               {501, "Not Implemented"},
               {502, "Bad Gateway"},
               {503, "Service Unavailable"},
               {504, "Gateway Timeout"},
               {505, "HTTP Version Not Supported"},
               {507, "Insufficient Storage"},
               {508, "Loop Detected"},
               {511, "Network Authentication Required"}};

static const char *reason_of(int status) {
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (reasons[i].status == status)
      return reasons[i].reason;
  return "Unknown";
}

/* RFC 9110, 6.4.1. */
static int has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

/* A character of a token, RFC 9110, 5.6.2. */
static int is_token(char at) {
  static const char marks[] = "!#$%&'*+-.^_`|~";
  return (at >= 'a' && at <= 'z') || (at >= 'A' && at <= 'Z') ||
         (at >= '0' && at <= '9') || (at && strchr(marks, at));
}

/* The CR, LF or NUL that would end the value too early, or NULL. */
static const char *find_break(const fcgi_header *header) {
  static const char breaks[] = {'\n', '\r', '\0'};
  const char *found = NULL;
  for (size_t i = 0; i < sizeof breaks && !found; i++)
    found = memchr(header->value, breaks[i], header->value_len);
  return found;
}

/* No value can end the head or begin another field (CVE-2024-24795). */
fcgi_header_fault fcgi_header_check(const fcgi_header *header, size_t *at) {
  size_t token = 0;
  const char *end;
  while (token < header->name_len && is_token(header->name[token]))
    token++;
  if (token < header->name_len || token == 0) {
    *at = token;
    return FCGI_HEADER_BAD_NAME;
  }
  end = find_break(header);
  if (!end)
    return FCGI_HEADER_GOOD;
  *at = (size_t)(end - header->value);
  return FCGI_HEADER_BAD_VALUE;
}

static int is_status(const fcgi_header *header) {
  return header->name_len == 6 && strncasecmp(header->name, "Status", 6) == 0;
}

static uint8_t *put(uint8_t *at, const void *data, size_t len) {
  if (len > 0)
    memcpy(at, data, len);
  return at + len;
}

static uint8_t *put_number(uint8_t *at, size_t number) {
  uint8_t digits[NUMBER_ROOM];
  size_t first = sizeof digits;
  do
    digits[--first] = (uint8_t)('0' + number % 10);
  while (number /= 10);
  return put(at, digits + first, sizeof digits - first);
}

/* "404 Nope" says the status of the call once more and a reason. */
static int is_line_of(const fcgi_header *header, int status) {
  uint8_t number[NUMBER_ROOM + 1];
  uint8_t *end = put(put_number(number, (size_t)status), " ", 1);
  size_t len = (size_t)(end - number);
  return header->value_len > len && memcmp(header->value, number, len) == 0;
}

/* The status line that the caller wrote itself, or NULL. */
static const fcgi_header *find_status(const fcgi_header *headers,
                                      size_t count) {
  for (size_t i = 0; i < count; i++)
    if (is_status(&headers[i]))
      return &headers[i];
  return NULL;
}

static uint8_t *put_header(uint8_t *at, const fcgi_header *header) {
  at = put(at, header->name, header->name_len);
  at = put(at, ": ", 2);
  at = put(at, header->value, header->value_len);
  return put(at, "\r\n", 2);
}

static uint8_t *put_status(uint8_t *at, int status, const fcgi_header *given) {
  const char *reason = reason_of(status);
  if (given)
    return put_header(at, given);
  at = put(at, "Status: ", 8);
  at = put_number(at, (size_t)status);
  at = put(at, " ", 1);
  at = put(at, reason, strlen(reason));
  return put(at, "\r\n", 2);
}

static uint8_t *put_length(uint8_t *at, size_t length) {
  at = put(at, "Content-Length: ", 16);
  at = put_number(at, length);
  return put(at, "\r\n", 2);
}

static int check_start(const fcgi_request *request, int status,
                       const fcgi_header *headers, size_t count) {
  const fcgi_header *given = find_status(headers, count);
  int error = fcgi__request_check(request);
  size_t at;
  if (error)
    return error;
  if (request->answer != FCGI__ANSWER_NONE)
    return FCGI_ERR_STATE;
  if (status < 100 || status > 599 || (given && !is_line_of(given, status)))
    return FCGI_ERR_INVALID;
  for (size_t i = 0; i < count; i++)
    if (fcgi_header_check(&headers[i], &at) ||
        (is_status(&headers[i]) && &headers[i] != given))
      return FCGI_ERR_INVALID;
  return 0;
}

/* lighttpd takes what precedes the Status of an authorizer's answer for part
   of a yes, and drops it. */
static int is_status_first(const fcgi_request *request) {
  return request->role->number == FCGI_ROLE_AUTHORIZER;
}

/* What an answer says before its body, and the body where it is short. */
typedef struct head {
  int status;                 /* Of HTTP, RFC 9110, 15. */
  const fcgi_header *headers; /* The caller's. */
  size_t count;               /* How many. */
  const fcgi_header *given;   /* The one among them that is Status, or NULL. */
  const size_t *length;       /* For Content-Length, or NULL. */
  const void *data;           /* The body, to go in the same write. */
  size_t len;                 /* How much. */
} head;

/* Room for all of it: at most so many bytes. */
static size_t size_of(const head *of) {
  size_t size = HEAD_ROOM + of->len;
  for (size_t i = 0; i < of->count; i++)
    size += of->headers[i].name_len + of->headers[i].value_len + 4;
  return size;
}

/* Status comes last: HAProxy 2.6 turns any status into 302 when Location
   follows it. */
static uint8_t *put_all(uint8_t *at, const head *of, int status_first) {
  if (status_first)
    at = put_status(at, of->status, of->given);
  for (size_t i = 0; i < of->count; i++)
    if (&of->headers[i] != of->given)
      at = put_header(at, &of->headers[i]);
  if (of->length)
    at = put_length(at, *of->length);
  if (!status_first)
    at = put_status(at, of->status, of->given);
  at = put(at, "\r\n", 2);
  return has_no_body(of->status) ? at : put(at, of->data, of->len);
}

/* Put it on STDOUT, in one write; `of->given` is found here. */
static int write_head(fcgi_request *request, head *of) {
  const fcgi_allocator *allocator = &request->connection->server->allocator;
  size_t size = size_of(of);
  uint8_t small[SMALL_HEAD], *end, *bytes = small;
  int error;
  of->given = find_status(of->headers, of->count);
  if (size > sizeof small)
    bytes = fcgi__realloc(allocator, NULL, size);
  if (!bytes)
    return FCGI_ERR_NOMEM;
  end = put_all(bytes, of, is_status_first(request));
  error = fcgi__request_put(request, bytes, (size_t)(end - bytes));
  if (!error) {
    request->answer = FCGI__ANSWER_BODY;
    request->tally.status = (uint16_t)of->status;
    fcgi__request_head_out(request);
  }
  if (has_no_body(of->status))
    request->head_only = 1;
  if (bytes != small)
    fcgi__free(allocator, bytes);
  return error;
}

int fcgi_request_start(fcgi_request *request, int status,
                       const fcgi_header *headers, size_t count) {
  int error;
  fcgi__connection_lock(request->connection);
  error = check_start(request, status, headers, count);
  if (!error)
    error = write_head(request, &(head){status, headers, count, .data = NULL});
  fcgi__connection_unlock(request->connection);
  return error;
}

static int reply_body(fcgi_request *request, const void *data, size_t len) {
  ptrdiff_t done;
  if (len == 0 || request->head_only)
    return 0;
  if (request->timeout_ms == 0) /* Nobody may wait: all of it is queued. */
    return fcgi__request_put(request, data, len);
  done = fcgi__request_write(request, data, len);
  if (done >= 0 && (size_t)done < len)
    return FCGI_ERR_TIMEOUT;
  return done < 0 ? (int)done : 0;
}

static int names_length(const fcgi_header *header) {
  return header->name_len == 14 &&
         strncasecmp(header->name, "Content-Length", 14) == 0;
}

/* RFC 9110, 8.6: no length for answers that never have a body. */
static int wants_length(int status, const fcgi_header *headers, size_t count) {
  if (has_no_body(status))
    return 0;
  for (size_t i = 0; i < count; i++)
    if (names_length(&headers[i]))
      return 0;
  return 1;
}

int fcgi__request_respond(fcgi_request *request, int status,
                          const fcgi_header *headers, size_t count,
                          const void *data, size_t len) {
  size_t together = request->head_only || len > TOGETHER ? 0 : len;
  int error = check_start(request, status, headers, count);
  if (!error)
    error = write_head(
        request,
        &(head){status, headers, count, .data = data, .len = together,
                .length = wants_length(status, headers, count) ? &len : NULL});
  if (!error && together == 0)
    error = reply_body(request, data, len);
  if (!error)
    return fcgi__request_end(request, 0);
  /* A second 500 after a failed one would only fail the same way. */
  if (status == 500 && request->answer == FCGI__ANSWER_NONE)
    fcgi__request_cut_off(request);
  else
    fcgi__request_fail(request);
  return error;
}

int fcgi__request_reply(fcgi_request *request, int status,
                        const char *content_type, const void *data,
                        size_t len) {
  const fcgi_header type = {"Content-Type", 12, content_type,
                            content_type ? strlen(content_type) : 0};
  return fcgi__request_respond(request, status, &type, content_type ? 1 : 0,
                               data, len);
}

int fcgi_request_reply(fcgi_request *request, int status,
                       const char *content_type, const void *data, size_t len) {
  fcgi__connection *connection = request->connection;
  int error;
  fcgi__connection_lock(connection);
  if (fcgi__request_leave(request))
    return FCGI_ERR_ABORTED;
  error = fcgi__request_reply(request, status, content_type, data, len);
  fcgi__connection_unlock(connection);
  return error;
}

int fcgi_request_respond(fcgi_request *request, int status,
                         const fcgi_header *headers, size_t count,
                         const void *data, size_t len) {
  fcgi__connection *connection = request->connection;
  int error;
  fcgi__connection_lock(connection);
  if (fcgi__request_leave(request))
    return FCGI_ERR_ABORTED;
  error = fcgi__request_respond(request, status, headers, count, data, len);
  fcgi__connection_unlock(connection);
  return error;
}

/* FastCGI 1.0, 6.3: "Variable-" before each name. One allocation holds the
   headers and then their names; NULL without memory. */
static fcgi_header *prefixed(const fcgi_allocator *allocator,
                             const fcgi_header *variables, size_t count) {
  static const char prefix[] = {'V', 'a', 'r', 'i', 'a', 'b', 'l', 'e', '-'};
  size_t size = count * sizeof(fcgi_header) + 1;
  for (size_t i = 0; i < count; i++)
    size += sizeof prefix + variables[i].name_len;
  fcgi_header *headers = fcgi__realloc(allocator, NULL, size);
  char *name = headers ? (char *)(headers + count) : NULL;
  for (size_t i = 0; headers && i < count; i++) {
    headers[i] = variables[i];
    headers[i].name = name;
    headers[i].name_len += sizeof prefix;
    memcpy(name, prefix, sizeof prefix);
    memcpy(name + sizeof prefix, variables[i].name, variables[i].name_len);
    name += headers[i].name_len;
  }
  return headers;
}

/* Nothing but the variables is of use to the web server. */
static int allow(fcgi_request *request, const fcgi_header *variables,
                 size_t count) {
  const fcgi_allocator *allocator = &request->connection->server->allocator;
  fcgi_header *headers = prefixed(allocator, variables, count);
  int error = headers ? 0 : FCGI_ERR_NOMEM;
  for (size_t i = 0; i < count && !error; i++)
    error = variables[i].name_len > 0 ? 0 : FCGI_ERR_INVALID;
  if (!error)
    error = check_start(request, 200, headers, count);
  if (!error)
    error = write_head(request, &(head){200, headers, count, .data = NULL});
  fcgi__free(allocator, headers);
  if (!error)
    return fcgi__request_end(request, 0);
  fcgi__request_fail(request);
  return error;
}

int fcgi_request_allow(fcgi_request *request, const fcgi_header *variables,
                       size_t count) {
  fcgi__connection *connection = request->connection;
  int error;
  fcgi__connection_lock(connection);
  if (fcgi__request_leave(request))
    return FCGI_ERR_ABORTED;
  error = allow(request, variables, count);
  fcgi__connection_unlock(connection);
  return error;
}
