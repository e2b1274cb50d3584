/* SPDX-License-Identifier: MIT */
/* What is asked for, and one line's way into the queue. */
#include "observe/logs.h"
#include "base/alloc.h"
#include "observe/logqueue.h"
#include "os/filename.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 4096 }; /* Bytes of STDERR in a line. */

static const char *const names[] = {"error log", "access log"};

int fcgi__logs_set(fcgi__logs *logs, fcgi__log_which which, const char *path,
                   size_t room) {
  fcgi__log *log = &logs->logs[which];
  size_t size = path ? strlen(path) + 1 : 0;
  char *copy;
  if (!path)
    return 0;
  copy = fcgi__realloc(&logs->allocator, NULL, size);
  log->room = room;
  log->queue = fcgi__realloc(&logs->allocator, NULL, log->room);
  if (copy)
    memcpy(copy, path, size);
  log->file.path = copy;
  return copy && log->queue ? 0 : FCGI_ERR_NOMEM;
}

static void init_waiting(fcgi__logs *logs) {
  pthread_condattr_t monotonic;
  pthread_mutex_init(&logs->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&logs->wake, &monotonic);
  pthread_cond_init(&logs->rest, &monotonic);
  pthread_condattr_destroy(&monotonic);
}

fcgi__logs *fcgi__logs_make(const fcgi_allocator *allocator,
                            const fcgi__log_sink *sink) {
  fcgi__logs *logs = fcgi__calloc(allocator, sizeof *logs);
  if (!logs)
    return NULL;
  logs->allocator = *allocator;
  logs->sink = *sink;
  init_waiting(logs);
  for (int i = 0; i < FCGI__LOG_COUNT; i++)
    logs->logs[i].file.fd = -1;
  logs->logs[FCGI__LOG_STDERR].file.path = "-";
  logs->logs[FCGI__LOG_STDERR].room = FCGI__LOG_STDERR_QUEUE;
  return logs;
}

static int refuse(const fcgi__logs *logs, fcgi__log_which which, int problem,
                  char *why, size_t size) {
  const fcgi__logfile *file = &logs->logs[which].file;
  int is_path = strcmp(file->path, "-") != 0;
  snprintf(why, size, "cannot open the %s %.300s: %s%s", names[which],
           is_path ? file->path : "on standard error",
           fcgi__filename_error(problem),
           is_path ? "; name a file that this user can write" : "");
  errno = problem;
  return FCGI_ERR_SYSTEM;
}

int fcgi__logs_open(fcgi__logs *logs, char *why, size_t size) {
  if (logs->opened)
    return 0;
  for (int i = 0; i < FCGI__LOG_STDERR; i++) {
    int problem =
        logs->logs[i].file.path ? fcgi__logfile_open(&logs->logs[i].file) : 0;
    if (problem)
      return refuse(logs, (fcgi__log_which)i, problem, why, size);
  }
  logs->opened = 1;
  return 0;
}

int fcgi__logs_has_errors(const fcgi__logs *logs) {
  return logs->opened && logs->logs[FCGI__LOG_ERRORS].file.path;
}

/* 1: a line can be written at once: before the writer runs, and to standard
   error, where what the program prints stands before and after it. Where others
   have to be asked first, the answer may be wrong by the time of the write, so
   that only the writer may wait there. */
static int goes_at_once(fcgi__logs *logs, fcgi__log *log) {
  int is_stderr = log == &logs->logs[FCGI__LOG_STDERR];
  if (log->len > 0 || log->used > 0 || (logs->on && !is_stderr))
    return 0;
  if (is_stderr)
    fcgi__logfile_follow(&log->file);
  return !log->file.ask;
}

