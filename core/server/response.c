/* SPDX-License-Identifier: MIT */
/* The head of an answer, as CGI has it (RFC 3875, 6.3). */
#include "gateway/head.h"
#include "server/overdue.h"
#include "server/request.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <string.h>

enum {
  NUMBER_ROOM = 20,  /* The digits of any size_t. */
  HEAD_ROOM = 128,   /* What an answer has beside its own headers and body. */
  SMALL_HEAD = 1024, /* Made on the stack. */
  TOGETHER = 8192    /* A body up to this size is copied with its head. */
};

/* What a status is called, as the end of a line. */
typedef struct line {
  int status;       /* The number. */
  uint8_t len;      /* Bytes of the text. */
  const char *text; /* The number, the reason and CRLF. */
} line;

#define LINE(status, reason)                                                   \
  { status, sizeof #status " " reason "\r\n" - 1, #status " " reason "\r\n" }

static const line lines[] = {
    LINE(100, "Continue"),
    LINE(101, "Switching Protocols"),
    LINE(102, "Processing"),
    LINE(103, "Early Hints"),
    LINE(200, "OK"),
    LINE(201, "Created"),
    LINE(202, "Accepted"),
    LINE(203, "Non-Authoritative Information"),
    LINE(204, "No Content"),
    LINE(205, "Reset Content"),
    LINE(206, "Partial Content"),
    LINE(207, "Multi-Status"),
    LINE(208, "Already Reported"),
    LINE(226, "IM Used"),
    LINE(300, "Multiple Choices"),
    LINE(301, "Moved Permanently"),
    LINE(302, "Found"),
    LINE(303, "See Other"),
    LINE(304, "Not Modified"),
    LINE(307, "Temporary Redirect"),
    LINE(308, "Permanent Redirect"),
    LINE(400, "Bad Request"),
    LINE(401, "Unauthorized"),
    LINE(402, "Payment Required"),
    LINE(403, "Forbidden"),
    LINE(404, "Not Found"),
    LINE(405, "Method Not Allowed"),
    LINE(406, "Not Acceptable"),
    LINE(407, "Proxy Authentication Required"),
    LINE(408, "Request Timeout"),
    LINE(409, "Conflict"),
    LINE(410, "Gone"),
    LINE(411, "Length Required"),
    LINE(412, "Precondition Failed"),
    LINE(413, "Content Too Large"),
    LINE(414, "URI Too Long"),
    LINE(415, "Unsupported Media Type"),
    LINE(416, "Range Not Satisfiable"),
    LINE(417, "Expectation Failed"),
    LINE(421, "Misdirected Request"),
    LINE(422, "Unprocessable Content"),
    LINE(423, "Locked"),
    LINE(424, "Failed Dependency"),
    LINE(425, "Too Early"),
    LINE(426, "Upgrade Required"),
    LINE(428, "Precondition Required"),
    LINE(429, "Too Many Requests"),
    LINE(431, "Request Header Fields Too Large"),
    LINE(451, "Unavailable For Legal Reasons"),
    LINE(500, "Internal Server Error"),
    LINE(501, "Not Implemented"),
    LINE(502, "Bad Gateway"),
    LINE(503, "Service Unavailable"),
    LINE(504, "Gateway Timeout"),
    LINE(505, "HTTP Version Not Supported"),
    LINE(507, "Insufficient Storage"),
    LINE(508, "Loop Detected"),
    LINE(511, "Network Authentication Required"),
};

static const line *line_of(int status) {
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    if (lines[i].status == status)
      return &lines[i];
  return NULL;
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

static uint8_t *put_header(uint8_t *at, const fcgi_header *header) {
  at = put(at, header->name, header->name_len);
  at = put(at, ": ", 2);
  at = put(at, header->value, header->value_len);
  return put(at, "\r\n", 2);
}

static uint8_t *put_status(uint8_t *at, int status, const fcgi_header *given) {
  const line *known;
  if (given)
    return put_header(at, given);
  at = put(at, "Status: ", 8);
  known = line_of(status);
  if (known)
    return put(at, known->text, known->len);
  at = put_number(at, (size_t)status);
  return put(at, " Unknown\r\n", 10);
}

static uint8_t *put_length(uint8_t *at, size_t length) {
  at = put(at, "Content-Length: ", 16);
  at = put_number(at, length);
  return put(at, "\r\n", 2);
}

/* What an answer says before its body, and the body where it is short. */
typedef struct start {
  fcgi__head head;      /* As judged. */
  const size_t *length; /* For a Content-Length that is added, or NULL. */
  const void *data;     /* The body, to go in the same write. */
  size_t len;           /* Bytes of it. */
  uint8_t later;        /* 1: 503 in place of 500, and Retry-After. */
} start;

/* A whole body of `length` bytes, or -1; without one for HEAD, and where
   Content-Length tells of another answer's (RFC 9110, 8.6). */
static fcgi__head_fault judge(const fcgi_request *request, fcgi__head *head,
                              int64_t length) {
  fcgi__head_fault fault = fcgi__head_judge(head);
  if (!fault && length >= 0 && head->length_at && head->length != length &&
      !request->out.bodiless && head->status != 304)
    fault = FCGI__HEAD_BODY;
  return fault;
}

int fcgi_request_check_answer(const fcgi_request *request, int status,
                              const fcgi_header *headers, size_t count,
                              int64_t length, char *why, size_t size) {
  fcgi__head head = {.status = status, .headers = headers, .count = count};
  fcgi__head_fault fault = judge(request, &head, length);
  fcgi__head_explain(&head, fault, length, why, size);
  return fault ? FCGI_ERR_INVALID : 0;
}

static int check_start(const fcgi_request *request) {
  int error = fcgi__request_check(request);
  if (error)
    return error;
  return request->out.answer == FCGI__ANSWER_NONE ? 0 : FCGI_ERR_STATE;
}

/* Room for all of it: at most so many bytes. */
static size_t size_of(const start *of) {
  size_t size = HEAD_ROOM + of->len;
  for (size_t i = 0; i < of->head.count; i++)
    size += of->head.headers[i].name_len + of->head.headers[i].value_len + 4;
  return size;
}

static const fcgi_header retry_after = {"Retry-After", 11, "1", 1};

/* Status comes last: HAProxy 2.6 turns any status into 302 when Location
   follows it. An authorizer's comes first: lighttpd takes what precedes it for
   part of a yes, and drops it. */
static uint8_t *put_all(uint8_t *at, const start *of, int status_first) {
  const fcgi__head *head = &of->head;
  const fcgi_header *status = of->later ? NULL : head->status_at;
  if (status_first)
    at = put_status(at, head->status, status);
  for (size_t i = 0; i < head->count; i++)
    if (&head->headers[i] != head->status_at &&
        !fcgi__head_drops(head, &head->headers[i]))
      at = put_header(at, &head->headers[i]);
  if (of->length)
    at = put_length(at, *of->length);
  if (of->later)
    at = put_header(at, &retry_after);
  if (!status_first)
    at = put_status(at, head->status, status);
  at = put(at, "\r\n", 2);
  return !fcgi_status_has_body(head->status) ? at : put(at, of->data, of->len);
}

void fcgi__request_dropped(const fcgi_request *request, uint32_t hops) {
  fcgi_server *server = request->connection->server;
  hops &= ~atomic_fetch_or(&server->dropped, hops);
  for (uint32_t bit = 1; hops; hops &= ~bit, bit <<= 1)
    if (hops & bit)
      fcgi__server_log(server, FCGI_LOG_WARNING,
                       "an application sets header %s, which is the web "
                       "server's to set: it is left out (told once)",
                       fcgi__hop_name(bit));
}

/* A short body stands behind the head. */
static void observe_head(fcgi_request *request, const start *of,
                         const uint8_t *bytes, size_t len) {
  int status = of->head.status;
  size_t head = !fcgi_status_has_body(status) ? len : len - of->len;
  fcgi__observe_head(&request->connection->server->observer, &request->observed,
                     status, bytes, head, head);
}

/* A handler that fails for want of a resource has not failed for good, and
   frameworks make a 500 of every failure. */
static void say_later(fcgi_request *request, start *of) {
  if (of->head.status != 500 || !atomic_load(&request->holder.wanted))
    return;
  of->head.status = 503;
  of->later = 1;
  fcgi__request_tell_unavailable(request);
}

/* Put it on STDOUT, in one write. */
static int write_head(fcgi_request *request, start *of) {
  const fcgi_allocator *allocator = &request->connection->server->allocator;
  size_t size = size_of(of);
  uint8_t small[SMALL_HEAD], *end, *bytes = small;
  int error;
  say_later(request, of);
  if (size > sizeof small)
    bytes = fcgi__realloc(allocator, NULL, size);
  if (!bytes)
    return FCGI_ERR_NOMEM;
  end = put_all(bytes, of, fcgi__request_is_authorizer(request));
  error = fcgi__request_put(request, bytes, (size_t)(end - bytes));
  if (!error) {
    observe_head(request, of, bytes, (size_t)(end - bytes));
    fcgi__request_head_out(request, FCGI__ANSWER_BODY);
  }
  if (!fcgi_status_has_body(of->head.status))
    request->out.bodiless = 1;
  if (of->head.hops)
    fcgi__request_dropped(request, of->head.hops);
  if (bytes != small)
    fcgi__free(allocator, bytes);
  return error;
}

static int start_answer(fcgi_request *request, int status,
                        const fcgi_header *headers, size_t count) {
  start begun = {
      .head = {.status = status, .headers = headers, .count = count}};
  int error = check_start(request);
  if (!error && fcgi__head_judge(&begun.head))
    error = FCGI_ERR_INVALID;
  if (!error)
    error = write_head(request, &begun);
  if (!error && begun.head.length_at)
    request->out.left = begun.head.length;
  return error;
}

int fcgi_request_start(fcgi_request *request, int status,
                       const fcgi_header *headers, size_t count) {
  int error;
  if (fcgi__request_is_other(request))
    return FCGI_ERR_STATE;
  fcgi__connection_lock(request->connection);
  error = start_answer(request, status, headers, count);
  fcgi__connection_unlock(request->connection);
  return error;
}

static int reply_body(fcgi_request *request, const void *data, size_t len) {
  ptrdiff_t done;
  if (len == 0 || request->out.bodiless)
    return 0;
  if (request->timeout_ms == 0) /* Nobody may wait: all of it is queued. */
    return fcgi__request_put(request, data, len);
  done = fcgi__request_write(request, data, len);
  if (done >= 0 && (size_t)done < len)
    return FCGI_ERR_TIMEOUT;
  return done < 0 ? (int)done : 0;
}

/* The caller may not look at what is returned, and its client gets 500. */
static void tell_refused(const fcgi_request *request, const fcgi__head *head,
                         fcgi__head_fault fault, size_t len) {
  char why[FCGI__WHY];
  fcgi__head_explain(head, fault, (int64_t)len, why, sizeof why);
  fcgi__request_tell(request, why, ", so the client gets 500");
}

/* Head and body in one write where the body is short; then the end. RFC 9110,
   8.6: no length for answers that never have a body. */
static int respond(fcgi_request *request, start *whole, const void *data,
                   size_t len) {
  fcgi__head_fault fault = judge(request, &whole->head, (int64_t)len);
  int error = fault ? FCGI_ERR_INVALID : 0;
  if (fault)
    tell_refused(request, &whole->head, fault, len);
  if (!whole->head.length_at && !!fcgi_status_has_body(whole->head.status))
    whole->length = &len;
  whole->data = data;
  whole->len = request->out.bodiless || len > TOGETHER ? 0 : len;
  if (!error)
    error = write_head(request, whole);
  if (!error && whole->len == 0)
    error = reply_body(request, data, len);
  return error;
}

int fcgi__request_respond(fcgi_request *request, int status,
                          const fcgi_header *headers, size_t count,
                          const void *data, size_t len) {
  start whole = {
      .head = {.status = status, .headers = headers, .count = count}};
  int error = check_start(request);
  if (!error)
    error = respond(request, &whole, data, len);
  if (!error)
    return fcgi__request_end(request, 0);
  /* A second 500 after a failed one would only fail the same way. */
  if (status == 500 && request->out.answer == FCGI__ANSWER_NONE &&
      error != FCGI_ERR_INVALID)
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

/* An answer that the program gives in one call. */
typedef struct whole_answer {
  int status;                 /* The HTTP status. */
  const fcgi_header *headers; /* Its headers. */
  size_t count;               /* How many headers. */
  const void *data;           /* The body. */
  size_t len;                 /* Bytes of the body. */
} whole_answer;

static int respond_by_program(fcgi_request *request, const void *data) {
  const whole_answer *whole = data;
  return fcgi__request_respond(request, whole->status, whole->headers,
                               whole->count, whole->data, whole->len);
}

int fcgi_request_reply(fcgi_request *request, int status,
                       const char *content_type, const void *data, size_t len) {
  const fcgi_header type = {"Content-Type", 12, content_type,
                            content_type ? strlen(content_type) : 0};
  const whole_answer whole = {status, &type, content_type ? 1 : 0, data, len};
  return fcgi__request_end_with(request, respond_by_program, &whole);
}

int fcgi_request_respond(fcgi_request *request, int status,
                         const fcgi_header *headers, size_t count,
                         const void *data, size_t len) {
  const whole_answer whole = {status, headers, count, data, len};
  return fcgi__request_end_with(request, respond_by_program, &whole);
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
    error = start_answer(request, 200, headers, count);
  fcgi__free(allocator, headers);
  if (!error)
    return fcgi__request_end(request, 0);
  fcgi__request_fail(request);
  return error;
}

static int allow_by_program(fcgi_request *request, const void *data) {
  const whole_answer *variables = data;
  return allow(request, variables->headers, variables->count);
}

int fcgi_request_allow(fcgi_request *request, const fcgi_header *variables,
                       size_t count) {
  const whole_answer whole = {.headers = variables, .count = count};
  return fcgi__request_end_with(request, allow_by_program, &whole);
}
