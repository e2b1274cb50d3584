/* SPDX-License-Identifier: MIT */
#include "shared/entry.h"
#include "shared/hash.h"
#include <fastcgi/error.h>
#include <limits.h>

enum { EXPIRED_AMONG = 8 }; /* Entries in which an expired one is looked for. */

int fcgi__key_make(fcgi__key *out, const fcgi_shared *d, const void *data,
                   size_t len, int is_lock) {
  uint64_t hash;
  if (!data || len == 0 || len > FCGI_SHARED_KEY)
    return FCGI_ERR_INVALID;
  hash = fcgi__shared_hash(d->seed, data, len);
  *out = (fcgi__key){.data = data,
                     .len = (uint32_t)len,
                     .hash = (uint32_t)(hash >> 32),
                     .bucket = (uint32_t)hash & d->bucket_mask,
                     .is_lock = is_lock};
  return 0;
}

/* --- Buckets -------------------------------------------------------------- */

static uint32_t *bucket_of(const fcgi__visit *v, const fcgi__key *key) {
  return &v->d->buckets[key->bucket];
}

static int is_it(fcgi__visit *v, uint32_t number, const fcgi__key *key) {
  const fcgi__shared_block *entry = fcgi__block(v, number);
  uint32_t mark = fcgi__look(&entry->mark);
  return fcgi__look(&entry->as.first.hash) == key->hash &&
         (mark & 0xffff) == key->len &&
         (mark >> 16 == FCGI__SHARED_LOCK) == key->is_lock &&
         fcgi__chain_equals(v, number, key->data, key->len);
}

/* There are not more entries in a bucket than blocks. */
static uint32_t search(fcgi__visit *v, const fcgi__key *key) {
  uint32_t at = fcgi__look(bucket_of(v, key)), left = v->d->block_count;
  for (; at && !v->damaged;
       at = fcgi__look(&fcgi__block(v, at)->as.first.hash_next)) {
    if (left-- == 0)
      v->damaged = 1;
    else if (is_it(v, at, key))
      return at;
  }
  return 0;
}

/* What refers to an entry in its bucket, whose index lies in no block: the
   entries of a bucket share it, so it is found by the key. */
static uint32_t *link_to(fcgi__visit *v, uint32_t number, uint32_t bucket) {
  uint32_t *link = &v->d->buckets[bucket], left = v->d->block_count;
  for (uint32_t at; (at = fcgi__look(link)) != number && !v->damaged;) {
    if (at == 0 || left-- == 0)
      v->damaged = 1;
    else
      link = &fcgi__block(v, at)->as.first.hash_next;
  }
  return link;
}

static uint32_t bucket_of_entry(fcgi__visit *v, uint32_t number) {
  unsigned char key[FCGI_SHARED_KEY];
  uint32_t len = fcgi__entry_key_len(fcgi__block(v, number));
  if (len == 0 || len > sizeof key)
    v->damaged = 1;
  if (v->damaged)
    return 0;
  fcgi__chain_read(v, number, 0, key, len);
  return (uint32_t)fcgi__shared_hash(v->d->seed, key, len) & v->d->bucket_mask;
}

/* --- The order of use ----------------------------------------------------- */

static uint32_t *newer_of(fcgi__visit *v, uint32_t number) {
  return number ? &fcgi__block(v, number)->as.first.newer : &v->d->head->oldest;
}

static uint32_t *older_of(fcgi__visit *v, uint32_t number) {
  return number ? &fcgi__block(v, number)->as.first.older : &v->d->head->newest;
}

/* 0 stands for the end of the list on either side. */
static void leave_order(fcgi__visit *v, uint32_t number) {
  uint32_t newer = fcgi__look(newer_of(v, number));
  uint32_t older = fcgi__look(older_of(v, number));
  fcgi__put(v, older_of(v, newer), older);
  fcgi__put(v, newer_of(v, older), newer);
}

static void enter_order(fcgi__visit *v, uint32_t number) {
  uint32_t newest = fcgi__look(&v->d->head->newest);
  fcgi__put(v, older_of(v, number), newest);
  fcgi__put(v, newer_of(v, number), 0);
  fcgi__put(v, newer_of(v, newest), number);
  fcgi__put(v, &v->d->head->newest, number);
}

static void move_to_front(fcgi__visit *v, uint32_t number) {
  if (fcgi__look(&v->d->head->newest) == number)
    return;
  leave_order(v, number);
  enter_order(v, number);
}

void fcgi__entry_use(fcgi__visit *v, uint32_t number) {
  move_to_front(v, number);
  fcgi__commit(v);
}

/* --- Entries that go ------------------------------------------------------ */

static uint64_t blocks_of(const fcgi__shared_block *entry) {
  return fcgi__chain_blocks((uint64_t)fcgi__entry_key_len(entry) +
                            fcgi__look(&entry->as.first.value_len));
}

/* As part of a change. */
static void take_out(fcgi__visit *v, uint32_t number, uint32_t bucket) {
  fcgi__shared_head *head = v->d->head;
  fcgi__shared_block *entry = fcgi__block(v, number);
  uint64_t blocks = blocks_of(entry);
  if (blocks > v->d->block_count)
    v->damaged = 1;
  fcgi__put(v, link_to(v, number, bucket),
            fcgi__look(&entry->as.first.hash_next));
  leave_order(v, number);
  fcgi__chain_give(v, number, (uint32_t)blocks,
                   fcgi__look(&entry->as.first.last));
  fcgi__put(v, &entry->mark, 0);
  fcgi__put(v, &head->entries, fcgi__look(&head->entries) - 1);
}

