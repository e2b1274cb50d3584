/* SPDX-License-Identifier: MIT */
/* Resources that are kept for the handlers of a server: what a request has is
   given back at its end, and the threads that serve tidy up. */
#include "os/backtrace.h"
#include "os/clock.h"
#include "resource/await.h"
#include "resource/sink.h"
#include "server/overdue.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
  LOOK_MS = 20,     /* Between two looks of a thread that waits. */
  CROWDED_MS = 5000 /* A server is not kept by what others use for longer. */
};

int fcgi_server_keep(fcgi_server *server, fcgi_resource *resource) {
  int error = 0;
  unsigned count;
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  pthread_mutex_lock(&server->lock);
  count = atomic_load(&server->kept_resources.count);
  if (count == FCGI__RESOURCES) {
    snprintf(server->message, sizeof server->message,
             "a server keeps %d resources at most", FCGI__RESOURCES);
    error = FCGI_ERR_LIMIT;
  } else {
    server->kept_resources.at[count] = resource;
    atomic_store(&server->kept_resources.count, count + 1);
  }
  pthread_mutex_unlock(&server->lock);
  if (!error)
    fcgi_server_count_resource(server, resource);
  return error;
}

/* Whoever declared it before hears nothing of it. */
static void tell_limit(fcgi_server *server, fcgi_resource *resource) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  unsigned before = fcgi__resource_limit_before(resource);
  if (!before)
    return;
  fcgi_resource_count(resource, &stats);
  fcgi__server_log(server, FCGI_LOG_WARNING,
                   "resource '%s': limit_total is %u for all workers from now "
                   "on; another worker or resource of this name has declared "
                   "%u",
                   fcgi_resource_name(resource), stats.limit_total, before);
}

void fcgi_server_count_resource(fcgi_server *server, fcgi_resource *resource) {
  fcgi__kept_resources *kept = &server->kept_resources;
  const fcgi__board *board = &server->observer.board;
  if (fcgi_server_forked(server))
    return;
  tell_limit(server, resource);
  pthread_mutex_lock(&server->lock);
  fcgi__board_slot *slot = atomic_load(&server->observer.slot);
  if (slot && !kept->sink)
    kept->sink = fcgi__sink_new(board->fd, board->size);
  if (slot && kept->sink) {
    const fcgi__board_row *row =
        fcgi__board_row_of(slot->rows, fcgi_resource_name(resource));
    fcgi__resource_count_in(resource, kept->sink,
                            (uintptr_t)row->counts - (uintptr_t)board->head);
  }
  pthread_mutex_unlock(&server->lock);
}

void fcgi__kept_show(fcgi_server *server) {
  unsigned count = atomic_load(&server->kept_resources.count);
  for (unsigned i = 0; i < count; i++)
    fcgi_server_count_resource(server, server->kept_resources.at[i]);
}

void fcgi__kept_forget(fcgi_server *server) {
  fcgi__sink_release(server->kept_resources.sink);
  server->kept_resources.sink = NULL;
}

fcgi_holder *fcgi_request_holder(fcgi_request *request) {
  return &request->holder;
}

/* The request has its parameters. Of many that fail for one cause few are told.
 */
static void tell_unavailable(const fcgi_request *request, const char *why) {
  char what[FCGI__WHAT];
  fcgi__request_describe(request, what);
  fcgi__server_trouble(request->connection->server, FCGI__TROUBLE_UNAVAILABLE,
                       why, FCGI_LOG_WARNING, "%s: %s", what, why);
}

/* 1: nobody has told it of this run. */
static int is_untold(fcgi_request *request) {
  return atomic_exchange(&request->holder.wanted, FCGI__WANTED_TOLD) !=
         FCGI__WANTED_TOLD;
}

static const char not_had[] = "something that it needs is not available";

/* A resource that the server does not keep may be gone by now. */
void fcgi__request_tell_unavailable(fcgi_request *request) {
  const fcgi__kept_resources *kept =
      &request->connection->server->kept_resources;
  const fcgi_resource *refuser = atomic_load(&request->holder.refuser);
  unsigned count = atomic_load(&kept->count);
  char why[FCGI_RESOURCE_WHY];
  snprintf(why, sizeof why, "%s", not_had);
  for (unsigned i = 0; i < count; i++)
    if (kept->at[i] == refuser)
      fcgi_resource_message(kept->at[i], why, sizeof why);
  if (is_untold(request))
    tell_unavailable(request, why);
}

