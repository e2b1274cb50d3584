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

static void fcgi__callback(const fcgi_handler *handler,
                           const fcgi_server_event *event, void *user_data) {
  fcgi_request *request = event->request;
  fcgi_callback callback = callback_for(handler, event->type);
  int result = callback ? callback(request, user_data) : FCGI_PENDING;
  if (fcgi__request_is_other(request))
    return; /* A child of the callback's has come back. */
  if (event->type == FCGI_EVENT_ABORT || event->type == FCGI_EVENT_CLOSE)
    result = FCGI_PENDING;
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

int fcgi_server_run(fcgi_server *server, const fcgi_handler *handler,
                    void *user_data) {
  fcgi_handler copy;
  fcgi_server_event event = {.size = sizeof event};
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
  atomic_fetch_add(&server->running, 1);
  do {
    result = fcgi__server_take_event(server, &event, -1, 1);
    if (result > 0)
      fcgi__callback(&copy, &event, user_data);
  } while (result >= 0);
  atomic_fetch_sub(&server->running, 1);
  return result == FCGI_ERR_CLOSED ? 0 : result;
}
