/* SPDX-License-Identifier: MIT */
#include "os/wheel.h"
#include <limits.h>
#include <stddef.h>

enum {
  LAST = FCGI__WHEEL_SLOTS - 1,                     /* Of a level. */
  DUE = FCGI__WHEEL_LEVELS * FCGI__WHEEL_SLOTS,     /* No slot: `due`. */
  SPAN_BITS = FCGI__WHEEL_LEVELS * FCGI__WHEEL_BITS /* Of all times. */
};

void fcgi__wheel_init(fcgi__wheel *wheel, long long now) {
  *wheel = (fcgi__wheel){.now = now};
  wheel->due_end = &wheel->due;
  pthread_mutex_init(&wheel->lock, NULL);
}

void fcgi__timer_init(fcgi__timer *timer) {
  *timer = (fcgi__timer){.next = NULL};
  atomic_init(&timer->when, LLONG_MAX);
}

void fcgi__wheel_end(fcgi__wheel *wheel) {
  pthread_mutex_destroy(&wheel->lock);
}

/* The number of the highest bit that is set; there is one. */
static unsigned highest(uint64_t bits) {
  return 63u - (unsigned)__builtin_clzll(bits);
}

static unsigned level_of(unsigned slot) {
  return slot / FCGI__WHEEL_SLOTS;
}

/* `when` lies ahead: some digit of it, to the base of 64, is the first that is
   larger than that of now. */
static unsigned slot_for(const fcgi__wheel *wheel, long long when) {
  unsigned level =
      highest((uint64_t)when ^ (uint64_t)wheel->now) / FCGI__WHEEL_BITS;
  return level * FCGI__WHEEL_SLOTS +
         ((unsigned)(when >> level * FCGI__WHEEL_BITS) & LAST);
}

static long long start_of(const fcgi__wheel *wheel, unsigned slot) {
  unsigned shift = level_of(slot) * FCGI__WHEEL_BITS;
  long long before = (wheel->now >> shift) & ~(long long)LAST;
  return (before | (slot & LAST)) << shift;
}

static void put_due(fcgi__wheel *wheel, fcgi__timer *timer) {
  timer->slot = DUE;
  timer->here = wheel->due_end;
  timer->next = NULL;
  *wheel->due_end = timer;
  wheel->due_end = &timer->next;
  wheel->due_count++;
}

static void put_into(fcgi__wheel *wheel, fcgi__timer *timer, unsigned slot) {
  timer->slot = slot;
  timer->here = &wheel->slots[slot];
  timer->next = wheel->slots[slot];
  if (timer->next)
    timer->next->here = &timer->next;
  wheel->slots[slot] = timer;
  wheel->filled[level_of(slot)] |= 1ull << (slot & LAST);
}

static void put(fcgi__wheel *wheel, fcgi__timer *timer) {
  long long when = atomic_load_explicit(&timer->when, memory_order_relaxed);
  wheel->steps++;
  if (when <= wheel->now)
    put_due(wheel, timer);
  else
    put_into(wheel, timer, slot_for(wheel, when));
}

static void take_out(fcgi__wheel *wheel, fcgi__timer *timer) {
  unsigned slot = timer->slot;
  *timer->here = timer->next;
  if (timer->next)
    timer->next->here = timer->here;
  else if (slot == DUE)
    wheel->due_end = timer->here;
  if (slot == DUE)
    wheel->due_count--;
  else if (!wheel->slots[slot])
    wheel->filled[level_of(slot)] &= ~(1ull << (slot & LAST));
}

/* The slot that comes first: finer levels lie before coarser ones, and what is
   filled lies ahead. -1: none. */
static int first_slot(const fcgi__wheel *wheel) {
  for (unsigned level = 0; level < FCGI__WHEEL_LEVELS; level++)
    if (wheel->filled[level])
      return (int)(level * FCGI__WHEEL_SLOTS) +
             __builtin_ctzll(wheel->filled[level]);
  return -1;
}

static long long next_of(const fcgi__wheel *wheel) {
  int slot = first_slot(wheel);
  if (wheel->due)
    return wheel->now;
  return slot < 0 ? LLONG_MAX : start_of(wheel, (unsigned)slot);
}

/* The clock has reached a slot: all in it lies in finer ones from here on. */
static void spread(fcgi__wheel *wheel, unsigned slot) {
  fcgi__timer *at = wheel->slots[slot], *next;
  wheel->now = start_of(wheel, slot);
  wheel->slots[slot] = NULL;
  wheel->filled[level_of(slot)] &= ~(1ull << (slot & LAST));
  for (; at; at = next) {
    next = at->next;
    put(wheel, at);
  }
}

static void turn(fcgi__wheel *wheel, long long now) {
  int slot;
  while ((slot = first_slot(wheel)) >= 0 &&
         start_of(wheel, (unsigned)slot) <= now)
    spread(wheel, (unsigned)slot);
  if (now > wheel->now)
    wheel->now = now;
}

static long long rounded(long long when, long long now) {
  const long long most = (1ll << SPAN_BITS) - 1;
  long long share = (when - now) >> FCGI__WHEEL_LATE, unit;
  if (when <= now || share <= 1 || when > most / 2)
    return when < most ? when : most;
  unit = 1ll << highest((uint64_t)share);
  return (when + unit - 1) & ~(unit - 1);
}

long long fcgi__wheel_arm(fcgi__wheel *wheel, fcgi__timer *timer,
                          long long when, long long now) {
  long long next = LLONG_MAX;
  pthread_mutex_lock(&wheel->lock);
  if (when < atomic_load(&timer->when)) {
    if (atomic_load(&timer->when) != LLONG_MAX)
      take_out(wheel, timer);
    turn(wheel, now);
    atomic_store(&timer->when, rounded(when, now));
    put(wheel, timer);
    next = timer->slot == DUE ? wheel->now : start_of(wheel, timer->slot);
  }
  pthread_mutex_unlock(&wheel->lock);
  return next;
}

unsigned fcgi__wheel_turn(fcgi__wheel *wheel, long long now) {
  unsigned count;
  pthread_mutex_lock(&wheel->lock);
  turn(wheel, now);
  count = wheel->due_count;
  pthread_mutex_unlock(&wheel->lock);
  return count;
}

/* Whoever sets a time looks at `when` after that, and whoever takes a timer
   looks at the time after it: one of the two sees the other. */
fcgi__timer *fcgi__wheel_take(fcgi__wheel *wheel) {
  fcgi__timer *timer;
  pthread_mutex_lock(&wheel->lock);
  timer = wheel->due;
  if (timer) {
    take_out(wheel, timer);
    atomic_store(&timer->when, LLONG_MAX);
  }
  pthread_mutex_unlock(&wheel->lock);
  return timer;
}

long long fcgi__wheel_next(fcgi__wheel *wheel) {
  long long next;
  pthread_mutex_lock(&wheel->lock);
  next = next_of(wheel);
  pthread_mutex_unlock(&wheel->lock);
  return next;
}