void fcgi__logs_put(fcgi__logs *logs, fcgi__log_which which, const char *data,
                    size_t len) {
  fcgi__log *log = &logs->logs[which];
  pthread_mutex_lock(&logs->lock);
  if (goes_at_once(logs, log))
    fcgi__logqueue_write(logs, log, data, len);
  else if (!fcgi__logqueue_push(logs, log, data, len))
    fcgi__logqueue_dropped(logs, log, 0);
  if (log->len + log->used > 0 && !logs->on)
    fcgi__logqueue_start(logs);
  if (logs->asleep)
    pthread_cond_signal(&logs->wake);
  logs->asleep = 0;
  pthread_mutex_unlock(&logs->lock);
}

void fcgi__logs_add(fcgi__logs *logs, fcgi__log_which which,
                    const fcgi__log_text *text) {
  if (logs->opened)
    fcgi__logs_put(logs, which, text->data, text->len);
}

/* How much of a text goes into one entry of the queue: whole lines, if such a
   long one is not among them. */
static size_t piece_of(const char *text, size_t len) {
  const char *end;
  if (len < FCGI__LOG_LINE)
    return len;
  end = memrchr(text, '\n', FCGI__LOG_LINE - 1);
  return end ? (size_t)(end - text) + 1 : FCGI__LOG_LINE - 1;
}

void fcgi__logs_say(fcgi__logs *logs, const char *text, size_t len) {
  char data[FCGI__LOG_LINE];
  while (len > 0) {
    size_t part = piece_of(text, len), used = part;
    memcpy(data, text, part);
    if (part == len && data[part - 1] != '\n')
      data[used++] = '\n';
    fcgi__logs_put(logs, FCGI__LOG_STDERR, data, used);
    text += part;
    len -= part;
  }
}

/* RFC 3339, in local time. */
static void put_time(fcgi__log_text *line) {
  struct timespec now;
  struct tm parts;
  char text[32], zone[8];
  clock_gettime(CLOCK_REALTIME, &now);
  localtime_r(&now.tv_sec, &parts);
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  strftime(zone, sizeof zone, "%z", &parts);
  fcgi__log_print(line, "%s.%03ld%.3s:%s", text, now.tv_nsec / 1000000, zone,
                  zone + 3);
}

static void add_error(fcgi__logs *logs, const char *kind, const char *text,
                      size_t len) {
  fcgi__log_text line;
  line.len = line.cut = 0;
  put_time(&line);
  fcgi__log_print(&line, " [%ld] %s: ", (long)getpid(), kind);
  fcgi__log_escape(&line, text, len, FCGI__LOG_PLAIN, FCGI__LOG_LINE);
  fcgi__log_finish(&line);
  fcgi__logs_add(logs, FCGI__LOG_ERRORS, &line);
}

/* Call `tell` with each line that is not empty. */
static void
each_line(fcgi__logs *logs, fcgi_log_level level, const char *text, size_t len,
          void (*tell)(fcgi__logs *, fcgi_log_level, const char *, size_t)) {
  const char *end = text + len;
  while (text < end) {
    const char *next = memchr(text, '\n', (size_t)(end - text));
    const char *stop = next ? next : end;
    if (stop > text)
      tell(logs, level, text, (size_t)(stop - text));
    text = stop + 1;
  }
}

static void tell_error_log(fcgi__logs *logs, fcgi_log_level level,
                           const char *line, size_t len) {
  static const char *const kinds[] = {
#define KEY(name, key) #key,
      FCGI_LOG_LEVEL_MAP(KEY)
#undef KEY
  };
  if (level <= FCGI_LOG_INFO)
    add_error(logs, kinds[level], line, len);
}

static void tell_program(fcgi__logs *logs, fcgi_log_level level,
                         const char *line, size_t len) {
  char text[FCGI__MESSAGE];
  snprintf(text, sizeof text, "%.*s", (int)(len < sizeof text ? len : 0), line);
  if (len >= sizeof text)
    memcpy(text, line, sizeof text - 1);
  logs->sink.log(level, text, logs->sink.data);
}

