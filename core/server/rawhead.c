/* SPDX-License-Identifier: MIT */
/* The head of raw CGI output (RFC 3875, 6.2): it is held until its empty line
   has come, and judged as the headers of fcgi_request_start are. */
#include "gateway/head.h"
#include "server/request.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <string.h>

enum { HEAD_MOST = 262144 }; /* No web server takes a longer one. */

/* One field of a head, or what is none. */
typedef struct line {
  fcgi_header field; /* Its name is empty where there is no colon. */
  const char *begin; /* The whole of it, */
  size_t len;        /* with the lines that continue it. */
} line;

static int is_blank(char at) {
  return at == ' ' || at == '\t';
}

/* The end of the line at `at`, behind its newline. */
static const char *line_end(const char *at, const char *end) {
  const char *newline = memchr(at, '\n', (size_t)(end - at));
  return newline ? newline + 1 : end;
}

/* Name and value; blanks around them are no part. */
static void split(line *out, const char *end) {
  const char *colon = memchr(out->begin, ':', (size_t)(end - out->begin));
  const char *name = colon, *value = colon ? colon + 1 : end;
  while (name && name > out->begin && is_blank(name[-1]))
    name--;
  while (value < end && is_blank(*value))
    value++;
  while (end > value && (end[-1] == '\n' || end[-1] == '\r'))
    end--;
  out->field = (fcgi_header){out->begin, name ? (size_t)(name - out->begin) : 0,
                             value, (size_t)(end - value)};
}

/* 1 and the field at `*at`, which moves behind it; 0 at the end. */
static int next(const char **at, const char *end, line *out) {
  const char *first, *last;
  if (*at == end)
    return 0;
  first = last = line_end(*at, end);
  while (last < end && is_blank(*last))
    last = line_end(last, end);
  out->begin = *at;
  out->len = (size_t)(last - *at);
  split(out, first);
  *at = last;
  return 1;
}

/* The three digits of "404 Nope", or 0. */
static int parse_status(const fcgi_header *field) {
  int number = 0;
  if (field->value_len < 3 || (field->value_len > 3 && field->value[3] >= '0' &&
                               field->value[3] <= '9'))
    return 0;
  for (size_t i = 0; i < 3; i++) {
    if (field->value[i] < '0' || field->value[i] > '9')
      return 0;
    number = number * 10 + (field->value[i] - '0');
  }
  return number;
}

static fcgi__head_fault take(fcgi__head *head, const fcgi_header *field) {
  int64_t length;
  switch (fcgi__field_of(field->name, field->name_len)) {
  case FCGI__FIELD_STATUS:
    head->status = parse_status(field);
    return head->status < 200 ? FCGI__HEAD_STATUS : FCGI__HEAD_GOOD;
  case FCGI__FIELD_LENGTH:
    length = fcgi__length_parse(field->value, field->value_len);
    head->drops |= head->length >= 0;
    if (length < 0)
      return FCGI__HEAD_LENGTH;
    if (head->length >= 0 && head->length != length)
      return FCGI__HEAD_LENGTHS;
    head->length = length;
    break;
  case FCGI__FIELD_HOP:
    head->hops |= fcgi__hop_bit(field->name, field->name_len);
    head->drops = 1;
    break;
  case FCGI__FIELD_OTHER:
    break;
  }
  return FCGI__HEAD_GOOD;
}

/* What cannot be sent so: the line is told now, and the end is a 500. */
static int refuse(fcgi_request *request, const fcgi__head *head,
                  fcgi__head_fault fault) {
  char why[FCGI__WHY];
  fcgi__head_explain(head, fault, HEAD_MOST, why, sizeof why);
  fcgi__request_tell(request, why, ", so the client gets 500");
  request->broken = 1;
  return FCGI_ERR_INVALID;
}

/* A NUL, or a CR that ends no line: servers do not agree on where the field
   ends then. */
static int is_broken(const line *one) {
  const char *at = one->begin, *end = one->begin + one->len;
  if (memchr(at, '\0', one->len))
    return 1;
  while ((at = memchr(at, '\r', (size_t)(end - at))) != NULL)
    if (++at == end || *at != '\n')
      return 1;
  return 0;
}

static int judge(fcgi_request *request, const char *data, size_t len,
                 fcgi__head *head) {
  const char *at = data;
  line one;
  *head = (fcgi__head){.status = 200, .length = -1};
  while (next(&at, data + len, &one)) {
    fcgi__head_fault fault =
        is_broken(&one) ? FCGI__HEAD_VALUE : take(head, &one.field);
    head->culprit = &one.field;
    if (fault)
      return refuse(request, head, fault);
  }
  head->culprit = NULL;
  head->drops |= head->status == 204 && head->length >= 0;
  return 0;
}

/* Put the head without the fields that are left out; of Content-Length, the
   first one stays. */
