/* SPDX-License-Identifier: MIT */
#include "shared/latch.h"
#include "os/clock.h"
#include <fastcgi/error.h>
#include <limits.h>
#include <time.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#define SLEEPERS (UINT64_C(1) << 31)

enum {
  SPINS = 64,     /* An owner that runs is done within so many looks. */
  FIRST_MS = 2,   /* How long to sleep before the owner is looked at: */
  LONGEST_MS = 32 /* longer each time, but no longer than that. */
};

#ifdef __linux__

void fcgi__latch_await(_Atomic uint32_t *word, uint32_t seen, int timeout_ms) {
  const struct timespec limit = {timeout_ms / 1000,
                                 timeout_ms % 1000 * 1000000L};
  syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0);
}

void fcgi__latch_wake(_Atomic uint32_t *word, int how_many) {
  syscall(SYS_futex, word, FUTEX_WAKE, how_many, NULL, NULL, 0);
}

#else

void fcgi__latch_await(_Atomic uint32_t *word, uint32_t seen, int timeout_ms) {
  const struct timespec moment = {.tv_nsec = 1000000L};
  for (int i = 0; i < timeout_ms && atomic_load(word) == seen; i++)
    nanosleep(&moment, NULL);
}

void fcgi__latch_wake(_Atomic uint32_t *word, int how_many) {
  (void)word;
  (void)how_many;
}

#endif

static _Atomic uint32_t *lower_half(fcgi__latch *latch) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return &latch->halves[1];
#else
  return &latch->halves[0];
#endif
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

/* 1 when it could be taken by whoever has not slept. */
static int spin(fcgi__latch *latch, fcgi__owner self) {
  for (int i = 0; i < SPINS; i++) {
    uint64_t free = 0;
    if (atomic_compare_exchange_weak_explicit(&latch->word, &free, self,
                                              memory_order_acquire,
                                              memory_order_relaxed))
      return 1;
    relax();
  }
  return 0;
}

/* One turn of whoever sleeps: 1 when it is taken, 2 from a dead process, 0 to
   go on. Others may sleep too, so the mark of sleepers stays. */
static int turn(fcgi__latch *latch, fcgi__owner self, int pause_ms) {
  uint64_t seen = atomic_load(&latch->word), marked = seen | SLEEPERS;
  if (seen == 0)
    return atomic_compare_exchange_strong(&latch->word, &seen, self | SLEEPERS);
  if (seen != marked &&
      !atomic_compare_exchange_strong(&latch->word, &seen, marked))
    return 0;
  fcgi__latch_await(lower_half(latch), (uint32_t)marked, pause_ms);
  if (atomic_load(&latch->word) != marked ||
      !fcgi__owner_is_dead(marked & ~SLEEPERS))
    return 0;
  return 2 *
         atomic_compare_exchange_strong(&latch->word, &marked, self | SLEEPERS);
}

static int wait_for(fcgi__latch *latch, fcgi__owner self) {
  long long end = fcgi__now() + FCGI__LATCH_PATIENCE_MS;
  int pause_ms = FIRST_MS;
  do {
    int taken = turn(latch, self, pause_ms);
    if (taken)
      return taken - 1;
    pause_ms = pause_ms < LONGEST_MS ? 2 * pause_ms : LONGEST_MS;
  } while (fcgi__now() < end);
  return FCGI_ERR_TIMEOUT;
}

int fcgi__latch_take(fcgi__latch *latch, fcgi__owner self,
                     const fcgi__latch_sleep *sleep) {
  void *kept = NULL;
  int taken;
  if (spin(latch, self))
    return 0;
  if (sleep->begins)
    kept = sleep->begins(sleep->data);
  taken = wait_for(latch, self);
  if (sleep->ended)
    sleep->ended(sleep->data, kept);
  return taken;
}

void fcgi__latch_give(fcgi__latch *latch) {
  uint64_t held =
      atomic_exchange_explicit(&latch->word, 0, memory_order_release);
  if (held & SLEEPERS)
    fcgi__latch_wake(lower_half(latch), 1);
}
