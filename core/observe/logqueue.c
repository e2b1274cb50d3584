/* SPDX-License-Identifier: MIT */
#include "observe/logqueue.h"
#include "base/alloc.h"
#include "os/clock.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  RETRY_MS = 20,  /* From one try at a full pipe to the next. */
  TELL_MS = 1000, /* Between two lines about lost lines. */
  END_MS = 1000,  /* For what is left at the end. */
  HANG_MS = 100   /* More, after which the writer hangs in a write. */
};

enum { NAME = 256 }; /* Of a log, in a line. */

typedef uint16_t length; /* Of a line, before it in the queue. */

static void copy_in(fcgi__log *log, const void *data, size_t len) {
  size_t at = (log->first + log->used) % log->room;
  size_t part = log->room - at < len ? log->room - at : len;
  memcpy(log->queue + at, data, part);
  memcpy(log->queue, (const char *)data + part, len - part);
  log->used += len;
}

static void copy_out(fcgi__log *log, void *data, size_t len) {
  size_t at = log->first;
  size_t part = log->room - at < len ? log->room - at : len;
  memcpy(data, log->queue + at, part);
  memcpy((char *)data + part, log->queue, len - part);
  log->first = (at + len) % log->room;
  log->used -= len;
}

int fcgi__logqueue_push(fcgi__logs *logs, fcgi__log *log, const char *data,
                        size_t len) {
  length size = (length)len;
  if (!log->queue)
    log->queue = fcgi__realloc(&logs->allocator, NULL, log->room);
  if (!log->queue || log->used + sizeof size + len > log->room)
    return 0;
  copy_in(log, &size, sizeof size);
  copy_in(log, data, len);
  return 1;
}

void fcgi__logqueue_dropped(fcgi__logs *logs, fcgi__log *log, int problem) {
  log->dropped++;
  log->problem = problem;
  if (logs->sink.slot)
    fcgi__board_add(atomic_load(logs->sink.slot), FCGI_METRIC_LOG_DROPPED, 1);
}

/* What a log is called in a line, with its path. */
static void describe(const fcgi__logs *logs, const fcgi__log *log,
                     char out[NAME]) {
  if (log == &logs->logs[FCGI__LOG_STDERR])
    snprintf(out, NAME, "standard error");
  else
    snprintf(out, NAME, "the %s log %.200s",
             log == &logs->logs[FCGI__LOG_ACCESS] ? "access" : "error",
             log->file.path);
}

/* The lines are the server's own, and may go to the very log that is told of;
   so the lock is let go. */
static void tell(fcgi__logs *logs, fcgi__log *log) {
  uint64_t count = log->dropped;
  int problem = log->problem;
  char name[NAME];
  describe(logs, log, name);
  log->dropped = 0;
  log->tell_at = fcgi__now() + TELL_MS;
  pthread_mutex_unlock(&logs->lock);
  fcgi__logs_log(
      logs, FCGI_LOG_ERROR, "%s is written again; %llu lines are lost: %s",
      name, (unsigned long long)count,
      problem ? strerror(problem) : "it took them more slowly than they came");
  pthread_mutex_lock(&logs->lock);
}

/* Without a writer the lock guards the file too. */
static void reopen(fcgi__logs *logs, fcgi__log *log) {
  int problem, shared = !logs->on;
  char name[NAME];
  log->reopen = 0;
  describe(logs, log, name);
  if (!shared)
    pthread_mutex_unlock(&logs->lock);
  problem = fcgi__logfile_open(&log->file);
  if (shared)
    pthread_mutex_unlock(&logs->lock);
  if (problem)
    fcgi__logs_log(logs, FCGI_LOG_ERROR,
                   "cannot reopen %s: %s; the file that was open is written on",
                   name, strerror(problem));
  pthread_mutex_lock(&logs->lock);
}

void fcgi__logqueue_reopen(fcgi__logs *logs) {
  for (int i = 0; i < FCGI__LOG_COUNT; i++)
    if (logs->logs[i].reopen)
      reopen(logs, &logs->logs[i]);
}

/* A line after a part of another begins with a newline. */
static void take_line(fcgi__log *log) {
  length size;
  copy_out(log, &size, sizeof size);
  log->done = 0;
  log->len = size;
  if (log->broken)
    log->line[0] = '\n';
  copy_out(log, log->line + log->broken, size);
  log->len += log->broken;
}

static void give_up_line(fcgi__logs *logs, fcgi__log *log, int problem) {
  log->broken |= log->done > 0;
  log->len = 0;
  fcgi__logqueue_dropped(logs, log, problem);
}

/* A file that is not written to the end has met a full disk: the rest of the
   line will tell. */
static void account(fcgi__logs *logs, fcgi__log *log, ptrdiff_t written) {
  log->full = written == -EAGAIN;
  if (written < 0 && !log->full) {
    give_up_line(logs, log, (int)-written);
    return;
  }
  log->done += log->full ? 0 : (size_t)written;
  if (log->done < log->len)
    return;
  log->broken = 0;
  log->len = 0;
}

/* Lines are lost, one has been written, and it is time to tell. */
static int has_to_tell(const fcgi__log *log, ptrdiff_t written) {
  return written > 0 && log->len == 0 && log->dropped > 0 &&
         fcgi__now() >= log->tell_at;
}