void fcgi_request_set_unavailable(fcgi_request *request, const char *why) {
  fcgi__connection_lock(request->connection);
  if (is_untold(request) && fcgi__request_check(request) == 0)
    tell_unavailable(request, why ? why : not_had);
  fcgi__connection_unlock_only(request->connection);
}

/* The request may have ended, and its parameters with it. */
static void tell_unended(const fcgi_handle *handle, const void *from,
                         void *data) {
  const fcgi_request *request = data;
  char place[160];
  fcgi__backtrace_place(from, place, sizeof place);
  fcgi__server_log(request->connection->server, FCGI_LOG_WARNING,
                   "resource '%s': a handler has not given back what it took%s"
                   "%s; it is closed; call fcgi_resource_give, or take it with "
                   "fcgi_resource_get",
                   fcgi_resource_name(fcgi_handle_resource(handle)),
                   place[0] ? " in " : "", place);
}

void fcgi__request_give_back(fcgi_request *request) {
  fcgi__holder_end(&request->holder, tell_unended, request);
}

/* One past its deadline is the program's until that says that it has ended, and
   is held for that once more. A trace only looks at it. */
int fcgi__request_is_done(const fcgi_request *request, unsigned own, int ends) {
  unsigned late = request->lateness == FCGI__OVERDUE;
  if (!ends && (late || !fcgi__request_is_over(request)))
    return 0;
  return atomic_load(&request->held) == own + late + request->due.traced;
}

/* Where the caller alone holds it there is nothing to ask. */
void fcgi__request_give_back_if_done(fcgi_request *request, unsigned own,
                                     int ends) {
  int done = ends && atomic_load(&request->held) == own;
  if (!done) {
    fcgi__connection_lock(request->connection);
    done = fcgi__request_is_done(request, own, ends);
    fcgi__connection_unlock_only(request->connection);
  }
  if (done)
    fcgi__request_give_back(request);
}

/* What a callback that has returned leaves pending goes on. */
void fcgi__request_callback_over(fcgi_request *request, int result) {
  if (fcgi_holder_is_busy(&request->holder))
    fcgi__request_give_back_if_done(request, 1, result != FCGI_PENDING);
}

/* Methods that RFC 9110 (9.2.1) calls safe and that handlers answer. */
static int is_safe(const fcgi_request *request) {
  size_t len;
  const char *method =
      fcgi_params_get(request->params, "REQUEST_METHOD", 14, &len);
  return method && ((len == 3 && memcmp(method, "GET", 3) == 0) ||
                    (len == 4 && memcmp(method, "HEAD", 4) == 0));
}

/* The connection's lock is held. One that is over has no parameters. */
static int is_fresh(const fcgi_request *request) {
  return !request->retried && !request->lateness &&
         request->out.answer == FCGI__ANSWER_NONE &&
         fcgi__request_check(request) == 0 && is_safe(request);
}

static int rewind_input(fcgi_request *request) {
  return fcgi__spool_rewind(&request->body.spool) == 0 &&
         fcgi__spool_rewind(&request->data.spool) == 0;
}

/* `what` says then which request it is. */
static int begin_again(fcgi_request *request, char what[FCGI__WHAT]) {
  int again;
  fcgi__connection_lock(request->connection);
  again = is_fresh(request) && rewind_input(request);
  if (again) {
    request->retried = 1;
    fcgi__request_describe(request, what);
  }
  fcgi__connection_unlock_only(request->connection);
  return again;
}

static void tell_retry(fcgi_server *server, const char *what) {
  fcgi__observe_count(&server->observer, FCGI_METRIC_RETRIED, 1);
  fcgi__server_log(server, FCGI_LOG_WARNING,
                   "%s: failed, as a resource that it had broke; it is run "
                   "once more",
                   what);
}

int fcgi_request_retry(fcgi_request *request, fcgi_holder *holder) {
  char what[FCGI__WHAT];
  if (!holder)
    holder = &request->holder;
  if (!fcgi__holder_is_to_retry(holder) || fcgi__request_is_other(request) ||
      !begin_again(request, what))
    return 0;
  fcgi__holder_again(holder);
  atomic_store(&request->holder.wanted, 0);
  tell_retry(request->connection->server, what);
  return 1;
}

/* What was made last is closed first: it may need the others. */
static void tidy(fcgi_server *server, fcgi_resource_tidying what) {
  unsigned count = atomic_load(&server->kept_resources.count);
  while (count-- > 0)
    fcgi_resource_tidy(server->kept_resources.at[count], what);
}