static int put_kept(fcgi_request *request, const char *data, size_t len,
                    const fcgi__head *head) {
  const char *at = data;
  int error = 0, lengths = head->status == 204;
  line one;
  while (!error && next(&at, data + len, &one)) {
    fcgi__field field = fcgi__field_of(one.field.name, one.field.name_len);
    if (field == FCGI__FIELD_HOP || (field == FCGI__FIELD_LENGTH && lengths++))
      continue;
    error = fcgi__request_put(request, one.begin, one.len);
  }
  return error;
}

/* The head is whole. */
static int let_go(fcgi_request *request, const char *data, size_t len) {
  fcgi__head head;
  int error = judge(request, data, len, &head);
  if (error)
    return error;
  if (head.hops)
    fcgi__request_dropped(request, head.hops);
  if (request->observed.tally.counted)
    fcgi__tally_raw(&request->observed.tally, data, len);
  request->answer = FCGI__ANSWER_RAW;
  if (fcgi__status_has_no_body(head.status))
    request->head_only = 1;
  request->body_left = head.length;
  return head.drops ? put_kept(request, data, len, &head)
                    : fcgi__request_put(request, data, len);
}

/* Bytes up to the empty line and with it; lines may end in LF alone. */
size_t fcgi__raw_scan(fcgi_request *request, const char *data, size_t len) {
  size_t at = 0;
  while (at < len && !request->head_seen) {
    if (request->head_line) {
      request->head_seen = data[at] == '\n';
      request->head_line = data[at] == '\n' || data[at] == '\r';
      at++;
    } else {
      const char *end = memchr(data + at, '\n', len - at);
      request->head_line = end != NULL;
      at = end ? (size_t)(end - data) + 1 : len;
    }
  }
  return at;
}

/* The byte before the one at `at`, or NUL. */
static char before(const fcgi_request *request, const char *data, size_t at) {
  const fcgi__buffer *head = &request->head;
  if (at > 0)
    return data[at - 1];
  return head->len > 0 ? (char)head->data[head->len - 1] : '\0';
}

/* Whether the first line is a field, or empty: 1, 0 not yet known, -1 no.
   Blanks before the colon are no part of a name, here as in split. */
static int look(fcgi_request *request, const char *data, size_t len) {
  for (size_t i = 0; i < len && !request->head_named; i++) {
    int first = request->head.len + i == 0;
    if ((data[i] == ':' && !first) ||
        ((data[i] == '\r' || data[i] == '\n') && first))
      request->head_named = 1;
    else if (is_blank(data[i]) ? first
                               : !fcgi__is_token(data[i]) ||
                                     is_blank(before(request, data, i)))
      return -1;
  }
  return request->head_named;
}

/* A field that a line before it would continue. */
static int begins_badly(const fcgi_request *request, const char *data,
                        size_t len) {
  return request->head.len == 0 && len > 0 && is_blank(*data);
}

static int refuse_begin(fcgi_request *request) {
  static const fcgi_header blank = {"", 0, "", 0};
  const fcgi__head head = {.status = 200, .culprit = &blank};
  return refuse(request, &head, FCGI__HEAD_NAME);
}

/* A role of the program's own writes what it likes. */
static int is_cgi(const fcgi_request *request) {
  return request->role->number <= FCGI_ROLE_FILTER;
}

static int hold(fcgi_request *request, const char *data, size_t len) {
  static const fcgi__head nothing = {.status = 200};
  size_t before = request->head.cap;
  int error;
  if (len > HEAD_MOST - request->head.len)
    return refuse(request, &nothing, FCGI__HEAD_LONG);
  error = fcgi__buffer_append(
      &request->head, &request->connection->server->allocator, data, len);
  fcgi__connection_hold(request->connection, before, request->head.cap);
  return error;
}

static void forget_head(fcgi_request *request) {
  fcgi__connection_hold(request->connection, request->head.cap, 0);
  fcgi__buffer_clear(&request->head, &request->connection->server->allocator);
}

int fcgi__raw_release(fcgi_request *request) {
  fcgi__buffer *head = &request->head;
  int error = 0;
  request->answer = FCGI__ANSWER_RAW;
  if (head->len > 0)
    error = fcgi__request_put(request, head->data, head->len);
  forget_head(request);
  return error;
}

ptrdiff_t fcgi__raw_head(fcgi_request *request, const char *data, size_t len) {
  const fcgi__buffer *head = &request->head;
  size_t part;
  int error = 0;
  if (request->broken)
    return FCGI_ERR_INVALID;
  if (is_cgi(request) && begins_badly(request, data, len))
    return refuse_begin(request);
  if (!is_cgi(request) || look(request, data, len) < 0) {
    if (request->observed.tally.counted)
      fcgi__tally_raw(&request->observed.tally, data, len);
    return fcgi__raw_release(request);
  }
  request->answer = FCGI__ANSWER_HELD;
  part = fcgi__raw_scan(request, data, len);
  if (head->len > 0 || !request->head_seen)
    error = hold(request, data, part);
  if (error)
    return error;
  if (request->head_seen && head->len > 0)
    error = let_go(request, (const char *)head->data, head->len);
  else if (request->head_seen)
    error = let_go(request, data, part);
  if (request->head_seen)
    forget_head(request);
  return error ? error : (ptrdiff_t)part;
}
