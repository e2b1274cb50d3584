/* SPDX-License-Identifier: MIT */
#include "server/overdue.h"
#include "os/backtrace.h"
#include "os/clock.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <fastcgi/session.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
  TRACE = 8192,   /* Of what a tracer tells. */
  SILENT_MS = 500 /* After which a line says that it has told nothing. */
};

/* Clients choose both: what is not printable ASCII would let them write lines
   of their own. */
void fcgi__request_describe(const fcgi_request *request, char out[FCGI__WHAT]) {
  const char *method =
      fcgi_params_get(request->params, "REQUEST_METHOD", 14, NULL);
  char text[FCGI__BOARD_PATH + FCGI__BOARD_METHOD], path[FCGI__BOARD_PATH];
  size_t at = 0;
  fcgi__tally_path(request->params, path, sizeof path);
  snprintf(text, sizeof text, "%.15s %s", method ? method : "?", path);
  for (const char *c = text; *c && at + 5 < FCGI__WHAT; c++) {
    if (*c >= ' ' && *c <= '~' && *c != '\\')
      out[at++] = *c;
    else
      at += (size_t)snprintf(out + at, FCGI__WHAT - at, "\\x%02x",
                             (unsigned)(unsigned char)*c);
  }
  out[at] = '\0';
}

/* It is no longer the program that ends it, but the program may look at it
   until it says that it has ended: handle and parameters stay till then. */
static void detach(fcgi_request *request) {
  fcgi_session *session = request->connection->session;
  atomic_fetch_add(&request->held, 1);
  if (fcgi_session_keep_params(session, request->id) == 0)
    request->kept = 1;
}

static void give_up(fcgi_request *request, int given) {
  static const char text[] = "504 Gateway Timeout\n";
  if (given)
    detach(request);
  fcgi__request_give_up(request, 504, text);
  if (!given)
    return;
  request->lateness = FCGI__OVERDUE;
  request->aborted = FCGI_ABORT_DEADLINE;
  fcgi__ready_notify(request->connection->server, request, FCGI_EVENT_ABORT);
  fcgi__connection_wake(request->connection);
}

/* Nobody waits for an answer where the request is aborted already; only the
   handler is late. One that no handler has got ends for good. */
static void pass_deadline(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  int given, gone = request->aborted > FCGI_ABORT_RECORD;
  char what[FCGI__WHAT];
  fcgi__request_describe(request, what);
  given = fcgi__ready_withdraw(server, request, gone);
  request->due.answer = LLONG_MAX;
  if (!gone)
    fcgi__observe_count(&server->observer, FCGI_METRIC_ABORTS_DEADLINE, 1);
  if (given)
    fcgi__observe_overdue(&server->observer, &request->observed);
  fcgi__server_log(server, FCGI_LOG_WARNING, "%s: not answered within %g s, %s",
                   what, server->config.request_timeout_ms / 1000.0,
                   gone    ? "and the client is gone"
                   : given ? "so the client gets 504; its handler "
                             "still runs"
                           : "so the client gets 504; every handler "
                             "was busy");
  if (!gone || !given)
    give_up(request, given);
}

static long long next_due(const fcgi_request *request) {
  if (!request->observed.tally.counted || request->phase >= FCGI__ENDED)
    return LLONG_MAX;
  return request->due.slow < request->due.answer ? request->due.slow
                                                 : request->due.answer;
}

void fcgi__request_set_dues(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  const fcgi_server_config *config = &connection->server->config;
  long long now, first;
  request->due.slow = request->due.answer = LLONG_MAX;
  if (config->request_timeout_ms <= 0 && config->slow_log_ms <= 0)
    return;
  now = connection->life.since > 0 ? connection->life.since : fcgi__now();
  if (config->request_timeout_ms > 0)
    request->due.answer = now + config->request_timeout_ms;
  if (config->slow_log_ms > 0)
    request->due.slow = now + config->slow_log_ms;
  first = next_due(request);
  if (first < atomic_load(&connection->request_due))
    atomic_store(&connection->request_due, first);
  fcgi__server_connection_due(connection, first, now);
}

static void note_slow(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  request->due.slow = LLONG_MAX;
  request->due.trace = 1;
  fcgi__observe_count(&server->observer, FCGI_METRIC_SLOW, 1);
  atomic_store(&request->connection->trace_due, 1);
  fcgi__spare_trace(server);
}

/* Whatever ends one may free others of the list: it is read from the start
   each time. Each turn takes one due time away. */