/* The queue's lock may be held by a thread that this process lacks. */
static int say_in_fork(const char *text, size_t len) {
  ssize_t written = write(STDERR_FILENO, text, len);
  (void)written; /* There is no other place to tell. */
  return 0;
}

int fcgi__logs_tell(fcgi__logs *logs, fcgi_log_level level, const char *text,
                    size_t len) {
  const fcgi__log_sink *sink = &logs->sink;
  if (sink->process && fcgi__process_is_other(sink->process))
    return say_in_fork(text, len);
  if (fcgi__logs_has_errors(logs)) {
    each_line(logs, level, text, len, tell_error_log);
    return 1;
  }
  if (sink->log)
    each_line(logs, level, text, len, tell_program);
  else if (sink->levels & 1u << level)
    fcgi__logs_say(logs, text, len);
  return 0;
}

void fcgi__logs_vlog(fcgi__logs *logs, fcgi_log_level level, const char *format,
                     va_list arguments) {
  char line[FCGI__MESSAGE], text[FCGI__MESSAGE + 16];
  vsnprintf(line, sizeof line, format, arguments);
  if (fcgi__logs_has_errors(logs) || logs->sink.log) {
    fcgi__logs_tell(logs, level, line, strlen(line));
    return;
  }
  snprintf(text, sizeof text, "fastcgi: %s\n", line);
  fcgi__logs_tell(logs, level, text, strlen(text));
}

void fcgi__logs_log(fcgi__logs *logs, fcgi_log_level level, const char *format,
                    ...) {
  va_list arguments;
  va_start(arguments, format);
  fcgi__logs_vlog(logs, level, format, arguments);
  va_end(arguments);
}

/* A line ends with its message. An empty one says nothing; one that is longer
   than a line of the log is cut into several. */
void fcgi__logs_stderr(fcgi__logs *logs, fcgi__buffer *line, const char *data,
                       size_t len) {
  size_t at = 0;
  while (at < len) {
    const char *end = memchr(data + at, '\n', len - at);
    size_t part = end ? (size_t)(end - data) - at : len - at;
    if (part >= PIECE - line->len) {
      part = PIECE - line->len;
      end = data + at + part - 1;
    }
    if (fcgi__buffer_append(line, &logs->allocator, data + at, part))
      return;
    at = end ? (size_t)(end - data) + 1 : len;
    if (end && line->len > 0)
      add_error(logs, "stderr", (const char *)line->data, line->len);
    if (end)
      line->len = 0;
  }
  if (!data && line->len > 0)
    add_error(logs, "stderr", (const char *)line->data, line->len);
  if (!data)
    line->len = 0;
}

/* The writer of one that hangs in its file has it for good: it is left alone,
   and so is its memory. */
void fcgi__logs_end(fcgi__logs *logs) {
  fcgi_allocator allocator;
  if (!logs || !fcgi__logqueue_end(logs))
    return;
  allocator = logs->allocator;
  for (int i = 0; i < FCGI__LOG_COUNT; i++) {
    fcgi__logfile_close(&logs->logs[i].file);
    if (i != FCGI__LOG_STDERR)
      fcgi__free(&allocator, (void *)(uintptr_t)logs->logs[i].file.path);
    fcgi__free(&allocator, logs->logs[i].queue);
  }
  pthread_cond_destroy(&logs->rest);
  pthread_cond_destroy(&logs->wake);
  pthread_mutex_destroy(&logs->lock);
  fcgi__free(&allocator, logs);
}

void fcgi__logs_reopen(fcgi__logs *logs) {
  if (!logs->opened)
    return;
  pthread_mutex_lock(&logs->lock);
  for (int i = 0; i < FCGI__LOG_STDERR; i++)
    logs->logs[i].reopen = logs->logs[i].file.path != NULL;
  if (!logs->on)
    fcgi__logqueue_reopen(logs);
  pthread_cond_signal(&logs->wake);
  logs->asleep = 0;
  pthread_mutex_unlock(&logs->lock);
}
