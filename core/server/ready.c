/* SPDX-License-Identifier: MIT */
/* The list of requests that have events to give out. */
#include "server/server.h"

static void push(fcgi_server *server, fcgi_request *request) {
  request->is_ready = 1;
  request->ready_next = NULL;
  request->ready_prev = server->ready_last;
  if (server->ready_last)
    server->ready_last->ready_next = request;
  else
    server->ready_first = request;
  server->ready_last = request;
  atomic_fetch_add(&server->ready_count, 1);
  atomic_fetch_add_explicit(&request->connection->waiting, 1,
                            memory_order_relaxed);
}

static void take_out(fcgi_server *server, fcgi_request *request) {
  if (request->ready_prev)
    request->ready_prev->ready_next = request->ready_next;
  else
    server->ready_first = request->ready_next;
  if (request->ready_next)
    request->ready_next->ready_prev = request->ready_prev;
  else
    server->ready_last = request->ready_prev;
  request->is_ready = 0;
  atomic_fetch_sub(&server->ready_count, 1);
  atomic_fetch_sub_explicit(&request->connection->waiting, 1,
                            memory_order_relaxed);
}

void fcgi__server_notify(fcgi_server *server, fcgi_request *request,
                         fcgi_event_type type) {
  if (!(atomic_load(&server->events) & 1u << type) || request->end_due)
    return; /* Nobody asked, or the program has ended it already. */
  request->connection->notified = 1;
  pthread_mutex_lock(&server->lock);
  request->pending |= 1u << type;
  if (!request->is_ready)
    push(server, request);
  pthread_mutex_unlock(&server->lock);
}

void fcgi__server_forget(fcgi_server *server, fcgi_request *request) {
  pthread_mutex_lock(&server->lock);
  request->pending = 0;
  if (request->is_ready)
    take_out(server, request);
  pthread_mutex_unlock(&server->lock);
}

void fcgi__server_late(fcgi_server *server, fcgi_request *request) {
  pthread_mutex_lock(&server->lock);
  request->all_prev = NULL;
  request->all_next = server->late;
  if (server->late)
    server->late->all_prev = request;
  server->late = request;
  pthread_mutex_unlock(&server->lock);
}

void fcgi__server_no_longer_late(fcgi_server *server, fcgi_request *request) {
  pthread_mutex_lock(&server->lock);
  if (request->all_prev)
    request->all_prev->all_next = request->all_next;
  else
    server->late = request->all_next;
  if (request->all_next)
    request->all_next->all_prev = request->all_prev;
  pthread_mutex_unlock(&server->lock);
}

int fcgi__server_withdraw(fcgi_server *server, fcgi_request *request,
                          int only_look) {
  int given;
  pthread_mutex_lock(&server->lock);
  given = request->wants_close;
  if (!given || !only_look) {
    request->pending = 0;
    if (request->is_ready)
      take_out(server, request);
  }
  pthread_mutex_unlock(&server->lock);
  return given;
}

int fcgi__server_let_go(fcgi_server *server, fcgi_request *request) {
  int free_of_all;
  pthread_mutex_lock(&server->lock);
  free_of_all = atomic_fetch_sub(&request->held, 1) == 1 && !request->is_ready;
  pthread_mutex_unlock(&server->lock);
  return free_of_all;
}

/* Events of one request come in the order of their numbers, CLOSE last; a
   request with several goes to the end of the list after each. */
void fcgi__server_pop(fcgi_server *server, fcgi_server_event *event, int hold) {
  fcgi_request *request = server->ready_first;
  int type = __builtin_ctz(request->pending);
  take_out(server, request);
  request->pending &= ~(1u << type);
  if (request->pending)
    push(server, request);
  if (type == FCGI_EVENT_REQUEST) {
    request->wants_close = 1;
    fcgi__gather_begin(request->connection);
    if (request->tally.counted)
      fcgi__tally_given(request);
  }
  event->type = (fcgi_event_type)type;
  event->request = request;
  event->user_data = request->user_data;
  if (hold)
    atomic_fetch_add(&request->held, 1);
  else if (type == FCGI_EVENT_CLOSE)
    fcgi__request_free(request);
}
