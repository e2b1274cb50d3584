/* SPDX-License-Identifier: MIT */
/* Paths of URLs, as bytes. */
#ifndef FCGI_GATEWAY_URL_H
#define FCGI_GATEWAY_URL_H

#include <stddef.h>
#include <string.h>

typedef struct fcgi__span {
  const char *data; /* NULL when there is none. */
  size_t len;       /* Bytes in it. */
} fcgi__span;

/* Percent-decode `raw` into `out`, which has room for as many bytes; an escape
   that is not one stays as it is, and with `keep` that of a slash does. Returns
   how many there are. */
size_t fcgi__url_decode(fcgi__span raw, char *out, int keep);

/* 1 when there is an escaped slash in `raw`. */
int fcgi__url_has_slashes(fcgi__span raw);

/* Take the segments "." and ".." out of `path`, as RFC 3986, 5.2.4, and with
   `merge` doubled slashes too. Returns the new length. */
size_t fcgi__url_tidy(char *path, size_t len, int merge);

/* 1 when some segment is "." or "..". */
int fcgi__url_has_dots(fcgi__span path);

/* The path of a request target: no scheme and host, no query. */
fcgi__span fcgi__url_path(fcgi__span target);

static inline int fcgi__span_is(fcgi__span a, fcgi__span b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
