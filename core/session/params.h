/* SPDX-License-Identifier: MIT */
/* Collecting the parameters of one request. */
#ifndef FCGI_SESSION_PARAMS_H
#define FCGI_SESSION_PARAMS_H

#include "base/buffer.h"
#include "session/names.h"
#include "wire/pairs.h"
#include <fastcgi/pairs.h>
#include <fastcgi/params.h>
#include <stdint.h>

/* One parameter. */
typedef struct fcgi__entry {
  fcgi__place name;  /* In `bytes`, or that of a known name. */
  fcgi__place value; /* Where its value is in `bytes`. */
} fcgi__entry;

struct fcgi_params {
  fcgi__buffer bytes;   /* Every text, each with a NUL. */
  fcgi__buffer entries; /* fcgi__entry of each parameter, in order. */
  fcgi__buffer joined;  /* fcgi__entry of each joined HTTP_* value. */
  fcgi_pairs pairs;     /* The decoder between two records. */
  size_t total;         /* Lengths announced so far, held to the limit. */
  uint32_t pair;        /* Where in `bytes` the pair under way begins. */
  uint32_t unknown;     /* Entries whose name is in `bytes`. */
  uint8_t repeated;     /* 1: a known name came twice. */
  uint8_t unmapped;     /* 1: `last` does not hold every known name. */
  uint8_t duplicates;   /* 1, once it is finished: some name came twice. */
  uint8_t last[FCGI__NAMES_MOST]; /* By a name's number: its last entry, counted
                                     from 1; 0 for none. */
};

enum { FCGI__MAPPED = 255 }; /* Entries that `last` can tell. */

typedef struct fcgi__params_limits {
  size_t bytes;        /* Most bytes of names and values together. */
  uint32_t pairs;      /* Most parameters of a request. */
  int keep_http_proxy; /* 0 drops HTTP_PROXY (CVE-2016-5385). */
} fcgi__params_limits;

/* Which known name came after which, by number: a guess of what comes next. */
typedef struct fcgi__name_order {
  uint8_t after[FCGI__NAMES_MOST]; /* Of 0: the first. */
} fcgi__name_order;

/* Decode the content of one PARAMS record. `order` may be NULL. 0,
   FCGI_ERR_LIMIT, FCGI_ERR_PROTOCOL (a NUL in a text) or FCGI_ERR_NOMEM. */
int fcgi__params_feed(fcgi_params *params, const fcgi_allocator *allocator,
                      const fcgi__params_limits *limits,
                      fcgi__name_order *order, const uint8_t *data, size_t len);

/* Take the pairs at `*data` that are whole and need no further look, which
   nearly all are, and move `*data` and `*len` behind them. 0, or
   FCGI_ERR_NOMEM. (params_run.c) */
int fcgi__params_run(fcgi_params *params, const fcgi_allocator *allocator,
                     const fcgi__params_limits *limits, fcgi__name_order *order,
                     const uint8_t **data, size_t *len);

/* The stream has ended: join duplicates. 0, FCGI_ERR_PROTOCOL when it ended
   inside a pair, FCGI_ERR_NOMEM. */
int fcgi__params_finish(fcgi_params *params, const fcgi_allocator *allocator);

/* Look for names that came twice, and join them. 0 or FCGI_ERR_NOMEM.
   (params_join.c) */
int fcgi__params_join(fcgi_params *params, const fcgi_allocator *allocator);

/* Read CONTENT_LENGTH into `out`, -1 when absent, empty or "-1".
   FCGI_ERR_PROTOCOL when it is no number or two differ. */
int fcgi__params_content_length(const fcgi_params *params, int64_t *out);

/* The value of a known name as a number, as fcgi_params_number. */
int64_t fcgi__params_known_number(const fcgi_params *params,
                                  fcgi__name_number name);

/* Bytes allocated for them. */
static inline size_t fcgi__params_held(const fcgi_params *params) {
  return params->bytes.cap + params->entries.cap + params->joined.cap;
}

/* Free their memory; the second leaves none, with nothing in it. */
void fcgi__params_free(const fcgi_params *params,
                       const fcgi_allocator *allocator);
void fcgi__params_clear(fcgi_params *params, const fcgi_allocator *allocator);

static inline fcgi__entry *fcgi__entries(const fcgi__buffer *buffer) {
  return (fcgi__entry *)(void *)buffer->data;
}

static inline size_t fcgi__entry_count(const fcgi__buffer *buffer) {
  return buffer->len / sizeof(fcgi__entry);
}

/* The number of the entry's name; 0 where that is in `bytes`. */
static inline unsigned fcgi__entry_number(const fcgi__entry *entry) {
  return entry->name.at & fcgi__known ? entry->name.at & ~fcgi__known : 0;
}

static inline const char *fcgi__entry_name(const fcgi_params *params,
                                           const fcgi__entry *entry) {
  unsigned number = fcgi__entry_number(entry);
  return number ? fcgi__names[number].text
                : (const char *)params->bytes.data + entry->name.at;
}

static inline int fcgi__entry_is(const fcgi_params *params,
                                 const fcgi__entry *entry, const char *name,
                                 size_t len) {
  return entry->name.len == len &&
         memcmp(fcgi__entry_name(params, entry), name, len) == 0;
}

/* Against CVE-2016-5385, where the owner has not asked to keep it. */
static inline int fcgi__params_drop(const fcgi__params_limits *limits,
                                    const uint8_t *name, size_t len) {
  return len == 10 && !limits->keep_http_proxy &&
         memcmp(name, "HTTP_PROXY", 10) == 0;
}

/* Room for one more entry at least. 0 or FCGI_ERR_NOMEM. */
static inline int fcgi__params_reserve(fcgi_params *params,
                                       const fcgi_allocator *allocator) {
  enum { USUAL = 32 }; /* Entries of most requests. */
  fcgi__buffer *entries = &params->entries;
  size_t room = entries->cap ? 1 : USUAL;
  return fcgi__buffer_reserve(entries, allocator, room * sizeof(fcgi__entry));
}

#endif
