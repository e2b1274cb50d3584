/* SPDX-License-Identifier: MIT */
#include "observe/trouble.h"
#include "observe/observe.h"
#include "os/clock.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 10000 }; /* Between two lines of one cause. */

static const struct {
  fcgi_metric value;  /* Counts them on the scoreboard. */
  const char *plural; /* Names several of them. */
} kinds[FCGI__TROUBLES] = {
#define KIND(name, value, plural) {FCGI_METRIC_##value, plural},
    FCGI__TROUBLE_MAP(KIND)
#undef KIND
};

void fcgi__troubles_init(fcgi__troubles *troubles) {
  pthread_mutex_init(&troubles->lock, NULL);
}

void fcgi__troubles_clear(fcgi__troubles *troubles) {
  pthread_mutex_destroy(&troubles->lock);
}

/* A cause that is neither quiet nor owes a line leaves its place. */
static int is_free(const fcgi__cause *cause, long long now) {
  return cause->quiet <= now && cause->untold == 0;
}

/* Where `name` is held, or may be: the last place is that of all others. */
static fcgi__cause *place_of(fcgi__trouble *kind, const char *name,
                             long long now) {
  fcgi__cause *place = &kind->causes[FCGI__CAUSES];
  for (fcgi__cause *at = kind->causes; at < &kind->causes[FCGI__CAUSES]; at++) {
    int is_same = strncmp(at->name, name, sizeof at->name - 1) == 0;
    if (is_same && !at->given_up)
      return at;
    if (!is_same && is_free(at, now))
      place = at;
  }
  return place;
}

/* Whether this one is told: then the next ones of its cause are not, for a
   while. Else `*due` is when the rest is, if nobody waits for that yet. */
static int is_told(fcgi__trouble *kind, const char *name, long long *due) {
  long long now = fcgi__now();
  fcgi__cause *cause = place_of(kind, name, now);
  int is_other = cause == &kind->causes[FCGI__CAUSES];
  if (!is_other && cause->quiet <= now) {
    cause->quiet = now + PAUSE_MS;
    cause->given_up = 0;
    snprintf(cause->name, sizeof cause->name, "%s", name);
    return 1;
  }
  if (is_other && is_free(cause, now))
    cause->quiet = now + PAUSE_MS;
  if (cause->untold++ == 0)
    *due = cause->quiet;
  return 0;
}

long long fcgi__trouble_vnote(fcgi__observer *observer, fcgi__trouble_kind kind,
                              const char *cause, fcgi_log_level level,
                              const char *format, va_list arguments) {
  fcgi__troubles *troubles = &observer->troubles;
  long long due = LLONG_MAX;
  int told;
  fcgi__observe_count(observer, kinds[kind].value, 1);
  pthread_mutex_lock(&troubles->lock);
  told = is_told(&troubles->kinds[kind], cause, &due);
  pthread_mutex_unlock(&troubles->lock);
  if (told)
    fcgi__logs_vlog(observer->logs, level, format, arguments);
  return due;
}

/* Others have been counted only. One of the causes held gives its place up to
   the next of them, so that each of many has its line some time. */
static void make_room(fcgi__trouble *kind) {
  fcgi__cause *cause = &kind->causes[kind->next];
  kind->next = (kind->next + 1) % FCGI__CAUSES;
  kind->causes[FCGI__CAUSES].untold += cause->untold;
  cause->quiet = 0;
  cause->untold = 0;
  cause->given_up = 1;
}

/* How many are to be told now; `*next` is when, at the latest, where it lies
   ahead. */
static unsigned take_untold(fcgi__trouble *kind, unsigned which, long long now,
                            long long *next) {
  fcgi__cause *cause = &kind->causes[which];
  unsigned untold;
  if (cause->untold == 0)
    return 0;
  if (cause->quiet > now) {
    *next = cause->quiet < *next ? cause->quiet : *next;
    return 0;
  }
  if (which == FCGI__CAUSES)
    make_room(kind);
  untold = cause->untold;
  cause->untold = 0;
  cause->quiet = fcgi__now() + PAUSE_MS;
  return untold;
}

static void tell_rest(fcgi__observer *observer, unsigned kind, unsigned which,
                      long long now, long long *next) {
  fcgi__troubles *troubles = &observer->troubles;
  fcgi__trouble *at = &troubles->kinds[kind];
  char name[FCGI__CAUSE_NAME];
  unsigned untold;
  pthread_mutex_lock(&troubles->lock);
  untold = take_untold(at, which, now, next);
  memcpy(name, at->causes[which].name, sizeof name);
  pthread_mutex_unlock(&troubles->lock);
  if (untold > 0)
    fcgi__logs_log(observer->logs, FCGI_LOG_WARNING, "%u more %s (%s)", untold,
                   kinds[kind].plural,
                   which == FCGI__CAUSES ? "of other causes" : name);
}

long long fcgi__trouble_tell(fcgi__observer *observer, long long now) {
  long long next = LLONG_MAX;
  for (unsigned kind = 0; kind < FCGI__TROUBLES; kind++)
    for (unsigned which = 0; which <= FCGI__CAUSES; which++)
      tell_rest(observer, kind, which, now, &next);
  return next;
}