void fcgi__entry_remove(fcgi__visit *v, uint32_t number) {
  take_out(v, number, bucket_of_entry(v, number));
  fcgi__commit(v);
}

uint32_t fcgi__entry_find(fcgi__visit *v, const fcgi__key *key) {
  uint32_t number = search(v, key);
  if (!number || !fcgi__entry_is_over(v, fcgi__block(v, number)))
    return number;
  take_out(v, number, key->bucket);
  fcgi__commit(v);
  fcgi__tell(v, FCGI_SHARED_EXPIRED);
  return 0;
}

/* The one to go: an expired one among the oldest, or else the oldest. */
static uint32_t choose(fcgi__visit *v) {
  uint32_t oldest = fcgi__look(&v->d->head->oldest), at = oldest;
  for (int i = 0; at && i < EXPIRED_AMONG && !v->damaged; i++) {
    fcgi__shared_block *entry = fcgi__block(v, at);
    if (fcgi__entry_is_over(v, entry))
      return at;
    at = fcgi__look(&entry->as.first.newer);
  }
  return oldest;
}

/* 1 when an entry went before its time, 0 when one went that was over, or that
   is a lock and goes last now. */
static int evict(fcgi__visit *v) {
  uint32_t number = choose(v);
  fcgi__shared_block *entry = fcgi__block(v, number);
  int is_over = fcgi__entry_is_over(v, entry);
  if (!is_over && fcgi__entry_kind(entry) == FCGI__SHARED_LOCK) {
    fcgi__entry_use(v, number);
    return 0;
  }
  fcgi__entry_remove(v, number);
  fcgi__tell(v, is_over ? FCGI_SHARED_EXPIRED : FCGI_SHARED_EVICTED);
  return !is_over;
}

/* Have that many free blocks. Every turn removes an entry, or is one of a lock,
   of which there are not more than entries. */
static int make_room(fcgi__visit *v, uint32_t blocks) {
  uint32_t turns = 2 * fcgi__look(&v->d->head->entries);
  int evicted = 0;
  if (turns > 2 * v->d->block_count)
    v->damaged = 1;
  while (!v->damaged && !fcgi__chain_is_free(v, blocks)) {
    if (turns-- == 0)
      return FCGI_ERR_LIMIT;
    evicted += evict(v);
  }
  return evicted;
}

/* --- Entries that come ---------------------------------------------------- */

/* Fills free blocks, which nobody looks at. */
static void fill(fcgi__visit *v, uint32_t first, uint32_t last,
                 const fcgi__key *key, const fcgi__content *content) {
  fcgi__shared_block *entry = fcgi__block(v, first);
  entry->as.first.hash = key->hash;
  entry->as.first.value_len = content->len;
  entry->as.first.last = last;
  entry->as.first.expires = content->expires;
  entry->as.first.number = content->number;
  fcgi__chain_write(v, first, 0, key->data, key->len);
  fcgi__chain_write(v, first, key->len, content->data, content->len);
}

static void put_in(fcgi__visit *v, uint32_t number, const fcgi__key *key,
                   uint32_t kind) {
  fcgi__shared_head *head = v->d->head;
  fcgi__shared_block *entry = fcgi__block(v, number);
  uint32_t *bucket = bucket_of(v, key);
  fcgi__put(v, &entry->as.first.hash_next, fcgi__look(bucket));
  fcgi__put(v, bucket, number);
  enter_order(v, number);
  fcgi__put(v, &entry->mark, kind << 16 | key->len);
  fcgi__put(v, &head->entries, fcgi__look(&head->entries) + 1);
}

static void exchange(fcgi__visit *v, uint32_t old, uint32_t blocks,
                     const fcgi__key *key, const fcgi__content *content) {
  uint32_t last, first = fcgi__chain_look(v, blocks, &last);
  if (v->damaged)
    return;
  fill(v, first, last, key, content);
  fcgi__chain_take(v, blocks, last);
  if (old)
    take_out(v, old, key->bucket);
  put_in(v, first, key, content->kind);
  fcgi__commit(v);
}

static int refuse(fcgi__visit *v) {
  fcgi__tell(v, FCGI_SHARED_REFUSED);
  return FCGI_ERR_LIMIT;
}

/* What the key has now goes last of all, and what makes room may take even
   that: it is looked for again. */
int fcgi__entry_store(fcgi__visit *v, const fcgi__key *key,
                      const fcgi__content *content) {
  uint64_t blocks = fcgi__chain_blocks((uint64_t)key->len + content->len);
  uint32_t old = search(v, key), entries;
  int evicted;
  if (blocks > v->d->block_count)
    return refuse(v);
  if (old)
    fcgi__entry_use(v, old);
  entries = fcgi__look(&v->d->head->entries);
  evicted = make_room(v, (uint32_t)blocks);
  if (evicted < 0)
    return refuse(v);
  if (old && entries != fcgi__look(&v->d->head->entries))
    old = search(v, key);
  if (!v->damaged)
    exchange(v, old, (uint32_t)blocks, key, content);
  fcgi__tell(v, FCGI_SHARED_STORED);
  return evicted;
}
