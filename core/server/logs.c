/* SPDX-License-Identifier: MIT */
/* What is asked for, and one line's way into the queue. */
#include "server/logs.h"
#include "server/access.h"
#include "server/logqueue.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 4096 }; /* Bytes of STDERR in a line. */

static const char *const names[] = {"error log", "access log"};

/* What the program says, else what the environment says; "" is nothing. */
static const char *chosen(const char *given, const char *variable) {
  const char *text = given ? given : getenv(variable);
  return text && *text ? text : NULL;
}

static int copy_path(fcgi_server *server, fcgi__log_which which,
                     const char *path) {
  fcgi__log *log = &server->logs->logs[which];
  size_t size = path ? strlen(path) + 1 : 0;
  char *copy;
  log->file.fd = -1;
  if (!path)
    return 0;
  copy = fcgi__realloc(&server->allocator, NULL, size);
  log->queue = fcgi__realloc(&server->allocator, NULL, FCGI__LOG_QUEUE);
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

int fcgi__logs_new(fcgi_server *server) {
  fcgi_server_config *config = &server->config;
  const char *errors = chosen(config->error_log, "FASTCGI_ERROR_LOG");
  const char *access = chosen(config->access_log, "FASTCGI_ACCESS_LOG");
  const char *format =
      chosen(config->access_log_format, "FASTCGI_ACCESS_LOG_FORMAT");
  int error;
  config->error_log = config->access_log = config->access_log_format = NULL;
  if (!errors && !access)
    return 0;
  server->logs = fcgi__calloc(&server->allocator, sizeof *server->logs);
  if (!server->logs)
    return FCGI_ERR_NOMEM;
  server->logs->server = server;
  init_waiting(server->logs);
  error = copy_path(server, FCGI__LOG_ERRORS, errors);
  if (!error)
    error = copy_path(server, FCGI__LOG_ACCESS, access);
  if (!error && access)
    error = fcgi__access_new(server, format);
  return error;
}

static int refuse(fcgi_server *server, fcgi__log_which which, int problem) {
  const fcgi__logfile *file = &server->logs->logs[which].file;
  int is_path = strcmp(file->path, "-") != 0;
  snprintf(server->message, sizeof server->message,
           "cannot open the %s %.300s: %s%s", names[which],
           is_path ? file->path : "on standard error", strerror(problem),
           is_path ? "; name a file that this user can write" : "");
  errno = problem;
  return FCGI_ERR_SYSTEM;
}

int fcgi__logs_open(fcgi_server *server) {
  fcgi__logs *logs = server->logs;
  int error = fcgi__access_check(server);
  if (error || !logs || logs->opened)
    return error;
  for (int i = 0; i < FCGI__LOG_COUNT; i++) {
    int problem =
        logs->logs[i].file.path ? fcgi__logfile_open(&logs->logs[i].file) : 0;
    if (problem)
      return refuse(server, (fcgi__log_which)i, problem);
  }
  logs->opened = 1;
  return 0;
}

int fcgi__logs_has_errors(const fcgi_server *server) {
  return server->logs && server->logs->opened &&
         server->logs->logs[FCGI__LOG_ERRORS].file.path;
}

/* Before the writer runs, and in a CGI start, where none does. A reader that
   is gone must not end the program. */
static void write_here(fcgi_server *server, fcgi__log *log,
                       const fcgi__log_text *line) {
  sigset_t broken, before, pending;
  int number;
  sigemptyset(&broken);
  sigaddset(&broken, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken, &before);
  sigpending(&pending);
  if (fcgi__logfile_write(&log->file, line->data, line->len) !=
      (ptrdiff_t)line->len)
    fcgi__logqueue_dropped(server, log, 0);
  number = sigismember(&pending, SIGPIPE);
  sigpending(&pending);
  if (!number && sigismember(&pending, SIGPIPE))
    sigwait(&broken, &number);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void fcgi__logs_add(fcgi_server *server, fcgi__log_which which,
                    const fcgi__log_text *line) {
  fcgi__logs *logs = server->logs;
  fcgi__log *log = &logs->logs[which];
  if (!logs->opened)
    return;
  pthread_mutex_lock(&logs->lock);
  if (!logs->on)
    write_here(server, log, line);
  else if (!fcgi__logqueue_push(log, line->data, line->len))
    fcgi__logqueue_dropped(server, log, 0);
  if (logs->asleep)
    pthread_cond_signal(&logs->wake);
  logs->asleep = 0;
  pthread_mutex_unlock(&logs->lock);
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

static void add_error(fcgi_server *server, const char *kind, const char *text,
                      size_t len) {
  fcgi__log_text line;
  line.len = line.cut = 0;
  put_time(&line);
  fcgi__log_print(&line, " [%ld] %s: ", (long)getpid(), kind);
  fcgi__log_escape(&line, text, len, FCGI__LOG_PLAIN, FCGI__LOG_LINE);
  fcgi__log_finish(&line);
  fcgi__logs_add(server, FCGI__LOG_ERRORS, &line);
}

int fcgi_server_log(fcgi_server *server, fcgi_log_level level, const char *text,
                    size_t len) {
  static const char *const kinds[] = {"error", "warning", "info"};
  const char *end = text + len;
  if (!fcgi__logs_has_errors(server))
    return 0;
  while (text < end && level <= FCGI_LOG_INFO) {
    const char *next = memchr(text, '\n', (size_t)(end - text));
    const char *stop = next ? next : end;
    if (stop > text)
      add_error(server, kinds[level], text, (size_t)(stop - text));
    text = stop + 1;
  }
  return 1;
}

/* A line ends with its message. An empty one says nothing; one that is longer than
   a line of the log is cut into several. */
void fcgi__logs_stderr(fcgi_request *request, const char *data, size_t len) {
  fcgi_server *server = request->connection->server;
  fcgi__buffer *line = &request->error_line;
  size_t at = 0;
  while (at < len) {
    const char *end = memchr(data + at, '\n', len - at);
    size_t part = end ? (size_t)(end - data) - at : len - at;
    if (part >= PIECE - line->len) {
      part = PIECE - line->len;
      end = data + at + part - 1;
    }
    if (fcgi__buffer_append(line, &server->allocator, data + at, part))
      return;
    at = end ? (size_t)(end - data) + 1 : len;
    if (end && line->len > 0)
      add_error(server, "stderr", (const char *)line->data, line->len);
    if (end)
      line->len = 0;
  }
  if (!data && line->len > 0)
    add_error(server, "stderr", (const char *)line->data, line->len);
  if (!data)
    line->len = 0;
}

void fcgi__logs_free(fcgi_server *server) {
  const fcgi_allocator *allocator = &server->allocator;
  fcgi__logs *logs = server->logs;
  if (!logs)
    return;
  fcgi__logqueue_end(logs);
  for (int i = 0; i < FCGI__LOG_COUNT; i++) {
    fcgi__logfile_close(&logs->logs[i].file);
    fcgi__free(allocator, (void *)(uintptr_t)logs->logs[i].file.path);
    fcgi__free(allocator, logs->logs[i].queue);
  }
  fcgi__access_free(server);
  pthread_cond_destroy(&logs->rest);
  pthread_cond_destroy(&logs->wake);
  pthread_mutex_destroy(&logs->lock);
  fcgi__free(allocator, logs);
  server->logs = NULL;
}

void fcgi_server_reopen_logs(fcgi_server *server) {
  fcgi__logs *logs = server->logs;
  if (!logs || !logs->opened)
    return;
  pthread_mutex_lock(&logs->lock);
  for (int i = 0; i < FCGI__LOG_COUNT; i++)
    logs->logs[i].reopen = logs->logs[i].file.path != NULL;
  if (!logs->on)
    fcgi__logqueue_reopen(logs);
  pthread_cond_signal(&logs->wake);
  logs->asleep = 0;
  pthread_mutex_unlock(&logs->lock);
}
