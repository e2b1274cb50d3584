/* SPDX-License-Identifier: MIT */
/* Requests that are refused as they begin, because others hold all that there
   is. Their records are still to be taken from the wire and their answer has
   its moments (FastCGI 1.0, 6.2), but of each only a byte is kept. */
#ifndef FCGI_SESSION_REFUSALS_H
#define FCGI_SESSION_REFUSALS_H

#include <stddef.h>
#include <stdint.h>

struct fcgi__record_ops;

typedef struct fcgi__refusals {
  uint8_t **pages;    /* A byte for each id; NULL where nothing is refused. */
  uint32_t count;     /* Ids that are refused and not yet ended. */
  uint32_t in_params; /* Number of those whose PARAMS are unfinished. */
  uint32_t serial;    /* Numbers the one that `oldest` is, as BEGIN_REQUESTs
                         are numbered; 0 without any. */
  uint16_t oldest;    /* Id of the oldest of those. */
  size_t unread;      /* Bytes of their answers that are not yet sent. */
} fcgi__refusals;

/* What to do with the records of `type` for an id that is refused. */
const struct fcgi__record_ops *fcgi__refusals_ops(uint8_t type);

#endif
