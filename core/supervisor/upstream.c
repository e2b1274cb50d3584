/* SPDX-License-Identifier: MIT */
#include "supervisor/upstream.h"
#include "os/clock.h"
#include "parent/notify.h"
#include "supervisor/generation.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void take_name(char *out, size_t len, const char *variable) {
  const char *name = getenv(variable);
  snprintf(out, len, "%s", name ? name : "");
}

void fcgi__upstream_find(fcgi__supervisor *s) {
  take_name(s->upstream, sizeof s->upstream, "NOTIFY_SOCKET");
  take_name(s->predecessor, sizeof s->predecessor, "FASTCGI_UPGRADE_NOTIFY");
  s->upstream_ms = s->upstream[0] ? fcgi__notify_interval() : 0;
  s->upstream_due = fcgi__now();
}

__attribute__((format(printf, 2, 3))) static void
tell(const fcgi__supervisor *s, const char *format, ...) {
  char text[256];
  va_list arguments;
  if (!s->upstream[0])
    return;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fcgi__notify_send(s->upstream, text);
}

/* The one we replace hears it once; the service manager first heard from it
   that we are the service now. */
void fcgi__upstream_is_ready(fcgi__supervisor *s) {
  if (s->predecessor[0])
    fcgi__notify_send(s->predecessor, "READY=1");
  s->predecessor[0] = '\0';
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
  s->upstream[0] = '\0';
  s->upstream_ms = 0;
}

void fcgi__upstream_tick(fcgi__supervisor *s, long long now) {
  if (s->upstream_ms == 0 || s->upstream_due > now)
    return;
  s->upstream_due = now + s->upstream_ms;
  tell(s, "WATCHDOG=1");
}
