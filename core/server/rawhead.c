/* SPDX-License-Identifier: MIT */
/* The head of raw CGI output (RFC 3875, 6.2) is held until its empty line has
   come, and judged as the headers of fcgi_request_start are. */
#include "gateway/rawhead.h"
#include "server/request.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <string.h>

enum { HEAD_MOST = 262144 }; /* No web server takes a longer one. */

static int is_blank(char at) {
  return at == ' ' || at == '\t';
}

/* What cannot be sent so: the line is told now, and the end is a 500. */
static int refuse(fcgi_request *request, const fcgi__head *head,
                  fcgi__head_fault fault) {
  char why[FCGI__WHY];
  fcgi__head_explain(head, fault, HEAD_MOST, why, sizeof why);
  fcgi__request_tell(request, why, ", so the client gets 500");
  request->out.broken = 1;
  return FCGI_ERR_INVALID;
}

/* Put the head without the fields that are left out; of Content-Length, the
   first one stays. */
static int put_kept(fcgi_request *request, const char *data, size_t len,
                    const fcgi__head *head, size_t *put) {
  const char *at = data;
  int error = 0, lengths = head->status == 204;
  fcgi__rawhead_field one;
  while (!error && fcgi__rawhead_next(&at, data + len, &one)) {
    fcgi__field field = fcgi__field_of(one.field.name, one.field.name_len);
    if (field == FCGI__FIELD_HOP || (field == FCGI__FIELD_LENGTH && lengths++))
      continue;
    error = fcgi__request_put(request, one.begin, one.len);
    *put += one.len;
  }
  return error;
}

/* The head is whole. */
static int let_go(fcgi_request *request, const char *data, size_t len) {
  size_t put = 0;
  fcgi_header culprit;
  fcgi__head head;
  fcgi__head_fault fault = fcgi__rawhead_judge(data, len, &head, &culprit);
  int error;
  if (fault)
    return refuse(request, &head, fault);
  if (head.hops)
    fcgi__request_dropped(request, head.hops);
  request->out.answer = FCGI__ANSWER_RAW;
  if (!fcgi_status_has_body(head.status))
    request->out.bodiless = 1;
  request->out.left = head.length;
  error = head.drops ? put_kept(request, data, len, &head, &put)
                     : fcgi__request_put(request, data, len);
  fcgi__observe_head(&request->connection->server->observer, &request->observed,
                     head.status, data, len, head.drops ? put : len);
  return error;
}

/* The byte before the one at `at`, or NUL. */
static char before(const fcgi_request *request, const char *data, size_t at) {
  const fcgi__buffer *head = &request->out.head;
  if (at > 0)
    return data[at - 1];
  return head->len > 0 ? (char)head->data[head->len - 1] : '\0';
}

/* Whether the first line is a field, or empty: 1, 0 not yet known, -1 no.
   Blanks before the colon are no part of a name, here as in split. */
static int look(const fcgi_request *request, const char *data, size_t len) {
  if (request->out.answer == FCGI__ANSWER_NAMED)
    return 1;
  for (size_t i = 0; i < len; i++) {
    int first = request->out.head.len + i == 0;
    if ((data[i] == ':' && !first) ||
        ((data[i] == '\r' || data[i] == '\n') && first))
      return 1;
    if (is_blank(data[i])
            ? first
            : !fcgi__is_token(data[i]) || is_blank(before(request, data, i)))
      return -1;
  }
  return 0;
}

/* A field that a line before it would continue. */
static int begins_badly(const fcgi_request *request, const char *data,
                        size_t len) {
  return request->out.head.len == 0 && len > 0 && is_blank(*data);
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
  size_t before = request->out.head.cap;
  int error;
  if (len > HEAD_MOST - request->out.head.len)
    return refuse(request, &nothing, FCGI__HEAD_LONG);
  error = fcgi__buffer_append(
      &request->out.head, &request->connection->server->allocator, data, len);
  fcgi__connection_hold(request->connection, before, request->out.head.cap);
  return error;
}

static void forget_head(fcgi_request *request) {
  fcgi__connection_hold(request->connection, request->out.head.cap, 0);
  fcgi__buffer_clear(&request->out.head,
                     &request->connection->server->allocator);
}

/* Nothing says that its status is another one than 200. */
int fcgi__raw_release(fcgi_request *request) {
  fcgi__buffer *head = &request->out.head;
  int error = 0;
  request->out.answer = FCGI__ANSWER_RAW;
  fcgi__observe_head(&request->connection->server->observer, &request->observed,
                     200, NULL, 0, 0);
  if (head->len > 0)
    error = fcgi__request_put(request, head->data, head->len);
  forget_head(request);
  return error;
}

ptrdiff_t fcgi__raw_head(fcgi_request *request, const char *data, size_t len) {
  const fcgi__buffer *head = &request->out.head;
  size_t part;
  int error = 0, named;
  if (request->out.broken)
    return FCGI_ERR_INVALID;
  if (is_cgi(request) && begins_badly(request, data, len))
    return refuse_begin(request);
  named = is_cgi(request) ? look(request, data, len) : -1;
  if (named < 0)
    return fcgi__raw_release(request);
  request->out.answer = named ? FCGI__ANSWER_NAMED : FCGI__ANSWER_HELD;
  part = fcgi__rawhead_scan(&request->out.scan, data, len);
  if (head->len > 0 || !request->out.scan.done)
    error = hold(request, data, part);
  if (error)
    return error;
  if (request->out.scan.done && head->len > 0)
    error = let_go(request, (const char *)head->data, head->len);
  else if (request->out.scan.done)
    error = let_go(request, data, part);
  if (request->out.scan.done)
    forget_head(request);
  return error ? error : (ptrdiff_t)part;
}
