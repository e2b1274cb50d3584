/* SPDX-License-Identifier: MIT */
/* Locks that programs take: an entry that has the token as its number and the
   process that holds it as its value. */
#include "os/clock.h"
#include "shared/entry.h"
#include <fastcgi/error.h>
#include <limits.h>

enum {
  TTL_MS = 60000, /* How long a lock is held at most, unless said. */
  LONGEST_MS = 50 /* After which a waiter looks whether its holder lives. */
};

static int is_forsaken(fcgi__visit *v, uint32_t number) {
  fcgi__shared_block *entry = fcgi__block(v, number);
  fcgi__owner owner = 0;
  if (fcgi__look(&entry->as.first.value_len) != sizeof owner)
    v->damaged = 1;
  else
    fcgi__chain_read(v, number, fcgi__entry_key_len(entry), &owner,
                     sizeof owner);
  return fcgi__owner_is_dead(owner);
}

/* One try: 1 with the token, 0 when another one holds it, or an error. */
static int try_to(fcgi_shared *d, const fcgi__key *key, int64_t ttl_ms,
                  uint64_t *token, uint32_t *bell) {
  fcgi__visit v;
  fcgi__owner self;
  fcgi__content content = {.kind = FCGI__SHARED_LOCK, .len = sizeof self};
  uint32_t number;
  int result = fcgi__visit_begin(&v, d);
  if (result)
    return result;
  *bell = atomic_load(&d->head->bell);
  number = fcgi__entry_find(&v, key);
  if (number && !is_forsaken(&v, number))
    return fcgi__visit_end(&v, 0);
  self = fcgi__owner_self(&d->here);
  content.data = &self;
  content.number = *token = ++d->head->token;
  content.expires = v.now + (uint64_t)ttl_ms;
  result = fcgi__entry_store(&v, key, &content);
  return fcgi__visit_end(&v, result < 0 ? result : 1);
}

static int pause_ms(int wait_ms, long long end) {
  long long left = wait_ms < 0 ? LONGEST_MS : end - fcgi__now();
  return left > LONGEST_MS ? LONGEST_MS : (int)left;
}

static int sleep_on(fcgi_shared *d, uint32_t bell, int ms) {
  void *kept = d->sleep.begins ? d->sleep.begins(d->sleep.data) : NULL;
  fcgi__latch_await(&d->head->bell, bell, ms);
  if (d->sleep.ended)
    d->sleep.ended(d->sleep.data, kept);
  return 0;
}

int fcgi_shared_lock(fcgi_shared *shared, const void *key, size_t key_len,
                     int64_t ttl_ms, int wait_ms, uint64_t *token) {
  fcgi__key made;
  uint32_t bell = 0;
  long long end;
  int result = fcgi__key_make(&made, shared, key, key_len, 1);
  wait_ms = fcgi__wait_ms(wait_ms);
  end = fcgi__now() + wait_ms;
  *token = 0;
  if (ttl_ms < 0 || ttl_ms > INT64_MAX / 4)
    return FCGI_ERR_INVALID;
  while (!result) {
    int ms;
    result = try_to(shared, &made, ttl_ms ? ttl_ms : TTL_MS, token, &bell);
    ms = pause_ms(wait_ms, end);
    if (result || ms <= 0)
      break;
    result = sleep_on(shared, bell, ms);
  }
  return result;
}

int fcgi_shared_unlock(fcgi_shared *shared, const void *key, size_t key_len,
                       uint64_t token) {
  fcgi__visit v;
  fcgi__key made;
  uint32_t number;
  int error = fcgi__key_make(&made, shared, key, key_len, 1), held;
  if (!error)
    error = fcgi__visit_begin(&v, shared);
  if (error)
    return error;
  number = fcgi__entry_find(&v, &made);
  held = number &&
         fcgi__look_long(&fcgi__block(&v, number)->as.first.number) == token;
  if (held)
    fcgi__entry_remove(&v, number);
  atomic_fetch_add(&shared->head->bell, 1);
  held = fcgi__visit_end(&v, held);
  fcgi__latch_wake(&shared->head->bell, INT_MAX);
  return held;
}
