/* SPDX-License-Identifier: MIT */
/* The open exchanges of a session, by id. HAProxy's ids only grow, everyone
   else's is 1: one bucket without an allocation, more when needed. */
#ifndef FCGI_SESSION_TABLE_H
#define FCGI_SESSION_TABLE_H

#include "session/exchange.h"

typedef struct fcgi__table {
  fcgi__exchange *one;      /* The only bucket, while `buckets` is NULL. */
  fcgi__exchange **buckets; /* The buckets, owned; NULL while there is one
                               only. */
  uint32_t mask;            /* Number of buckets less one. */
  uint32_t count;           /* Number of exchanges in the table. */
} fcgi__table;

fcgi__exchange *fcgi__table_get(const fcgi__table *table, uint16_t id);

/* Never fails: without memory for more buckets it is only slower. */
void fcgi__table_put(fcgi__table *table, const fcgi_allocator *allocator,
                     fcgi__exchange *exchange);
/* `exchange` is in it. */
void fcgi__table_remove(fcgi__table *table, fcgi__exchange *exchange);
void fcgi__table_clear(fcgi__table *table, const fcgi_allocator *allocator);

#endif
