/* SPDX-License-Identifier: MIT */
/* What is noted of a request while it runs. */
#include "observe/access.h"
#include "base/alloc.h"
#include "os/clock.h"
#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MOST = 16384 }; /* Bytes of a head that are kept. */

int fcgi__access_new(fcgi__access_format **out, const fcgi_allocator *allocator,
                     const char *text) {
  int error;
  *out = fcgi__calloc(allocator, sizeof **out);
  if (!*out)
    return FCGI_ERR_NOMEM;
  error = fcgi__access_parse(*out, allocator, text);
  return error == FCGI_ERR_INVALID ? 0 : error; /* See fcgi__access_check. */
}

int fcgi__access_check(const fcgi__access_format *format, char *why,
                       size_t size) {
  if (!format || !format->problem[0])
    return 0;
  snprintf(why, size, "access log format: %s", format->problem);
  return FCGI_ERR_INVALID;
}

void fcgi__access_free(fcgi__access_format *format,
                       const fcgi_allocator *allocator) {
  if (format)
    fcgi__access_clear(format, allocator);
  fcgi__free(allocator, format);
}

fcgi__access *fcgi__access_begin(const fcgi_allocator *allocator) {
  fcgi__access *access = fcgi__calloc(allocator, sizeof *access);
  if (!access)
    return NULL;
  access->line_start = 1;
  access->started_us = fcgi__now_us();
  clock_gettime(CLOCK_REALTIME, &access->began);
  return access;
}

/* The head goes up to an empty line, whose end may be LF alone (RFC 3875,
   6.2). Returns how many of the bytes are its. */
static size_t scan_head(fcgi__access *access, const char *data, size_t len) {
  size_t at = 0;
  while (at < len && !access->head_done) {
    char byte = data[at++];
    access->head_done = byte == '\n' && access->line_start;
    if (byte != '\r')
      access->line_start = byte == '\n';
  }
  return at;
}

/* A file is taken for body; without memory the head is only counted. */
void fcgi__access_output(fcgi__access *access, const fcgi_allocator *allocator,
                         const char *data, size_t len) {
  size_t head = 0;
  if (!data)
    access->head_done = 1;
  else if (!access->head_done)
    head = scan_head(access, data, len);
  if (head > 0 && access->head.len + head <= HEAD_MOST)
    (void)fcgi__buffer_append(&access->head, allocator, data, head);
  access->head_len += head;
  access->written += len;
}

void fcgi__access_ended(fcgi__access *access) {
  if (access->ended_us == 0)
    access->ended_us = fcgi__now_us();
}

static int digits(const char *text, size_t len) {
  int number = 0;
  if (len < 3)
    return 0;
  for (size_t i = 0; i < 3; i++) {
    if (text[i] < '0' || text[i] > '9')
      return 0;
    number = number * 10 + (text[i] - '0');
  }
  return number;
}

/* Without a Status it is 200, with a Location that leads elsewhere 302
   (RFC 3875, 6.3.3 and 6.2.3). */
static int status_of(const fcgi__access *access) {
  const char *value;
  size_t len;
  if (access->written - access->unsent < access->head_len ||
      access->written == access->unsent)
    return 0;
  value = fcgi__access_header(access, "Status", 6, &len);
  if (value)
    return digits(value, len);
  value = fcgi__access_header(access, "Location", 8, &len);
  return value && len > 0 && *value != '/' ? 302 : 200;
}

static fcgi__access_view view_of(const fcgi_params *params,
                                 const fcgi__access *access) {
  uint64_t left = access->written - access->unsent;
  return (fcgi__access_view){
      .params = params,
      .access = access,
      .status = status_of(access),
      .bytes = left > access->head_len ? left - access->head_len : 0,
      .took_us = access->ended_us - access->started_us};
}

void fcgi__access_write(fcgi__log_text *line, const fcgi__access_format *format,
                        const fcgi_params *params, fcgi__access *access,
                        uint64_t unsent) {
  fcgi__access_view view;
  access->unsent = unsent < access->written ? unsent : access->written;
  view = view_of(params, access);
  line->len = line->cut = 0;
  fcgi__access_line(line, format, &view);
  fcgi__log_finish(line);
}

void fcgi__access_drop(fcgi__access *access, const fcgi_allocator *allocator) {
  if (!access)
    return;
  fcgi__buffer_clear(&access->head, allocator);
  fcgi__free(allocator, access);
}