/* 1: something was done. */
static int serve(fcgi__logs *logs, fcgi__log *log) {
  ptrdiff_t written;
  if (log->reopen)
    reopen(logs, log);
  if (log->len == 0 && log->used == 0)
    return 0;
  if (log->len == 0)
    take_line(log);
  pthread_mutex_unlock(&logs->lock);
  if (log == &logs->logs[FCGI__LOG_STDERR])
    fcgi__logfile_follow(&log->file);
  written = fcgi__logfile_write(&log->file, log->line + log->done,
                                log->len - log->done);
  pthread_mutex_lock(&logs->lock);
  account(logs, log, written);
  if (has_to_tell(log, written))
    tell(logs, log);
  return !log->full;
}

/* Where it raises SIGPIPE, that is taken back. */
static ptrdiff_t write_quietly(fcgi__log *log) {
  sigset_t broken, before, pending;
  ptrdiff_t written;
  int number;
  sigemptyset(&broken);
  sigaddset(&broken, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken, &before);
  sigpending(&pending);
  written = fcgi__logfile_write(&log->file, log->line, log->len);
  number = sigismember(&pending, SIGPIPE);
  sigpending(&pending);
  if (!number && sigismember(&pending, SIGPIPE))
    sigwait(&broken, &number);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return written;
}

void fcgi__logqueue_write(fcgi__logs *logs, fcgi__log *log, const char *data,
                          size_t len) {
  ptrdiff_t written;
  log->done = 0;
  log->len = len + log->broken;
  if (log->broken)
    log->line[0] = '\n';
  memcpy(log->line + log->broken, data, len);
  written = write_quietly(log);
  account(logs, log, written);
  if (has_to_tell(log, written))
    tell(logs, log);
}

static void wait_until(pthread_cond_t *what, pthread_mutex_t *lock,
                       long long until) {
  struct timespec at = {.tv_sec = (time_t)(until / 1000),
                        .tv_nsec = (long)(until % 1000) * 1000000};
  pthread_cond_timedwait(what, lock, &at);
}

static int is_left(const fcgi__logs *logs) {
  size_t left = 0;
  for (int i = 0; i < FCGI__LOG_COUNT; i++)
    left += logs->logs[i].used + logs->logs[i].len;
  return left > 0;
}

static void rest(fcgi__logs *logs) {
  if (!is_left(logs)) {
    pthread_cond_broadcast(&logs->rest);
    logs->late = 0;
  }
  if (logs->over)
    return;
  logs->asleep = 1;
  if (is_left(logs))
    wait_until(&logs->wake, &logs->lock, fcgi__now() + RETRY_MS);
  else
    pthread_cond_wait(&logs->wake, &logs->lock);
  logs->asleep = 0;
}

static void *run(void *data) {
  fcgi__logs *logs = data;
  int moved;
  pthread_mutex_lock(&logs->lock);
  do {
    moved = 0;
    for (int i = 0; i < FCGI__LOG_COUNT; i++)
      moved |= serve(logs, &logs->logs[i]);
    if (!moved)
      rest(logs);
    if (!moved && logs->over && is_left(logs))
      wait_until(&logs->wake, &logs->lock, fcgi__now() + RETRY_MS);
  } while (!logs->over || (is_left(logs) && fcgi__now() < logs->give_up_at));
  logs->gone = 1;
  pthread_cond_broadcast(&logs->rest);
  pthread_mutex_unlock(&logs->lock);
  return NULL;
}

/* It blocks every signal: SIGPIPE is not for it, others are the program's. */
void fcgi__logqueue_start(fcgi__logs *logs) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  logs->on = pthread_create(&logs->thread, NULL, run, logs) == 0;
  logs->pid = getpid();
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void fcgi__logs_start(fcgi__logs *logs) {
  int on = 1;
  pthread_mutex_lock(&logs->lock);
  if (!logs->on && logs->opened &&
      (logs->logs[0].file.path || logs->logs[1].file.path)) {
    fcgi__logqueue_start(logs);
    on = logs->on;
  }
  pthread_mutex_unlock(&logs->lock);
  if (!on)
    fcgi__logs_log(logs, FCGI_LOG_WARNING,
                   "cannot start a thread for the logs; handlers write them, "
                   "and wait where the disk is slow");
}

/* Who waits after another has waited in vain does not wait once more. */
void fcgi__logs_flush(fcgi__logs *logs) {
  long long until = fcgi__now() + END_MS;
  pthread_mutex_lock(&logs->lock);
  if (logs->on && logs->pid == getpid()) {
    while (!logs->late && is_left(logs) && fcgi__now() < until)
      wait_until(&logs->rest, &logs->lock, until);
    logs->late = is_left(logs) ? 1 : 0;
  }
  pthread_mutex_unlock(&logs->lock);
}

int fcgi__logqueue_end(fcgi__logs *logs) {
  long long until = fcgi__now() + HANG_MS;
  int gone;
  if (!logs->on)
    return 1;
  if (logs->pid != getpid())
    return 1; /* A child has no such thread. */
  pthread_mutex_lock(&logs->lock);
  logs->over = 1;
  logs->give_up_at = fcgi__now() + (logs->late ? 0 : END_MS);
  until += logs->late ? 0 : END_MS;
  pthread_cond_signal(&logs->wake);
  while (!logs->gone && fcgi__now() < until)
    wait_until(&logs->rest, &logs->lock, until);
  gone = logs->gone;
  if (!gone)
    logs->sink = (fcgi__log_sink){.levels = ~0u};
  pthread_mutex_unlock(&logs->lock);
  if (gone)
    pthread_join(logs->thread, NULL);
  else
    pthread_detach(logs->thread);
  return gone;
}
