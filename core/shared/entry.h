/* SPDX-License-Identifier: MIT */
/* The entries of a dictionary: found by their keys, ordered by their use. */
#ifndef FCGI_SHARED_ENTRY_H
#define FCGI_SHARED_ENTRY_H

#include "shared/visit.h"

/* A key as the table looks for it. */
typedef struct fcgi__key {
  const void *data; /* Its bytes. */
  uint32_t len;     /* Their number. */
  uint32_t hash;    /* What the entry keeps of its hash. */
  uint32_t bucket;  /* Index of its bucket. */
  int is_lock;      /* 1: it is the name of a lock. */
} fcgi__key;

/* What an entry gets besides its key. */
typedef struct fcgi__content {
  uint32_t kind;    /* A fcgi_shared_kind, or FCGI__SHARED_LOCK. */
  uint32_t len;     /* Bytes of `data`. */
  const void *data; /* Its value in bytes. */
  uint64_t number;  /* Or its value as a number. */
  uint64_t expires; /* When it goes, or 0. */
} fcgi__content;

/* Make it of the caller's bytes, or FCGI_ERR_INVALID. */
int fcgi__key_make(fcgi__key *out, const fcgi_shared *d, const void *data,
                   size_t len, int is_lock);

static inline uint32_t fcgi__entry_kind(const fcgi__shared_block *entry) {
  return fcgi__look(&entry->mark) >> 16;
}
static inline uint32_t fcgi__entry_key_len(const fcgi__shared_block *entry) {
  return fcgi__look(&entry->mark) & 0xffff;
}

/* 1 when its time is over. */
static inline int fcgi__entry_is_over(const fcgi__visit *v,
                                      const fcgi__shared_block *entry) {
  uint64_t expires = fcgi__look_long(&entry->as.first.expires);
  return expires && expires <= v->now;
}

/* The number of the entry with that key, or 0; one whose time is over is
   removed. */
uint32_t fcgi__entry_find(fcgi__visit *v, const fcgi__key *key);

/* It is used: it goes last now. */
void fcgi__entry_use(fcgi__visit *v, uint32_t number);

/* Store the content in the place of what the key has. Returns how many others
   had to go before their time, or FCGI_ERR_LIMIT. */
int fcgi__entry_store(fcgi__visit *v, const fcgi__key *key,
                      const fcgi__content *content);

void fcgi__entry_remove(fcgi__visit *v, uint32_t number);

#endif
