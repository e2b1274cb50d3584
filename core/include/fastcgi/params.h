/* SPDX-License-Identifier: MIT */
/* The parameters of one request (specification 5.2): read-only, owned by the
   request, readable from any thread. NULL stands for none at all. */
#ifndef FASTCGI_PARAMS_H
#define FASTCGI_PARAMS_H

#include <fastcgi/export.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fcgi_params fcgi_params;

/* One more than the highest number of a name, see fcgi_params_list. */
#define FCGI_PARAMS_KNOWN 128

/* One parameter. Both texts end in a NUL that the lengths do not count. */
typedef struct fcgi_param {
  const char *name;  /* Name of the parameter. */
  size_t name_len;   /* Bytes of the name. */
  const char *value; /* Value of the parameter. */
  size_t value_len;  /* Bytes of the value. */
} fcgi_param;

/* Returns the value of `name`, or NULL when there is none; `value_len` may be
   NULL. Of duplicates the last wins; duplicate HTTP_* values are joined by ",
   ", those of HTTP_COOKIE by "; ". Lent until the request is closed. */
FCGI_EXPORT const char *fcgi_params_get(const fcgi_params *params,
                                        const char *name, size_t name_len,
                                        size_t *value_len);

/* Returns the number of parameters, each duplicate counted. */
FCGI_EXPORT size_t fcgi_params_count(const fcgi_params *params);

/* Fills `out` with the parameter at `index`, in the order received; returns 0,
   or FCGI_ERR_INVALID past the end. Lent until the request is closed. */
FCGI_EXPORT int fcgi_params_at(const fcgi_params *params, size_t index,
                               fcgi_param *out);

/* Fills `out` with the first `room` parameters, in the order received, and
   `known`, which may be NULL, with a number for each name that web servers
   often send, below FCGI_PARAMS_KNOWN and the same in every request of a
   process, or 0. Returns fcgi_params_count(), which may be more than `room`.
   Lent until the request is closed. */
FCGI_EXPORT size_t fcgi_params_list(const fcgi_params *params, fcgi_param *out,
                                    uint8_t *known, size_t room);

/* Returns the value of `name` as a number, which consists of decimal digits
   only and is below 2^63; -1 when it is absent or anything else. */
FCGI_EXPORT int64_t fcgi_params_number(const fcgi_params *params,
                                       const char *name, size_t name_len);

/* Returns 1 when REQUEST_METHOD is HEAD, which no body answers. */
FCGI_EXPORT int fcgi_params_is_head(const fcgi_params *params);

/* Returns 1 when some name occurs more than once, so that a table made from the
   parameters needs fcgi_params_get for each name; otherwise 0. */
FCGI_EXPORT int fcgi_params_duplicates(const fcgi_params *params);

#endif
