/* SPDX-License-Identifier: MIT */
#include "supervisor/limits.h"
#include "supervisor/census.h"
#include "supervisor/dictionaries.h"
#include "supervisor/generation.h"
#include "supervisor/worker.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
  MEASURE_MS = 1000, /* Between two looks at the workers. */
  LIVING_MS = 500,   /* A server with a spare thread shows life more often. */
  LAST_MS = 1000     /* For one whose every request is lost already. */
};

/* Workers that were started together shall not end together. The numbers are
   spread, not secret: two rounds of a multiplying hash. */
static uint64_t spread(uint64_t seed, uint64_t below) {
  for (int i = 0; i < 2; i++) {
    seed = (seed ^ (seed >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
    seed ^= seed >> 29;
  }
  return seed % below;
}

long long fcgi__limits_age_due(const fcgi_supervisor_config *c, long long now,
                               pid_t pid) {
  int64_t age = c->max_worker_age_ms, jitter = c->max_worker_age_jitter_ms;
  uint64_t seed = (uint64_t)now << 22 ^ (uint64_t)pid;
  if (age <= 0)
    return LLONG_MAX;
  if (jitter > 0)
    age -= (int64_t)spread(seed, (uint64_t)jitter + 1);
  return now + (age > 0 ? age : 1);
}

long long fcgi__limits_rss(pid_t pid) {
  char path[40], text[128];
  unsigned long pages = 0;
  int fd;
  ssize_t len;
  snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
  fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  len = read(fd, text, sizeof text - 1);
  close(fd);
  text[len > 0 ? len : 0] = '\0';
  if (sscanf(text, "%*u %lu", &pages) != 1)
    return -1;
  return (long long)pages * sysconf(_SC_PAGESIZE);
}

/* 1 when the worker is over a limit, after one line that says which. That of
   its requests it counts itself. */
static int is_over(fcgi__supervisor *s, const fcgi__worker *w, long long now,
                   int measure) {
  long long rss;
  if (w->spent) {
    fcgi__supervisor_log(s, FCGI_LOG_INFO,
                         "worker %ld has served as many requests as it may, "
                         "and is replaced",
                         (long)w->pid);
    return 1;
  }
  if (w->retire_due <= now) {
    fcgi__supervisor_log(s, FCGI_LOG_INFO,
                         "worker %ld has served for %.1f s, and is replaced",
                         (long)w->pid, (double)(now - w->started) / 1000);
    return 1;
  }
  rss = measure ? fcgi__limits_rss(w->pid) : -1;
  if (rss < 0 || (uint64_t)rss <= s->config.max_worker_rss)
    return 0;
  fcgi__supervisor_log(s, FCGI_LOG_INFO,
                       "worker %ld uses %lld KiB of memory, and is replaced",
                       (long)w->pid, rss / 1024);
  return 1;
}

static int is_retiring(const fcgi__supervisor *s) {
  for (size_t i = 0; i < s->worker_count; i++)
    if (s->workers[i].retiring && s->workers[i].state == FCGI__LIFE_READY)
      return 1;
  return 0;
}

/* Not during a reload, which replaces them all anyway. */
static int is_free(const fcgi__supervisor *s) {
  return s->phase == FCGI__SUPERVISOR_SERVING && !s->next && !is_retiring(s);
}

static void retire_hung(fcgi__supervisor *s, fcgi__worker *w, const char *what,
                        double seconds) {
  fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                       "worker %ld %s %.1f s, and is replaced", (long)w->pid,
                       what, seconds);
  fcgi__board_count(&s->board, FCGI_SUPERVISED_HUNG);
  w->retiring = 1;
}

int fcgi__limits_is_busy(fcgi__supervisor *s, fcgi__worker *w, long long now) {
  int64_t silent = fcgi__board_silent_ms(&s->board, w->slot);
  if (s->phase != FCGI__SUPERVISOR_SERVING || silent < 0 || silent > LIVING_MS)
    return 0;
  w->alive_due = now + s->config.timeout_ms;
  if (!w->retiring)
    retire_hung(s, w, "has been busy in every handler for",
                s->config.timeout_ms / 1000.0);
  return 1;
}

/* The deadline of a request has passed, and the time of a graceful stop too. */
static void look_at(fcgi__supervisor *s, fcgi__worker *w, long long now) {
  int64_t late = fcgi__board_overdue_ms(&s->board, w->slot);
  if (late < s->config.graceful_timeout_ms)
    return;
  if (w->state == FCGI__LIFE_READY && !w->retiring)
    retire_hung(s, w, "has a handler that is past the deadline by",
                (double)late / 1000);
  else if (w->state == FCGI__LIFE_LEAVING && w->kill_due > now + LAST_MS &&
           fcgi__board_only_overdue(&s->board, w->slot))
    w->kill_due = now + LAST_MS;
}

static void look(fcgi__supervisor *s, long long now) {
  s->measure_due = now + MEASURE_MS;
  fcgi__census_look(s);
  fcgi__dictionaries_look(s, now);
  for (size_t i = 0; i < s->worker_count; i++)
    look_at(s, &s->workers[i], now);
}

void fcgi__limits_tick(fcgi__supervisor *s, long long now) {
  int due = s->phase != FCGI__SUPERVISOR_STARTING && s->measure_due <= now;
  int measure = due && s->config.max_worker_rss > 0;
  if (due)
    look(s, now);
  if (!is_free(s))
    return;
  for (size_t i = 0; i < s->worker_count; i++) {
    fcgi__worker *w = &s->workers[i];
    if (w->state != FCGI__LIFE_READY || w->generation != s->current ||
        !is_over(s, w, now, measure))
      continue;
    w->retiring = 1;
    fcgi__board_count(&s->board, FCGI_SUPERVISED_RETIRED);
    return;
  }
}

long long fcgi__limits_due(const fcgi__supervisor *s) {
  long long due =
      s->phase == FCGI__SUPERVISOR_STARTING ? LLONG_MAX : s->measure_due;
  if (!is_free(s))
    return due;
  for (size_t i = 0; i < s->worker_count; i++)
    if (s->workers[i].state == FCGI__LIFE_READY &&
        s->workers[i].retire_due < due)
      due = s->workers[i].retire_due;
  return due;
}
