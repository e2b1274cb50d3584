/* SPDX-License-Identifier: MIT */
#include "server/logqueue.h"
#include "server/server.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  RETRY_MS = 20,  /* From one try at a full pipe to the next. */
  TELL_MS = 1000, /* Between two lines about lost lines. */
  END_MS = 1000   /* For what is left at the end. */
};

typedef uint16_t length; /* Of a line, before it in the queue. */

static void copy_in(fcgi__log *log, const void *data, size_t len) {
  size_t at = (log->first + log->used) % FCGI__LOG_QUEUE;
  size_t part = FCGI__LOG_QUEUE - at < len ? FCGI__LOG_QUEUE - at : len;
  memcpy(log->queue + at, data, part);
  memcpy(log->queue, (const char *)data + part, len - part);
  log->used += len;
}

static void copy_out(fcgi__log *log, void *data, size_t len) {
  size_t at = log->first;
  size_t part = FCGI__LOG_QUEUE - at < len ? FCGI__LOG_QUEUE - at : len;
  memcpy(data, log->queue + at, part);
  memcpy((char *)data + part, log->queue, len - part);
  log->first = (at + len) % FCGI__LOG_QUEUE;
  log->used -= len;
}

int fcgi__logqueue_push(fcgi__log *log, const char *data, size_t len) {
  length size = (length)len;
  if (log->used + sizeof size + len > FCGI__LOG_QUEUE)
    return 0;
  copy_in(log, &size, sizeof size);
  copy_in(log, data, len);
  return 1;
}

void fcgi__logqueue_dropped(fcgi_server *server, fcgi__log *log, int problem) {
  log->dropped++;
  log->problem = problem;
  fcgi__tally_add(server, FCGI_STATUS_LOG_DROPPED, 1);
}

static const char *name_of(const fcgi__logs *logs, const fcgi__log *log) {
  return log == &logs->logs[FCGI__LOG_ACCESS] ? "access log" : "error log";
}

/* The lines are the server's own, and may go to the very log that is told of;
   so the lock is let go. */
static void tell(fcgi__logs *logs, fcgi__log *log) {
  uint64_t count = log->dropped;
  int problem = log->problem;
  log->dropped = 0;
  log->tell_at = fcgi__now() + TELL_MS;
  pthread_mutex_unlock(&logs->lock);
  fcgi__server_log(
      logs->server, FCGI_LOG_ERROR,
      "the %s %.200s is written again; %llu lines are lost: %s",
      name_of(logs, log), log->file.path, (unsigned long long)count,
      problem ? strerror(problem) : "it took them more slowly than they came");
  pthread_mutex_lock(&logs->lock);
}

/* Without a writer the lock guards the file too. */
static void reopen(fcgi__logs *logs, fcgi__log *log) {
  int problem, shared = !logs->on;
  log->reopen = 0;
  if (!shared)
    pthread_mutex_unlock(&logs->lock);
  problem = fcgi__logfile_open(&log->file);
  if (shared)
    pthread_mutex_unlock(&logs->lock);
  if (problem)
    fcgi__server_log(logs->server, FCGI_LOG_ERROR,
                     "cannot reopen the %s %.200s: %s; the file that was open "
                     "is written on",
                     name_of(logs, log), log->file.path, strerror(problem));
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
  fcgi__logqueue_dropped(logs->server, log, problem);
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
  written = fcgi__logfile_write(&log->file, log->line + log->done,
                                log->len - log->done);
  pthread_mutex_lock(&logs->lock);
  account(logs, log, written);
  if (written > 0 && log->len == 0 && log->dropped > 0 &&
      fcgi__now() >= log->tell_at)
    tell(logs, log);
  return !log->full;
}

static void wait_until(pthread_cond_t *what, pthread_mutex_t *lock,
                       long long until) {
  struct timespec at = {.tv_sec = (time_t)(until / 1000),
                        .tv_nsec = (long)(until % 1000) * 1000000};
  pthread_cond_timedwait(what, lock, &at);
}

static int is_left(const fcgi__logs *logs) {
  return logs->logs[0].used + logs->logs[0].len + logs->logs[1].used +
             logs->logs[1].len >
         0;
}

static void rest(fcgi__logs *logs) {
  if (!is_left(logs))
    pthread_cond_broadcast(&logs->rest);
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
  pthread_mutex_unlock(&logs->lock);
  return NULL;
}

/* It blocks every signal: SIGPIPE is not for it, others are the program's. */
void fcgi__logs_start(fcgi_server *server) {
  fcgi__logs *logs = server->logs;
  sigset_t all, before;
  int error;
  if (!logs || !logs->opened || logs->on)
    return;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_mutex_lock(&logs->lock);
  error = pthread_create(&logs->thread, NULL, run, logs);
  logs->on = !error;
  logs->pid = getpid();
  pthread_mutex_unlock(&logs->lock);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error)
    fcgi__server_log(server, FCGI_LOG_WARNING,
                     "cannot start a thread for the logs: %s; handlers write "
                     "them, and wait where the disk is slow",
                     strerror(error));
}

void fcgi__logs_flush(fcgi_server *server) {
  fcgi__logs *logs = server->logs;
  long long until = fcgi__now() + END_MS;
  if (!logs || !logs->opened)
    return;
  pthread_mutex_lock(&logs->lock);
  while (logs->on && logs->pid == getpid() && is_left(logs) &&
         fcgi__now() < until)
    wait_until(&logs->rest, &logs->lock, until);
  pthread_mutex_unlock(&logs->lock);
}

void fcgi__logqueue_end(fcgi__logs *logs) {
  if (!logs->on || logs->pid != getpid())
    return;
  pthread_mutex_lock(&logs->lock);
  logs->over = 1;
  logs->give_up_at = fcgi__now() + END_MS;
  pthread_cond_signal(&logs->wake);
  pthread_mutex_unlock(&logs->lock);
  pthread_join(logs->thread, NULL);
}
