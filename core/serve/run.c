/* SPDX-License-Identifier: MIT */
/* The callbacks, on top of fcgi_server_next. */
#include "base/config.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>

static fcgi_callback callback_for(const fcgi_handler *handler,
                                  fcgi_event_type type) {
  switch (type) {
#define CALLBACK(name, callback)                                               \
  case FCGI_EVENT_##name:                                                      \
    return handler->callback;
    FCGI_EVENT_MAP(CALLBACK)
#undef CALLBACK
  case FCGI_EVENT_NONE:
    break;
  }
  return NULL;
}

/* What it has is given back first: only then is it known what broke. While
   another callback of it runs, that may use what it has. */
static int is_to_retry(fcgi_request *request, fcgi_event_type type) {
  fcgi_holder *holder = fcgi_request_holder(request);
  if (type != FCGI_EVENT_REQUEST || !fcgi_holder_wants_retry(holder))
    return 0;
  if (fcgi_holder_is_busy(holder))
    fcgi__request_give_back_if_done(request, 1, 1);
  return !fcgi_holder_is_busy(holder) && fcgi_request_retry(request, holder);
}

static void fcgi__callback(const fcgi_handler *handler,
                           const fcgi_server_event *event, void *user_data) {
  fcgi_request *request = event->request;
  fcgi_callback callback = callback_for(handler, event->type);
  int result = callback ? callback(request, user_data) : FCGI_PENDING;
  if (fcgi__request_is_other(request))
    return; /* A child of the callback's has come back. */
  if (result < 0 && is_to_retry(request, event->type)) {
    result = callback(request, user_data);
    if (fcgi__request_is_other(request))
      return;
  }
  if (event->type == FCGI_EVENT_ABORT || event->type == FCGI_EVENT_CLOSE)
    result = FCGI_PENDING;
  fcgi__request_callback_over(request, result);
  fcgi__request_returned(request, result);
}

static unsigned events_of(const fcgi_handler *handler) {
  unsigned events = 0;
#define EVENT(name, callback)                                                  \
  if (handler->callback)                                                       \
    events |= 1u << FCGI_EVENT_##name;
  FCGI_EVENT_MAP(EVENT)
#undef EVENT
  return events;
}

static int adopt(fcgi_server *server, const fcgi_handler *handler,
                 fcgi_handler *copy) {
  *copy = (fcgi_handler){.size = 0};
  if (!handler || fcgi__config_copy(copy, sizeof *copy,
                                    offsetof(fcgi_handler, on_stdin), handler))
    return FCGI_ERR_INVALID;
  if (!copy->on_request)
    return FCGI_ERR_INVALID;
  pthread_mutex_lock(&server->lock);
  atomic_fetch_or(&server->events, events_of(copy));
  pthread_mutex_unlock(&server->lock);
  return 0;
}

static int refuse(fcgi_server *server, int error, const char *why) {
  pthread_mutex_lock(&server->lock);
  snprintf(server->message, sizeof server->message, "%s", why);
  pthread_mutex_unlock(&server->lock);
  return error;
}

/* What the thread has open is closed while all that on_thread_start began is
   there. */
static void part(fcgi_server *server, const fcgi_handler *handler,
                 void *user_data, int last) {
  fcgi__kept_leave(server, last);
  if (handler->on_thread_stop)
    handler->on_thread_stop(user_data);
}

/* What begins and ends with each thread, around its requests. A child that a
   callback has forked is none of them. */
static int enter(fcgi_server *server, const fcgi_handler *handler,
                 void *user_data) {
  int result =
      handler->on_thread_start ? handler->on_thread_start(user_data) : 0;
  if (result < 0)
    return refuse(server, result, "on_thread_start has failed");
  result = fcgi__kept_open(server);
  if (result < 0)
    part(server, handler, user_data, 0);
  return result < 0 ? result : 0;
}

static void leave(fcgi_server *server, const fcgi_handler *handler,
                  void *user_data) {
  if (fcgi_server_forked(server))
    return;
  part(server, handler, user_data, atomic_fetch_sub(&server->running, 1) == 1);
}

static int serve(fcgi_server *server, const fcgi_handler *handler,
                 void *user_data) {
  fcgi_server_event event = {.size = sizeof event};
  long long due = 0;
  int result;
  do {
    int ms = fcgi__kept_wait_ms(server);
    result = fcgi__server_take_event(server, &event, ms, 1);
    if (result > 0)
      fcgi__callback(handler, &event, user_data);
    fcgi__kept_tidy(server, ms, &due);
  } while (result >= 0);
  return result == FCGI_ERR_CLOSED ? 0 : result;
}

int fcgi_server_run(fcgi_server *server, const fcgi_handler *handler,
                    void *user_data) {
  fcgi_handler copy;
  int result;
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  result = adopt(server, handler, &copy);
  if (result)
    return refuse(server, result,
                  "the handler has no on_request, or a size from another "
                  "version");
  if (server->listener_count == 0 && !server->cgi &&
      !atomic_load(&server->stop_wanted))
    return refuse(server, FCGI_ERR_STATE,
                  "no address to serve: call fcgi_server_listen first");
  result = enter(server, &copy, user_data);
  if (result)
    return result;
  atomic_fetch_add(&server->running, 1);
  result = serve(server, &copy, user_data);
  leave(server, &copy, user_data);
  return result;
}
