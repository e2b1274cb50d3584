/* SPDX-License-Identifier: MIT */
#include "supervisor/generation.h"
#include "os/clock.h"
#include "supervisor/plan.h"
#include "supervisor/upgrade.h"
#include "supervisor/upstream.h"
#include "supervisor/worker.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { APART_MS = 100 }; /* Between the beginnings of two generations. */

/* Workers of a generation that are, or will be, in the state READY. */
static unsigned count_workers(const fcgi__supervisor *s, unsigned generation,
                              int ready_only) {
  unsigned count = 0;
  for (size_t i = 0; i < s->worker_count; i++) {
    const fcgi__worker *w = &s->workers[i];
    if (w->generation == generation && !w->retiring &&
        (w->state == FCGI__LIFE_READY ||
         (!ready_only && w->state == FCGI__LIFE_STARTING)))
      count++;
  }
  return count;
}

size_t fcgi__generations_serving(const fcgi__supervisor *s) {
  size_t count = 0;
  for (size_t i = 0; i < s->worker_count; i++)
    count += s->workers[i].state == FCGI__LIFE_READY;
  return count;
}

static void stop_generation(fcgi__supervisor *s, unsigned generation) {
  for (size_t i = 0; i < s->worker_count; i++)
    if (s->workers[i].generation == generation &&
        s->workers[i].state != FCGI__LIFE_LEAVING)
      fcgi__worker_stop(s, &s->workers[i]);
}

/* The new workers may have accepted connections already, so they stop as
   gracefully as any. */
static void give_up_next(fcgi__supervisor *s, const char *why) {
  fcgi__supervisor_log(s, FCGI_LOG_ERROR,
                       "reload failed: %s; generation %u goes on serving", why,
                       s->current);
  fcgi__board_count(&s->board, FCGI_SUPERVISED_RELOADS_FAILED);
  stop_generation(s, s->next);
  s->next = 0;
  fcgi__upstream_is_ready(s);
}

static void give_up(fcgi__supervisor *s, const char *why) {
  fcgi__supervisor_log(s, FCGI_LOG_ERROR, "cannot start: %s", why);
  s->status = FCGI_SUPERVISOR_NO_WORKERS;
  fcgi__supervisor_stop(s, 1);
}

static void replace_later(fcgi__supervisor *s, long long lived, int clean,
                          const char *why) {
  int delay = fcgi__backoff_died(&s->backoff, fcgi__now(), lived, clean);
  fcgi_log_level level = clean ? FCGI_LOG_INFO : FCGI_LOG_WARNING;
  if (delay)
    fcgi__supervisor_log(s, level, "%s; starting another in %.1f s", why,
                         delay / 1000.0);
  else
    fcgi__supervisor_log(s, level, "%s; starting another", why);
}

/* What it means when a worker is lost, or cannot even be started. */
static void failed(fcgi__supervisor *s, unsigned generation, long long lived,
                   int clean, const char *why, int early) {
  if (s->phase == FCGI__SUPERVISOR_STARTING && early)
    give_up(s, why);
  else if (s->phase == FCGI__SUPERVISOR_STARTING)
    replace_later(s, lived, clean, why);
  else if (s->phase == FCGI__SUPERVISOR_SERVING && generation == s->next)
    give_up_next(s, why);
  else if (s->phase == FCGI__SUPERVISOR_SERVING && generation == s->current)
    replace_later(s, lived, clean, why);
}

/* A FastCGI program serves on. One that ends at once, and well, is most often
   a script for plain CGI, which finds no request in its environment. */
#define LIKE_CGI                                                               \
  ", as a plain CGI program does; a FastCGI program goes on serving, and "     \
  "fcgiwrap serves CGI programs: fcgi run ... -- fcgiwrap"

void fcgi__generation_lost(fcgi__supervisor *s, const fcgi__worker *worker,
                           const char *how, int clean) {
  char why[512];
  long long lived = fcgi__now() - worker->started;
  int early = worker->state == FCGI__LIFE_STARTING;
  if (worker->state == FCGI__LIFE_LEAVING)
    return;
  snprintf(why, sizeof why, "worker %ld %s%s", (long)worker->pid, how,
           !early || worker->start_due <= fcgi__now() ? ""
           : clean ? " before it was ready" LIKE_CGI
                   : " before it was ready");
  failed(s, worker->generation, lived, clean, why, early);
  fcgi__generations_settle(s);
}

/* Start what lacks: 0, or -1 when that has changed everything. */
static int fill(fcgi__supervisor *s, unsigned generation) {
  char why[PATH_MAX + 128];
  unsigned count = count_workers(s, generation, 0);
  for (; count < fcgi__plan_wanted(s, generation); count++) {
    if (fcgi__worker_start(s, generation) == 0)
      continue;
    snprintf(why, sizeof why, "%s: %s", s->path, strerror(errno));
    failed(s, generation, 0, 0, why, 1);
    return -1;
  }
  return 0;
}

