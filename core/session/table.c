/* SPDX-License-Identifier: MIT */
#include "session/table.h"

enum { LOAD = 4, GROWTH = 8 };

/* Odd ids (HAProxy) spread as well as dense ones. */
static uint32_t spread(uint16_t id) {
  return (id * 2654435769u) >> 16;
}

static fcgi__exchange **bucket_of(fcgi__table *table, uint16_t id) {
  if (!table->buckets)
    return &table->one;
  return &table->buckets[spread(id) & table->mask];
}

fcgi__exchange *fcgi__table_get(const fcgi__table *table, uint16_t id) {
  fcgi__exchange *at = table->one;
  if (table->buckets)
    at = table->buckets[spread(id) & table->mask];
  while (at && at->id != id)
    at = at->bucket_next;
  return at;
}

static void insert(fcgi__table *table, fcgi__exchange *exchange) {
  fcgi__exchange **bucket = bucket_of(table, exchange->id);
  exchange->bucket_next = *bucket;
  *bucket = exchange;
}

static void insert_chain(fcgi__table *table, fcgi__exchange *chain) {
  while (chain) {
    fcgi__exchange *next = chain->bucket_next;
    insert(table, chain);
    chain = next;
  }
}

static void grow(fcgi__table *table, const fcgi_allocator *allocator) {
  fcgi__table old = *table;
  uint32_t size = (old.mask + 1) * GROWTH;
  fcgi__exchange **buckets = fcgi__calloc(allocator, size * sizeof *buckets);
  if (!buckets)
    return;
  table->buckets = buckets;
  table->mask = size - 1;
  table->one = NULL;
  if (!old.buckets)
    insert_chain(table, old.one);
  for (uint32_t i = 0; old.buckets && i <= old.mask; i++)
    insert_chain(table, old.buckets[i]);
  fcgi__free(allocator, old.buckets);
}

void fcgi__table_put(fcgi__table *table, const fcgi_allocator *allocator,
                     fcgi__exchange *exchange) {
  if (table->count >= (table->mask + 1) * LOAD)
    grow(table, allocator);
  insert(table, exchange);
  table->count++;
}

void fcgi__table_remove(fcgi__table *table, fcgi__exchange *exchange) {
  fcgi__exchange **at = bucket_of(table, exchange->id);
  while (*at != exchange)
    at = &(*at)->bucket_next;
  *at = exchange->bucket_next;
  table->count--;
}

void fcgi__table_clear(fcgi__table *table, const fcgi_allocator *allocator) {
  fcgi__free(allocator, table->buckets);
  *table = (fcgi__table){.one = NULL};
}
