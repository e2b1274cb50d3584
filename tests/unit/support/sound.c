/* SPDX-License-Identifier: MIT */
#include "support/sound.h"
#include "shared/hash.h"

#include <stdlib.h>
#include <string.h>

/* What has been found so far. */
typedef struct survey {
  const fcgi_shared *d; /* The dictionary. */
  unsigned char *seen;  /* For each block: 1 in a chain, 2 also in a bucket, 3
                           also in the order of use. */
  uint32_t entries;     /* Entries in buckets. */
  uint32_t blocks;      /* Blocks in chains. */
} survey;

static const fcgi__shared_block *block(const survey *s, uint32_t number) {
  return &s->d->blocks[number - 1];
}

/* 1 when the block exists and goes on from one state to the next. */
static int advance(survey *s, uint32_t number, int from) {
  if (number == 0 || number > s->d->head->fresh || s->seen[number] != from)
    return 0;
  s->seen[number]++;
  return 1;
}

/* The number of blocks, each in no chain before, or 0; the last of them. */
static uint32_t chain(survey *s, uint32_t at, uint32_t *last) {
  uint32_t count = 0;
  for (; at; at = block(s, at)->next) {
    if (!advance(s, at, 0))
      return 0;
    *last = at;
    count++;
  }
  s->blocks += count;
  return count;
}

static const char *free_ones(survey *s) {
  const fcgi__shared_head *head = s->d->head;
  uint32_t last = 0;
  if (chain(s, head->free_first, &last) != head->free_count)
    return "free blocks are not as many as counted";
  for (uint32_t at = head->free_first; at; at = block(s, at)->next)
    if (block(s, at)->mark)
      return "a free block is marked";
  return NULL;
}

static void copy_key(const survey *s, uint32_t at, unsigned char *out,
                     uint32_t len) {
  uint32_t part = len < FCGI__SHARED_FIRST ? len : FCGI__SHARED_FIRST;
  memcpy(out, block(s, at)->as.first.bytes, part);
  for (out += part, len -= part; len > 0; out += part, len -= part) {
    at = block(s, at)->next;
    part = len < FCGI__SHARED_MORE ? len : FCGI__SHARED_MORE;
    memcpy(out, block(s, at)->as.more, part);
  }
}

static const char *entry(survey *s, uint32_t number, uint32_t bucket) {
  const fcgi__shared_block *at = block(s, number);
  uint32_t last = 0, key_len = at->mark & 0xffff;
  uint64_t bytes = key_len + (uint64_t)at->as.first.value_len;
  uint64_t wanted = bytes <= FCGI__SHARED_FIRST
                        ? 1
                        : 1 + (bytes - FCGI__SHARED_FIRST + 119) / 120;
  unsigned char key[FCGI_SHARED_KEY];
  uint64_t hash;
  if (chain(s, number, &last) != wanted || last != at->as.first.last)
    return "the chain of an entry is of another length";
  if (key_len == 0 || key_len > sizeof key || !advance(s, number, 1))
    return "an entry has no key";
  copy_key(s, number, key, key_len);
  hash = fcgi__shared_hash(s->d->seed, key, key_len);
  if (((uint32_t)hash & s->d->bucket_mask) != bucket ||
      (uint32_t)(hash >> 32) != at->as.first.hash)
    return "an entry is in another's bucket";
  s->entries++;
  return NULL;
}

static const char *buckets(survey *s) {
  for (uint32_t i = 0; i <= s->d->bucket_mask; i++)
    for (uint32_t at = s->d->buckets[i]; at;
         at = block(s, at)->as.first.hash_next) {
      const char *why =
          at > s->d->head->fresh ? "a bucket leads nowhere" : entry(s, at, i);
      if (why)
        return why;
    }
  return s->entries == s->d->head->entries ? NULL : "entries are miscounted";
}

static const char *order(survey *s) {
  uint32_t before = 0, count = 0;
  for (uint32_t at = s->d->head->newest; at;
       at = block(s, at)->as.first.older) {
    if (!advance(s, at, 2) || block(s, at)->as.first.newer != before)
      return "the order of use is broken";
    before = at;
    count++;
  }
  if (before != s->d->head->oldest || count != s->entries)
    return "the order of use has not all entries";
  return s->blocks == s->d->head->fresh ? NULL : "blocks are lost";
}

const char *unit_unsound(const fcgi_shared *d) {
  survey s = {.d = d};
  const char *why = NULL;
  if (d->head->undo_count || d->head->emptying)
    return "a change is under way";
  if (d->head->fresh > d->block_count)
    return "more blocks than there are";
  s.seen = calloc(d->block_count + 1, 1);
  why = free_ones(&s);
  if (!why)
    why = buckets(&s);
  if (!why)
    why = order(&s);
  free(s.seen);
  return why;
}

fcgi_shared *unit_shared(size_t size) {
  const fcgi_shared_config config = {.size = sizeof config,
                                     .private_size = size};
  fcgi_shared *made;
  if (fcgi_shared_open(&made, "unit", &config))
    abort();
  return made;
}
