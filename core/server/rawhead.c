/* SPDX-License-Identifier: MIT */
/* The head of raw CGI output (RFC 3875, 6.2) is held until its empty line has
   come, and judged as the headers of fcgi_request_start are. */
#include "gateway/rawhead.h"
#include "server/request.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <string.h>
#include <unistd.h>

enum {
  HEAD_MOST = 262144, /* No web server takes a longer one. */
  PIECE = 4096        /* Bytes of a file that are looked at together. */
};

/* What becomes of it, and what to do where the message does not say it. */
static const char *consequence(fcgi__head_fault fault) {
  switch (fault) {
  case FCGI__HEAD_LINE:
  case FCGI__HEAD_ENDLESS:
  case FCGI__HEAD_LONG:
    return ", so the client gets 500; start the answer first, or write "
           "'Status: 200' and an empty line before the body";
  case FCGI__HEAD_SILENT:
    return ", so the client gets 500; write 'Status: 200' and an empty line to "
           "grant access";
  default:
    return ", so the client gets 500";
  }
}

/* What cannot be sent so: the line is told now, and the end is a 500. */
static int refuse(fcgi_request *request, const fcgi__head *head,
                  fcgi__head_fault fault) {
  char why[FCGI__WHY];
  fcgi__head_explain(head, fault, HEAD_MOST, why, sizeof why);
  fcgi__request_tell(request, why, consequence(fault));
  request->out.broken = 1;
  return FCGI_ERR_INVALID;
}

/* Lines of a head that go out, and the bytes of those that have. */
typedef struct lines {
  fcgi_request *request; /* Whose they are. */
  size_t put;            /* Bytes that are queued. */
  const char *end;       /* What the last of them ends in, or NULL. */
  int error;             /* Why no more can be. */
} lines;

static void put(lines *out, const char *text, size_t len) {
  if (!out->error)
    out->error = fcgi__request_put(out->request, text, len);
  out->put += len;
}

static void put_line(lines *out, const fcgi__rawhead_field *line) {
  put(out, line->begin, line->len);
  out->end = fcgi__rawhead_is_crlf(line) ? "\r\n" : "\n";
}

/* Apache knows the end of a head by two ends of lines that are alike. */
static void put_end(lines *out, const fcgi__rawhead_field *line) {
  if (out->end)
    put(out, out->end, strlen(out->end));
  else
    put_line(out, line);
}

/* The Status that does not stay where it is: that of the head, or else the one
   that Location implies, which some servers would not see. */
static fcgi__rawhead_field moved_status(const char *at, const char *end) {
  static const char redirect[] = "Status: 302 Found\r\n";
  fcgi__rawhead_field one;
  while (fcgi__rawhead_next(&at, end, &one))
    if (fcgi__field_of(one.field.name, one.field.name_len) ==
        FCGI__FIELD_STATUS)
      return one;
  return (fcgi__rawhead_field){.begin = redirect, .len = sizeof redirect - 1};
}

/* Where the Status goes. */
typedef enum status_place {
  STAYS,  /* Where the program has written it, or nowhere. */
  LEADS,  /* lighttpd takes what precedes it for part of an authorizer's yes,
             and Apache takes whatever has no Status for one. */
  FOLLOWS /* HAProxy 2.6 turns it into 302 where Location follows it. */
} status_place;

/* Who asks for leave looks for the status alone, so that a yes stays. */
static status_place place_of(const fcgi_request *request,
                             const fcgi__head *head) {
  if (fcgi__request_is_authorizer(request))
    return head->status == 200 ? STAYS : LEADS;
  return head->redirects || head->relocates ? FOLLOWS : STAYS;
}

/* Put the head without the fields that are left out; of Content-Length, the
   first one stays. */
static void put_judged(lines *out, const char *data, size_t len,
                       const fcgi__head *head, status_place place) {
  const char *at = data, *end = data + len;
  int lengths = head->status == 204;
  fcgi__rawhead_field one, status = moved_status(data, end);
  if (place == LEADS)
    put_line(out, &status);
  while (fcgi__rawhead_next(&at, end, &one)) {
    fcgi__field field = fcgi__field_of(one.field.name, one.field.name_len);
    if (field == FCGI__FIELD_HOP ||
        (field == FCGI__FIELD_LENGTH && lengths++) ||
        (field == FCGI__FIELD_STATUS && place != STAYS))
      continue;
    if (at == end && place == FOLLOWS)
      put_line(out, &status);
    if (at == end)
      put_end(out, &one);
    else
      put_line(out, &one);
  }
}

/* No field of it leaves: some servers take that for an authorizer's yes. */
static int is_silent(const char *at, const char *end) {
  fcgi__rawhead_field one;
  while (fcgi__rawhead_next(&at, end, &one) && at < end)
    if (fcgi__field_of(one.field.name, one.field.name_len) != FCGI__FIELD_HOP)
      return 0;
  return 1;
}

static fcgi__head_fault judge(const fcgi_request *request, const char *data,
                              size_t len, fcgi__head *head,
                              fcgi_header *culprit) {
  fcgi__head_fault fault = fcgi__rawhead_judge(data, len, head, culprit);
  if (!fault && fcgi__request_is_authorizer(request) &&
      is_silent(data, data + len))
    fault = FCGI__HEAD_SILENT;
  return fault;
}

