/* SPDX-License-Identifier: MIT */
#include "gateway/url.h"
#include <string.h>

static int hex(char digit) {
  if (digit >= '0' && digit <= '9')
    return digit - '0';
  digit |= 0x20;
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* The byte that the escape at `at` stands for, or -1 when it is none. */
static int escaped(fcgi__span raw, size_t at) {
  int high = at + 2 < raw.len ? hex(raw.data[at + 1]) : -1;
  int low = high >= 0 ? hex(raw.data[at + 2]) : -1;
  return low >= 0 ? high * 16 + low : -1;
}

size_t fcgi__url_decode(fcgi__span raw, char *out, int keep) {
  size_t used = 0, at = 0;
  while (at < raw.len) {
    const char *percent = memchr(raw.data + at, '%', raw.len - at);
    size_t plain = percent ? (size_t)(percent - raw.data) - at : raw.len - at;
    int byte;
    memcpy(out + used, raw.data + at, plain);
    used += plain;
    at += plain;
    if (!percent)
      break;
    byte = escaped(raw, at);
    if (keep && byte == '/')
      byte = -1;
    out[used++] = byte >= 0 ? (char)byte : '%';
    at += byte >= 0 ? 3 : 1;
  }
  return used;
}

int fcgi__url_has_slashes(fcgi__span raw) {
  int found = 0;
  for (size_t at = 0; at < raw.len && !found; at++)
    found = raw.data[at] == '%' && escaped(raw, at) == '/';
  return found;
}

/* 1 or 2 for a segment that is as many dots, else 0. */
static size_t dots_in(const char *segment, size_t len) {
  if (len == 0 || len > 2 || *segment != '.')
    return 0;
  return segment[len - 1] == '.' ? len : 0;
}

static size_t segment_len(const char *at, size_t left) {
  const char *slash = memchr(at, '/', left);
  return slash ? (size_t)(slash - at) : left;
}

int fcgi__url_has_dots(fcgi__span path) {
  size_t at = 0;
  while (at < path.len) {
    size_t len = segment_len(path.data + at, path.len - at);
    if (dots_in(path.data + at, len))
      return 1;
    at += len + 1;
  }
  return 0;
}

/* `used` without its last segment, up to the slash before it. */
static size_t without_last(const char *path, size_t used) {
  while (used > 1 && path[used - 2] != '/')
    used--;
  return used > 1 ? used - 1 : used;
}

/* What is kept always ends in a slash, until the last segment. */
size_t fcgi__url_tidy(char *path, size_t len, int merge) {
  size_t used = 1, at = 1;
  if (len == 0 || *path != '/')
    return len;
  while (at <= len) {
    size_t part = segment_len(path + at, len - at);
    size_t dots = dots_in(path + at, part);
    int last = at + part == len;
    if (dots == 2)
      used = without_last(path, used);
    else if (!dots && (part > 0 || !merge)) {
      memmove(path + used, path + at, part);
      used += part;
      if (!last)
        path[used++] = '/';
    }
    at += part + 1;
  }
  return used;
}

fcgi__span fcgi__url_path(fcgi__span target) {
  size_t len = target.len;
  const char *query = len ? memchr(target.data, '?', len) : NULL;
  const char *scheme, *end, *path;
  if (query)
    len = (size_t)(query - target.data);
  scheme = len && *target.data != '/' ? memchr(target.data, ':', len) : NULL;
  if (!scheme)
    return (fcgi__span){target.data, len};
  end = target.data + len;
  if (end - scheme < 3 || memcmp(scheme, "://", 3) != 0)
    return (fcgi__span){target.data, len};
  path = memchr(scheme + 3, '/', (size_t)(end - scheme - 3));
  return path ? (fcgi__span){path, (size_t)(end - path)} : (fcgi__span){"/", 1};
}