static fcgi_request *find_due(const fcgi__connection *connection,
                              long long now) {
  fcgi_request *at = connection->life.all;
  while (at && next_due(at) > now)
    at = at->all_next;
  return at;
}

void fcgi__connection_overdue(fcgi__connection *connection, long long now) {
  fcgi_request *request;
  long long next = LLONG_MAX;
  if (atomic_load(&connection->request_due) > now)
    return;
  atomic_store(&connection->request_due, LLONG_MAX);
  if (connection->fd < 0)
    return;
  while ((request = find_due(connection, now)) != NULL) {
    if (request->due.slow <= now)
      note_slow(request);
    else if (request->phase == FCGI__ENDING)
      request->due.answer = LLONG_MAX; /* Only its file is on the way. */
    else
      pass_deadline(request);
  }
  for (fcgi_request *at = connection->life.all; at; at = at->all_next)
    if (next_due(at) < next)
      next = next_due(at);
  if (next < atomic_load(&connection->request_due))
    atomic_store(&connection->request_due, next);
  connection->life.flush = 1;
}

/* The deadline has ended the request, and now its handler has too. 1 for the
   first call that says so: its caller releases the handle. */
static int finish_overdue(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  if (request->lateness == FCGI__OVERDUE_LEFT)
    return 0;
  request->lateness = FCGI__OVERDUE_LEFT;
  fcgi__ready_forget(server, request);
  if (request->phase >= FCGI__CLOSE_DUE)
    fcgi__ready_no_longer_late(server, request);
  return 1;
}

/* A call that found the request ended has changed nothing, as a rule, and then
   there is nothing to settle: answers that wait for the next one go on waiting.
 */
static void unlock_after(fcgi__connection *connection, int error) {
  int flush = connection->life.flush && connection->life.gathered == 0;
  if (error == FCGI_ERR_STATE && !flush && !connection->life.notified)
    fcgi__connection_unlock_only(connection);
  else
    fcgi__connection_unlock(connection);
}

int fcgi__request_end_with(fcgi_request *request, fcgi__request_ender *call,
                           const void *data) {
  fcgi__connection *connection = request->connection;
  int error = FCGI_ERR_ABORTED, release = 0;
  if (fcgi__request_is_other(request))
    return FCGI_ERR_STATE;
  if (fcgi_holder_is_busy(&request->holder))
    fcgi__request_give_back_if_done(request, 0, 1);
  fcgi__connection_lock(connection);
  if (request->lateness)
    release = finish_overdue(request);
  else
    error = call(request, data);
  unlock_after(connection, error);
  if (release)
    fcgi__request_release(request);
  return error;
}

/* Who holds it last gives back what it still has of resources: others ran when
   it ended. The lock is not held meanwhile. */
static void give_back_last(fcgi_request *request, int *error) {
  fcgi__connection *connection = request->connection;
  if (!fcgi_holder_is_busy(&request->holder) ||
      !fcgi__request_is_done(request, 1, 0))
    return;
  unlock_after(connection, *error);
  fcgi__request_give_back(request);
  fcgi__connection_lock(connection);
  *error = FCGI_ERR_STATE;
}

/* Nobody else can get at it any more, so there is nobody to lock out. */
static int is_left_alone(const fcgi_request *request) {
  return atomic_load_explicit(&request->closed, memory_order_acquire) &&
         atomic_load(&request->held) == 1 &&
         !fcgi_holder_is_busy(&request->holder);
}

/* Its memory goes last, as what is settled may look at it. */
void fcgi__request_leave(fcgi_request *request, fcgi__request_ender *call) {
  fcgi__connection *connection = request->connection;
  int error = FCGI_ERR_STATE, gone;
  if (is_left_alone(request)) {
    fcgi__request_free(request);
    return;
  }
  fcgi__connection_lock(connection);
  if (call && !request->lateness)
    error = call(request, NULL);
  else if (call && finish_overdue(request))
    fcgi__request_drop(request);
  give_back_last(request, &error);
  gone = fcgi__request_let_go(request);
  unlock_after(connection, error);
  if (gone)
    fcgi__request_free(request);
}

/* Where the kernel has put the thread to sleep: the best to be had without
   interrupting it. */
static void trace_kernel(long thread_id, char *out, size_t len) {
  char path[64], place[64] = "";
  FILE *file;
  snprintf(path, sizeof path, "/proc/self/task/%ld/wchan", thread_id);
  file = fopen(path, "re");
  if (file) {
    if (!fgets(place, sizeof place, file))
      place[0] = '\0';
    fclose(file);
  }
  if (place[0] && strcmp(place, "0") != 0)
    snprintf(out, len, "waits in the kernel, in %s", place);
  else
    snprintf(out, len, "runs, or does not say where it waits");
}

