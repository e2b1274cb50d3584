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
  access->started_us = fcgi__now_us();
  clock_gettime(CLOCK_REALTIME, &access->began);
  return access;
}

void fcgi__access_head(fcgi__access *access, const fcgi_allocator *allocator,
                       const void *data, size_t len, size_t sent) {
  access->head_len = sent;
  if (len > 0 && len <= HEAD_MOST)
    (void)fcgi__buffer_append(&access->head, allocator, data, len);
}

void fcgi__access_ended(fcgi__access *access) {
  if (access->ended_us == 0)
    access->ended_us = fcgi__now_us();
}

/* 0 where no head, or not the whole of it, has left. */
static int status_sent(const fcgi__access *access, int status) {
  uint64_t left = access->written - access->unsent;
  return left > 0 && left >= access->head_len ? status : 0;
}

static fcgi__access_view view_of(const fcgi_params *params,
                                 const fcgi__access *access, int status) {
  uint64_t left = access->written - access->unsent;
  return (fcgi__access_view){
      .params = params,
      .access = access,
      .status = status_sent(access, status),
      .bytes = left > access->head_len ? left - access->head_len : 0,
      .took_us = access->ended_us - access->started_us};
}

void fcgi__access_write(fcgi__log_text *line, const fcgi__access_format *format,
                        const fcgi_params *params, fcgi__access *access,
                        int status, uint64_t unsent) {
  fcgi__access_view view;
  access->unsent = unsent < access->written ? unsent : access->written;
  view = view_of(params, access, status);
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
