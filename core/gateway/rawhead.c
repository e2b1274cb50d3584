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
      scan->in_line = data[at] != '\n' && data[at] != '\r';
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

/* Name and value; blanks around them are no part. */
static void split(fcgi__rawhead_field *out, const char *end) {
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

int fcgi__rawhead_next(const char **at, const char *end,
                       fcgi__rawhead_field *out) {
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

static int is_location(const fcgi_header *field) {
  return field->name_len == 8 && field->value_len > 0 &&
         strncasecmp(field->name, "Location", 8) == 0;
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

/* Without a Status it is 200, and with a Location a redirect (RFC 3875, 6.3.3
   and 6.2.4). */
static int implied_status(int has_location) {
  return has_location ? 302 : 200;
}

fcgi__head_fault fcgi__rawhead_judge(const char *data, size_t len,
                                     fcgi__head *head, fcgi_header *culprit) {
  const char *at = data;
  int has_location = 0;
  fcgi__rawhead_field one;
  *head = (fcgi__head){.status = 0, .length = -1};
  while (fcgi__rawhead_next(&at, data + len, &one)) {
    fcgi__head_fault fault =
        is_broken(&one) ? FCGI__HEAD_VALUE : take(head, &one.field);
    if (fault) {
      *culprit = one.field;
      head->culprit = culprit;
      return fault;
    }
    has_location |= is_location(&one.field);
  }
  if (head->status == 0)
    head->status = implied_status(has_location);
  head->drops |= head->status == 204 && head->length >= 0;
  return FCGI__HEAD_GOOD;
}