int fcgi__kept_wait_ms(fcgi_server *server) {
  unsigned count =
      atomic_load_explicit(&server->kept_resources.count, memory_order_relaxed);
  int least = -1;
  for (unsigned i = 0; i < count; i++) {
    int ms = fcgi_resource_tidy_ms(server->kept_resources.at[i]);
    least = least < 0 || ms < least ? ms : least;
  }
  return least;
}

void fcgi__kept_tidy(fcgi_server *server, int ms, long long *due) {
  long long now;
  if (ms < 0)
    return;
  now = fcgi__now();
  if (*due == 0)
    *due = now + ms;
  if (now < *due)
    return;
  tidy(server, FCGI_RESOURCE_REAP);
  *due = fcgi__now() + ms;
}

void fcgi__kept_leave(fcgi_server *server, int last) {
  tidy(server, FCGI_RESOURCE_LEAVE);
  if (last)
    tidy(server, FCGI_RESOURCE_ALL);
}

static void rest(void) {
  const struct timespec time = {0, LOOK_MS * 1000000l};
  nanosleep(&time, NULL);
}

static int fail(fcgi_server *server, fcgi_resource *resource, int error) {
  pthread_mutex_lock(&server->lock);
  fcgi_resource_message(resource, server->message, sizeof server->message);
  pthread_mutex_unlock(&server->lock);
  return error;
}

static int is_away(fcgi_resource *resource) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  fcgi_resource_count(resource, &stats);
  return stats.away;
}

/* Others use all that limit_total allows, so what it connects to is there. */
static int is_crowded(fcgi_resource *resource) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  fcgi_resource_count(resource, &stats);
  return !stats.away && stats.limit_total && stats.total >= stats.limit_total;
}

static int do_without(fcgi_server *server, fcgi_resource *resource) {
  fcgi__server_log(server, FCGI_LOG_WARNING,
                   "resource '%s': others use all that limit_total allows; the "
                   "server is ready without one",
                   fcgi_resource_name(resource));
  return 0;
}

/* Until it is open, for as long as nobody stops the server: however long a take
   may wait, a look at that comes between. */
static int open_one(fcgi_server *server, fcgi_resource *resource) {
  char before[FCGI_RESOURCE_WHY] = "", message[FCGI_RESOURCE_WHY] = "";
  const long long began = fcgi__now(),
                  late = began + fcgi__resource_longest_wait(resource);
  void *value;
  while (!atomic_load(&server->stop_wanted)) {
    int error =
        fcgi__resource_take_until(resource, fcgi__now() + LOOK_MS, &value);
    if (!error)
      return fcgi_resource_give(resource, NULL);
    if (error != FCGI_ERR_TIMEOUT)
      return fail(server, resource, error);
    if (fcgi__now() >= began + CROWDED_MS && is_crowded(resource))
      return do_without(server, resource);
    if (is_away(resource) || fcgi__now() >= late)
      fcgi_resource_message(resource, message, sizeof message);
    if (strcmp(message, before) != 0)
      fcgi__server_log(server, FCGI_LOG_WARNING,
                       "%s; the server is not ready before it is", message);
    memcpy(before, message, sizeof before);
    rest();
  }
  return 0;
}

static int open_all(fcgi_server *server) {
  unsigned count = atomic_load(&server->kept_resources.count);
  int error = 0;
  for (unsigned i = 0; i < count && !error; i++)
    if (fcgi_resource_eager(server->kept_resources.at[i]))
      error = open_one(server, server->kept_resources.at[i]);
  for (unsigned i = 0; i < count && !error; i++)
    fcgi_resource_tidy(server->kept_resources.at[i], FCGI_RESOURCE_REAP);
  return error;
}

/* The first thread opens, the others do not serve before: the first one that
   waits for requests says that the server is ready. */
int fcgi__kept_open(fcgi_server *server) {
  enum { NOT_YET, OPENING, OPEN };
  fcgi__kept_resources *kept = &server->kept_resources;
  int state = NOT_YET, error;
  if (atomic_load(&kept->count) == 0 || atomic_load(&kept->state) == OPEN)
    return 0;
  if (!atomic_compare_exchange_strong(&kept->state, &state, OPENING)) {
    while (atomic_load(&kept->state) == OPENING)
      rest();
    return atomic_load(&kept->state) == OPEN ? 0 : FCGI_ERR_STATE;
  }
  error = open_all(server);
  atomic_store(&kept->state, error ? NOT_YET : OPEN);
  return error;
}