/* The head is whole. */
static int let_go(fcgi_request *request, const char *data, size_t len) {
  lines out = {.request = request};
  fcgi_header culprit;
  fcgi__head head;
  fcgi__head_fault fault = judge(request, data, len, &head, &culprit);
  status_place place;
  if (fault)
    return refuse(request, &head, fault);
  place = place_of(request, &head);
  if (head.hops)
    fcgi__request_dropped(request, head.hops);
  request->out.answer = FCGI__ANSWER_RAW;
  if (!fcgi_status_has_body(head.status))
    request->out.bodiless = 1;
  request->out.left = head.length;
  if (head.drops || head.mixed || place != STAYS)
    put_judged(&out, data, len, &head, place);
  else
    put(&out, data, len);
  fcgi__observe_head(&request->connection->server->observer, &request->observed,
                     head.status, data, len, out.put);
  return out.error;
}

/* A head that will never be whole, or is too long: where some line of it is no
   field, that is what is wrong with it. */
static int refuse_part(fcgi_request *request, const char *data, size_t len,
                       fcgi__head_fault fault) {
  fcgi_header culprit;
  fcgi__head head;
  if (fcgi__rawhead_judge(data, len, &head, &culprit) == FCGI__HEAD_LINE)
    fault = FCGI__HEAD_LINE;
  return refuse(request, &head, fault);
}

int fcgi__raw_unended(fcgi_request *request) {
  const fcgi__buffer *head = &request->out.head;
  const fcgi__head none = {.status = 0};
  if (request->out.answer == FCGI__ANSWER_NONE)
    return refuse(request, &none, FCGI__HEAD_SILENT);
  return refuse_part(request, (const char *)head->data, head->len,
                     FCGI__HEAD_ENDLESS);
}

/* A line that goes on behind the limit is not looked at, unless it is all. */
static int refuse_long(fcgi_request *request, const char *data, size_t len) {
  size_t whole = len;
  while (whole > 0 && data[whole - 1] != '\n')
    whole--;
  return refuse_part(request, data, whole > 0 ? whole : len, FCGI__HEAD_LONG);
}

/* A role of the program's own writes what it likes. */
static int is_cgi(const fcgi_request *request) {
  return request->role->number <= FCGI_ROLE_FILTER;
}

static int hold(fcgi_request *request, const char *data, size_t len) {
  fcgi__buffer *head = &request->out.head;
  size_t before = head->cap;
  int error = fcgi__buffer_append(head, &request->connection->server->allocator,
                                  data, len);
  fcgi__connection_hold(request->connection, before, head->cap);
  return error;
}

static void forget_head(fcgi_request *request) {
  fcgi__connection_hold(request->connection, request->out.head.cap, 0);
  fcgi__buffer_clear(&request->out.head,
                     &request->connection->server->allocator);
}

/* Nothing says that its status is another one than 200. */
static void pass(fcgi_request *request) {
  request->out.answer = FCGI__ANSWER_RAW;
  fcgi__observe_head(&request->connection->server->observer, &request->observed,
                     200, NULL, 0, 0);
}

ptrdiff_t fcgi__raw_head(fcgi_request *request, const char *data, size_t len) {
  const fcgi__buffer *head = &request->out.head;
  size_t part;
  int error = 0;
  if (request->out.broken)
    return FCGI_ERR_INVALID;
  if (!is_cgi(request)) {
    pass(request);
    return 0;
  }
  request->out.answer = FCGI__ANSWER_HELD;
  part = fcgi__rawhead_scan(&request->out.scan, data, len);
  if (part > HEAD_MOST - head->len)
    return head->len > 0
               ? refuse_long(request, (const char *)head->data, head->len)
               : refuse_long(request, data, part);
  if (head->len > 0 || !request->out.scan.done)
    error = hold(request, data, part);
  if (!error && request->out.scan.done)
    error = head->len > 0 ? let_go(request, (const char *)head->data, head->len)
                          : let_go(request, data, part);
  if (!error && request->out.scan.done)
    forget_head(request);
  return error ? error : (ptrdiff_t)part;
}

int fcgi__raw_file(fcgi_request *request, int fd, uint64_t *offset,
                   uint64_t *len) {
  char piece[PIECE];
  while (request->out.answer<FCGI__ANSWER_RAW && * len> 0) {
    size_t most = *len < sizeof piece ? (size_t)*len : sizeof piece;
    ptrdiff_t got = pread(fd, piece, most, (off_t)*offset);
    if (got == 0)
      return FCGI_ERR_TRUNCATED;
    if (got > 0)
      got = fcgi__raw_head(request, piece, (size_t)got);
    else
      got = FCGI_ERR_SYSTEM;
    if (got < 0)
      return (int)got;
    *offset += (uint64_t)got;
    *len -= (uint64_t)got;
  }
  if (request->out.answer == FCGI__ANSWER_RAW)
    fcgi__request_head_out(request, FCGI__ANSWER_OUT);
  return 0;
}
