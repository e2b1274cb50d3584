/* SPDX-License-Identifier: MIT */
/* Collecting the parameters of one request. */
#ifndef FCGI_SESSION_PARAMS_H
#define FCGI_SESSION_PARAMS_H

#include "base/buffer.h"
#include <fastcgi/pairs.h>
#include <fastcgi/params.h>
#include <stdint.h>

/* Where one parameter lies in `bytes`; offsets, because that may move. */
typedef struct fcgi__entry {
  uint32_t name;      /* Offset of the name. */
  uint32_t name_len;  /* Its length; a NUL follows. */
  uint32_t value;     /* Offset of the value. */
  uint32_t value_len; /* Its length; a NUL follows. */
  uint32_t next;      /* The next one of the same name, counted from 1, or 0. */
  uint32_t repeats;   /* 1: there is one of the same name before. */
} fcgi__entry;

struct fcgi_params {
  fcgi__buffer bytes;   /* Every text, each with a NUL. */
  fcgi__buffer entries; /* fcgi__entry of each parameter, in order. */
  fcgi__buffer joined;  /* fcgi__entry of each joined HTTP_* value. */
  fcgi_pairs pairs;     /* The decoder between two records. */
  size_t total;         /* Lengths announced so far, held to the limit. */
  uint32_t pair;        /* Where in `bytes` the pair under way begins. */
  int duplicates;       /* 1 once a name came twice. */
};

typedef struct fcgi__params_limits {
  size_t bytes;        /* Names plus values. */
  uint32_t pairs;      /* Most parameters of a request. */
  int keep_http_proxy; /* 0 drops HTTP_PROXY (CVE-2016-5385). */
} fcgi__params_limits;

/* Decode the content of one PARAMS record. 0, FCGI_ERR_LIMIT,
   FCGI_ERR_PROTOCOL (a NUL in a text) or FCGI_ERR_NOMEM. */
int fcgi__params_feed(fcgi_params *params, const fcgi_allocator *allocator,
                      const fcgi__params_limits *limits, const uint8_t *data,
                      size_t len);

/* The stream has ended: join duplicates. 0, FCGI_ERR_PROTOCOL when it ended
   inside a pair, FCGI_ERR_NOMEM. */
int fcgi__params_finish(fcgi_params *params, const fcgi_allocator *allocator);

/* Read CONTENT_LENGTH into `out`, -1 when absent, empty or "-1".
   FCGI_ERR_PROTOCOL when it is no number or two differ. */
int fcgi__params_content_length(const fcgi_params *params, int64_t *out);

/* Bytes allocated for them. */
static inline size_t fcgi__params_held(const fcgi_params *params) {
  return params->bytes.cap + params->entries.cap + params->joined.cap;
}

void fcgi__params_clear(fcgi_params *params, const fcgi_allocator *allocator);

#endif