/* SIGTTOU, or a retired worker with another one in its place. */
static void trim(fcgi__supervisor *s) {
  unsigned ready = count_workers(s, s->current, 1);
  for (size_t i = 0; i < s->worker_count && ready >= s->wanted; i++) {
    fcgi__worker *w = &s->workers[i];
    if (w->generation == s->current && w->retiring &&
        w->state == FCGI__LIFE_READY)
      fcgi__worker_stop(s, w);
  }
  for (size_t i = 0; i < s->worker_count && ready > s->wanted; i++) {
    fcgi__worker *w = &s->workers[i];
    if (w->generation == s->current && w->state == FCGI__LIFE_READY) {
      fcgi__worker_stop(s, w);
      ready--;
    }
  }
}

static double seconds_since(long long when) {
  return (double)(fcgi__now() - when) / 1000;
}

static void promote(fcgi__supervisor *s) {
  fcgi__supervisor_log(
      s, FCGI_LOG_INFO,
      "generation %u is ready after %.1f s; generation %u stops", s->next,
      seconds_since(s->next_started), s->current);
  stop_generation(s, s->current);
  fcgi__plan_take(s);
  s->current = s->next;
  s->next = 0;
  fcgi__board_set_generation(&s->board, s->current);
  s->backoff = (fcgi__backoff){.until = 0};
  fcgi__upstream_is_ready(s);
}

static void serve_first(fcgi__supervisor *s) {
  s->phase = FCGI__SUPERVISOR_SERVING;
  fcgi__board_set_generation(&s->board, s->current);
  fcgi__supervisor_log(s, FCGI_LOG_INFO, "%u worker%s ready after %.1f s",
                       s->wanted, s->wanted == 1 ? " is" : "s are",
                       seconds_since(s->next_started));
  fcgi__upgrade_own(s);
  fcgi__pidfile_write(&s->pidfile);
  fcgi__upstream_is_ready(s);
}

static void begin(fcgi__supervisor *s, unsigned *which) {
  s->next_started = fcgi__now();
  s->reload_due = LLONG_MAX;
  *which = ++s->last;
  fill(s, *which);
}

void fcgi__generation_begin(fcgi__supervisor *s) {
  begin(s, &s->current);
}

void fcgi__generation_want(fcgi__supervisor *s) {
  long long now = fcgi__now(), earliest = s->next_started + APART_MS;
  if (s->phase <= FCGI__SUPERVISOR_SERVING && s->reload_due == LLONG_MAX)
    s->reload_due = now < earliest ? earliest : now;
}

/* One that is starting already is not in the way. */
static void refuse_reload(fcgi__supervisor *s, const char *why) {
  s->reload_due = LLONG_MAX;
  fcgi__supervisor_log(s, FCGI_LOG_ERROR,
                       "reload failed: %s; generation %u goes on serving", why,
                       s->current);
  fcgi__board_count(&s->board, FCGI_SUPERVISED_RELOADS_FAILED);
  if (s->next)
    return;
  fcgi__upstream_is_reloading(s);
  fcgi__upstream_is_ready(s);
}

static void reload(fcgi__supervisor *s) {
  char what[256], why[FCGI__SUPERVISOR_LINE / 2];
  fcgi__board_count(&s->board, FCGI_SUPERVISED_RELOADS);
  if (fcgi__plan_read(s, what, sizeof what, why, sizeof why)) {
    refuse_reload(s, why);
    return;
  }
  if (s->next) {
    fcgi__supervisor_log(s, FCGI_LOG_INFO,
                         "reload again: generation %u stops before it was "
                         "ready",
                         s->next);
    stop_generation(s, s->next);
  }
  fcgi__upstream_is_reloading(s);
  fcgi__supervisor_log(s, FCGI_LOG_INFO, "reload: generation %u starts%s%s",
                       s->last + 1, what[0] ? ", with new values of " : "",
                       what);
  begin(s, &s->next);
}

void fcgi__generations_settle(fcgi__supervisor *s) {
  long long now = fcgi__now();
  if (s->phase == FCGI__SUPERVISOR_STARTING &&
      count_workers(s, s->current, 1) >= s->wanted)
    serve_first(s);
  if (s->phase == FCGI__SUPERVISOR_STARTING && now >= s->backoff.until)
    fill(s, s->current);
  if (s->phase != FCGI__SUPERVISOR_SERVING)
    return;
  if (s->reload_due <= now)
    reload(s);
  if (s->next && count_workers(s, s->next, 1) >= s->coming.wanted)
    promote(s);
  if (s->next && fill(s, s->next))
    return;
  if (now >= s->backoff.until)
    fill(s, s->current);
  trim(s);
}

long long fcgi__generations_due(const fcgi__supervisor *s) {
  long long due = LLONG_MAX;
  if (s->phase > FCGI__SUPERVISOR_SERVING)
    return due;
  if (count_workers(s, s->current, 0) < s->wanted)
    due = s->backoff.until;
  if (s->phase == FCGI__SUPERVISOR_STARTING)
    return due;
  return s->reload_due < due ? s->reload_due : due;
}
