/* SPDX-License-Identifier: MIT */
#include "gateway/rawhead.h"
#include <string.h>
#include <strings.h>

size_t fcgi__rawhead_scan(fcgi__rawhead *scan, const char *data, size_t len) {
  size_t at = 0;
  while (at < len && !scan->done) {
    if (scan->in_line) {
      const char *end = memchr(data + at, '\n', len - at);
      scan->in_line = end == NULL;
      at = end ? (size_t)(end - data) + 1 : len;
    } else {
      scan->done = data[at] == '\n';
      scan->in_line = !scan->done && (scan->in_end || data[at] != '\r');
      scan->in_end = !scan->done && !scan->in_line;
      at++;
    }
  }
  return at;
}

static int is_blank(char at) {
  return at == ' ' || at == '\t';
}

/* The end of the line at `at`, behind its newline. */
static const char *line_end(const char *at, const char *end) {
  const char *newline = memchr(at, '\n', (size_t)(end - at));
  return newline ? newline + 1 : end;
}

/* Name and value; blanks before the value are no part of it. */
static void split(fcgi__rawhead_field *out, const char *end) {
  const char *colon = memchr(out->begin, ':', out->len);
  const char *value = colon ? colon + 1 : out->begin;
  while (value < end && is_blank(*value))
    value++;
  while (end > value && (end[-1] == '\n' || end[-1] == '\r'))
    end--;
  out->field =
      (fcgi_header){out->begin, colon ? (size_t)(colon - out->begin) : 0, value,
                    (size_t)(end - value)};
}

int fcgi__rawhead_next(const char **at, const char *end,
                       fcgi__rawhead_field *out) {
  if (*at == end)
    return 0;
  out->begin = *at;
  *at = line_end(*at, end);
  out->len = (size_t)(*at - out->begin);
  split(out, *at);
  return 1;
}

/* The three digits of "404 Nope", or 0. What else may stand before and behind
   them depends on the web server: a tab, for one. */
static int parse_status(const fcgi_header *field) {
  const char *digits = field->value, *colon = field->name + field->name_len;
  int number = 0;
  if (field->value_len < 3 || (field->value_len > 3 && digits[3] != ' ') ||
      memchr(colon, '\t', (size_t)(digits - colon)))
    return 0;
  for (size_t i = 0; i < 3; i++) {
    if (digits[i] < '0' || digits[i] > '9')
      return 0;
    number = number * 10 + (digits[i] - '0');
  }
  return number;
}

/* Of two of them some servers show the first and others the last. */
static fcgi__head_fault take_status(fcgi__head *head,
                                    const fcgi_header *field) {
  int status = parse_status(field);
  if (status < 200 || status > 599)
    return FCGI__HEAD_STATUS;
  if (head->status && head->status != status)
    return FCGI__HEAD_STATUSES;
  head->status = status;
  return FCGI__HEAD_GOOD;
}

static fcgi__head_fault take_length(fcgi__head *head,
                                    const fcgi_header *field) {
  int64_t length = fcgi__length_parse(field->value, field->value_len);
  head->drops |= head->length >= 0;
  if (length < 0)
    return FCGI__HEAD_LENGTH;
  if (head->length >= 0 && head->length != length)
    return FCGI__HEAD_LENGTHS;
  head->length = length;
  return FCGI__HEAD_GOOD;
}

static fcgi__head_fault take(fcgi__head *head, const fcgi_header *field) {
  switch (fcgi__field_of(field->name, field->name_len)) {
  case FCGI__FIELD_STATUS:
    return take_status(head, field);
  case FCGI__FIELD_LENGTH:
    return take_length(head, field);
  case FCGI__FIELD_HOP:
    head->hops |= fcgi__hop_bit(field->name, field->name_len);
    head->drops = 1;
    break;
  case FCGI__FIELD_OTHER:
    break;
  }
  return FCGI__HEAD_GOOD;
}

int fcgi__rawhead_is_crlf(const fcgi__rawhead_field *line) {
  return line->len > 1 && line->begin[line->len - 2] == '\r';
}

static int is_end(const fcgi__rawhead_field *one) {
  return *one->begin == '\n' || (one->len == 2 && *one->begin == '\r');
}

static int is_named(const fcgi_header *field) {
  size_t len = 0;
  while (len < field->name_len && fcgi__is_token(field->name[len]))
    len++;
  return len > 0 && len == field->name_len;
}

/* A NUL, or a CR that ends no line: servers do not agree on where the field
   ends then. */
static int is_broken(const fcgi__rawhead_field *one) {
  const char *at = one->begin, *end = one->begin + one->len;
  if (memchr(at, '\0', one->len))
    return 1;
  while ((at = memchr(at, '\r', (size_t)(end - at))) != NULL)
    if (++at == end || *at != '\n')
      return 1;
  return 0;
}

static fcgi__head_fault judge(fcgi__head *head,
                              const fcgi__rawhead_field *one) {
  if (!is_named(&one->field))
    return FCGI__HEAD_LINE;
  return is_broken(one) ? FCGI__HEAD_VALUE : take(head, &one->field);
}

/* Bytes of the line without its end. */
static size_t bare_len(const fcgi__rawhead_field *one) {
  if (one->begin[one->len - 1] != '\n')
    return one->len;
  return one->len - (fcgi__rawhead_is_crlf(one) ? 2 : 1);
}

/* The whole line stands for what is no field, and a tab before the number of a
   Status is shown. */
static fcgi_header culprit_of(const fcgi__rawhead_field *one,
                              fcgi__head_fault fault) {
  fcgi_header culprit = one->field;
  if (fault == FCGI__HEAD_LINE)
    return (fcgi_header){one->begin, bare_len(one), "", 0};
  if (fault == FCGI__HEAD_STATUS)
    while (is_blank(culprit.value[-1]) &&
           memchr(culprit.name, '\t', (size_t)(culprit.value - culprit.name))) {
      culprit.value--;
      culprit.value_len++;
    }
  return culprit;
}

static int is_location(const fcgi_header *field) {
  return field->name_len == 8 && strncasecmp(field->name, "Location", 8) == 0;
}

/* Without a Status it is 200, and with a Location a redirect (RFC 3875, 6.3.3
   and 6.2.4). nginx and lighttpd know that, Apache and Caddy show 200. What a
   path as the Location means is left to the web server (6.2.2). */
static void imply_status(fcgi__head *head, const fcgi_header *location) {
  head->status = location->name ? 302 : 200;
  head->redirects =
      location->name && (location->value_len == 0 || *location->value != '/');
}

fcgi__head_fault fcgi__rawhead_judge(const char *data, size_t len,
                                     fcgi__head *head, fcgi_header *culprit) {
  const char *at = data;
  fcgi_header location = {NULL, 0, NULL, 0};
  fcgi__rawhead_field one, last = {.len = 0};
  *head = (fcgi__head){.status = 0, .length = -1};
  while (fcgi__rawhead_next(&at, data + len, &one) && !is_end(&one)) {
    fcgi__head_fault fault = judge(head, &one);
    if (fault) {
      *culprit = culprit_of(&one, fault);
      head->culprit = culprit;
      return fault;
    }
    if (is_location(&one.field)) {
      location = one.field;
      head->relocates = head->status != 0;
    }
    last = one;
  }
  if (head->status == 0)
    imply_status(head, &location);
  head->mixed = last.len > 0 &&
                fcgi__rawhead_is_crlf(&one) != fcgi__rawhead_is_crlf(&last);
  head->drops |= head->status == 204 && head->length >= 0;
  return FCGI__HEAD_GOOD;
}
