/* SPDX-License-Identifier: MIT */
#include "supervisor/upstream.h"
#include "os/clock.h"
#include "parent/notify.h"
#include "supervisor/generation.h"
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LAST_TRIES = 10 }; /* Of a process that ends. */

static void take_name(char *out, size_t len, const char *variable) {
  const char *name = getenv(variable);
  snprintf(out, len, "%s", name ? name : "");
}

void fcgi__upstream_find(fcgi__supervisor *s) {
  take_name(s->upstream, sizeof s->upstream, "NOTIFY_SOCKET");
  if (!s->owns) /* It has its listeners from one. */
    take_name(s->predecessor, sizeof s->predecessor, "FASTCGI_UPGRADE_NOTIFY");
  s->upstream_ms = s->upstream[0] ? fcgi__notify_interval() : 0;
  s->upstream_due = fcgi__now();
}

/* 1: it is not sent, but may be later. */
static int is_put_off(const char *name, const char *text) {
  return fcgi__notify_send(name, text) < 0 && fcgi__notify_is_passing(errno);
}

static void forget_oldest(fcgi__supervisor *s) {
  s->owed_count--;
  memmove(s->owed[0], s->owed[1], s->owed_count * sizeof s->owed[0]);
}

/* Send what is owed, in order. */
static void pay(fcgi__supervisor *s, long long now) {
  s->owed_due = now + FCGI__NOTIFY_AGAIN_MS;
  if (s->took_over && !is_put_off(s->predecessor, "READY=1"))
    s->took_over = s->predecessor[0] = '\0';
  while (s->owed_count > 0 && !is_put_off(s->upstream, s->owed[0]))
    forget_oldest(s);
}

static int owes(const fcgi__supervisor *s) {
  return s->owed_count > 0 || s->took_over;
}

/* Where nothing is read for long, what is said last is what counts. */
__attribute__((format(printf, 2, 3))) static void
tell(fcgi__supervisor *s, const char *format, ...) {
  va_list arguments;
  if (!s->upstream[0] || s->moved)
    return;
  if (s->owed_count == sizeof s->owed / sizeof *s->owed)
    forget_oldest(s);
  va_start(arguments, format);
  vsnprintf(s->owed[s->owed_count++], sizeof *s->owed, format, arguments);
  va_end(arguments);
  pay(s, fcgi__now());
}

/* The one we replace hears it once; the service manager first heard from it
   that we are the service now. */
void fcgi__upstream_is_ready(fcgi__supervisor *s) {
  if (s->predecessor[0])
    s->took_over = 1;
  pay(s, fcgi__now());
  tell(s, "READY=1\nSTATUS=generation %u, %zu workers", s->current,
       fcgi__generations_serving(s));
}

void fcgi__upstream_is_reloading(fcgi__supervisor *s) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  tell(s, "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading",
       (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void fcgi__upstream_is_stopping(fcgi__supervisor *s) {
  tell(s, "STOPPING=1\nSTATUS=stopping");
}

void fcgi__upstream_moves(fcgi__supervisor *s, pid_t successor) {
  tell(s, "MAINPID=%ld", (long)successor);
  s->moved = 1;
  s->upstream_ms = 0;
}

long long fcgi__upstream_due(const fcgi__supervisor *s) {
  long long due = owes(s) ? s->owed_due : LLONG_MAX;
  return s->upstream_ms > 0 && s->upstream_due < due ? s->upstream_due : due;
}

void fcgi__upstream_tick(fcgi__supervisor *s, long long now) {
  long long next = s->upstream_ms;
  if (owes(s) && s->owed_due <= now)
    pay(s, now);
  if (s->upstream_ms == 0 || s->upstream_due > now)
    return;
  if (is_put_off(s->upstream, "WATCHDOG=1") && next > FCGI__NOTIFY_AGAIN_MS)
    next = FCGI__NOTIFY_AGAIN_MS;
  s->upstream_due = now + next;
}

void fcgi__upstream_end(fcgi__supervisor *s) {
  const struct timespec moment = {.tv_nsec = FCGI__NOTIFY_AGAIN_MS * 1000000L};
  for (int i = 0; i < LAST_TRIES && owes(s); i++) {
    nanosleep(&moment, NULL);
    pay(s, fcgi__now());
  }
}