/* The same, and the functions that it is in. */
static void trace_thread(long thread_id, char *out, size_t len) {
  size_t at;
  trace_kernel(thread_id, out, len - 1);
  at = strlen(out);
  out[at++] = '\n';
  fcgi__backtrace(thread_id, out + at, len - at);
}

static void log_lines(fcgi_server *server, char *text) {
  while (text && *text) {
    char *end = strchr(text, '\n');
    if (end)
      *end++ = '\0';
    fcgi__server_log(server, FCGI_LOG_WARNING, "  %s", text);
    text = end;
  }
}

void fcgi__slow_look(fcgi_server *server) {
  fcgi__spare *spare = &server->spare;
  long thread = atomic_load(&spare->asked);
  char text[128];
  if (thread == 0 || fcgi__now() < atomic_load(&spare->asked_at) + SILENT_MS ||
      !atomic_compare_exchange_strong(&spare->asked, &thread, 0))
    return;
  trace_kernel(thread, text, sizeof text);
  fcgi__server_log(server, FCGI_LOG_WARNING,
                   "  its interpreter has not answered yet; its thread %s",
                   text);
}

void fcgi_server_set_tracer(fcgi_server *server, fcgi_trace_fn tracer,
                            void *user_data) {
  if (server->config.slow_log_ms <= 0)
    return;
  atomic_store(&server->tracer_data, user_data);
  atomic_store(&server->tracer, tracer);
}

void *fcgi_server_tracer_data(fcgi_server *server) {
  return atomic_load(&server->tracer_data);
}

static void ask_tracer(fcgi_server *server, fcgi_request *request, char *text,
                       size_t len) {
  fcgi_trace_fn tracer = atomic_load(&server->tracer);
  if (!tracer)
    return;
  atomic_store(&server->spare.asked_at, fcgi__now());
  atomic_store(&server->spare.asked,
               atomic_load(&request->observed.tally.thread_id));
  tracer((uintptr_t)request->observed.tally.thread, request, text, len,
         atomic_load(&server->tracer_data));
  atomic_store(&server->spare.asked, 0);
  text[len - 1] = '\0';
}

/* The handle is held, and no lock: a tracer may wait for an interpreter whose
   thread waits for us. */
static void trace(fcgi_server *server, fcgi_request *request,
                  const char *what) {
  const fcgi__tally *tally = &request->observed.tally;
  char text[TRACE] = "";
  uint64_t age_us = fcgi__now_us() - tally->started_us;
  fcgi__server_log(server, FCGI_LOG_WARNING, "slow request: %s, for %.1f s%s",
                   what, (double)age_us / 1e6,
                   tally->phase == FCGI_PHASE_QUEUED ? ", waiting for a handler"
                                                     : "; its handler:");
  if (tally->phase == FCGI_PHASE_QUEUED)
    return;
  ask_tracer(server, request, text, sizeof text);
  if (!text[0])
    trace_thread(atomic_load(&tally->thread_id), text, sizeof text);
  log_lines(server, text);
}

/* One request of the connection that is due, held; or NULL. */
static fcgi_request *take_traced(fcgi__connection *connection,
                                 char what[FCGI__WHAT]) {
  fcgi_request *at;
  fcgi__connection_lock(connection);
  at = connection->fd < 0 ? NULL : connection->life.all;
  while (at && !at->due.trace)
    at = at->all_next;
  if (at) {
    at->due.trace = 0;
    at->due.traced = 1;
    atomic_fetch_add(&at->held, 1);
    fcgi__request_describe(at, what);
  }
  pthread_mutex_unlock(&connection->lock);
  return at;
}

static void trace_connection(fcgi__connection *connection, void *data) {
  fcgi_server *server = data;
  fcgi_request *request;
  char what[FCGI__WHAT];
  if (!atomic_exchange(&connection->trace_due, 0))
    return;
  while ((request = take_traced(connection, what)) != NULL) {
    trace(server, request, what);
    fcgi__connection_lock(connection);
    request->due.traced = 0;
    fcgi__connection_unlock_only(connection);
    fcgi__request_release(request);
  }
}

void fcgi__slow_trace(fcgi_server *server) {
  fcgi__server_each_connection(server, trace_connection, server);
}
