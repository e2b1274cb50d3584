/* SPDX-License-Identifier: MIT */
/* The list of requests that have events to give out: each connection has its
   own, and connections take turns, so that no request waits behind all those of
   another connection. */
#include "os/clock.h"
#include "server/server.h"

/* The events of one request are delivered in this order. Their numbers are part
   of the interface and say nothing about it; nothing comes after CLOSE. */
static const uint8_t order[] = {FCGI_EVENT_REQUEST,   FCGI_EVENT_STDIN,
                                FCGI_EVENT_STDIN_END, FCGI_EVENT_DATA,
                                FCGI_EVENT_DATA_END,  FCGI_EVENT_WRITABLE,
                                FCGI_EVENT_ABORT,     FCGI_EVENT_CLOSE};

#define ONE(name, callback) +1
_Static_assert(sizeof order == 0 FCGI_EVENT_MAP(ONE), "each event has a place");
#undef ONE

enum {
  TURN_US = 1000, /* How long one connection's turn lasts: answers to quick
                     handlers leave together, see gather.c. */
  WAITED_MS = 1   /* After which a peer may have gone. */
};

static void enter_turns(fcgi_server *server, fcgi__connection *connection) {
  connection->turn_us = 0;
  connection->turn_next = NULL;
  connection->turn_prev = server->turn_last;
  if (server->turn_last)
    server->turn_last->turn_next = connection;
  else
    server->turn_first = connection;
  server->turn_last = connection;
}

static void leave_turns(fcgi_server *server, fcgi__connection *connection) {
  if (connection->turn_prev)
    connection->turn_prev->turn_next = connection->turn_next;
  else
    server->turn_first = connection->turn_next;
  if (connection->turn_next)
    connection->turn_next->turn_prev = connection->turn_prev;
  else
    server->turn_last = connection->turn_prev;
}

/* Time is asked for only where there are several. */
fcgi__connection *fcgi__ready_turn(fcgi_server *server) {
  fcgi__connection *connection = server->turn_first;
  uint64_t now;
  if (!connection || !connection->turn_next)
    return connection;
  now = fcgi__now_us();
  if (connection->turn_us > 0 && now - connection->turn_us > TURN_US) {
    leave_turns(server, connection);
    enter_turns(server, connection);
    connection = server->turn_first;
  }
  if (connection->turn_us == 0)
    connection->turn_us = now;
  return connection;
}

static void push(fcgi_server *server, fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  request->turn.next = NULL;
  request->turn.prev = connection->ready_last;
  if (connection->ready_last) {
    connection->ready_last->turn.next = request;
  } else {
    connection->ready_first = request;
    enter_turns(server, connection);
  }
  connection->ready_last = request;
  atomic_fetch_add(&server->ready_count, 1);
  atomic_fetch_add_explicit(&connection->waiting, 1, memory_order_relaxed);
}

static void take_out(fcgi_server *server, fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  if (request->turn.prev)
    request->turn.prev->turn.next = request->turn.next;
  else
    connection->ready_first = request->turn.next;
  if (request->turn.next)
    request->turn.next->turn.prev = request->turn.prev;
  else
    connection->ready_last = request->turn.prev;
  if (!connection->ready_first)
    leave_turns(server, connection);
  atomic_fetch_sub(&server->ready_count, 1);
  atomic_fetch_sub_explicit(&connection->waiting, 1, memory_order_relaxed);
}

/* Whoever holds the connection's lock may look without the server's: events are
   added under both. Once there is none, whoever took the last has said all it
   had to say of the request. */
static unsigned pending(const fcgi_request *request) {
  return atomic_load_explicit(&request->turn.pending, memory_order_acquire);
}

static void set_pending(fcgi_request *request, unsigned events) {
  atomic_store_explicit(&request->turn.pending, events, memory_order_release);
}

/* The server's lock is held. */
static void add(fcgi_server *server, fcgi_request *request,
                fcgi_event_type type) {
  unsigned before = pending(request);
  set_pending(request, before | 1u << type);
  if (type == FCGI_EVENT_REQUEST)
    request->turn.at =
        atomic_load_explicit(&server->looked, memory_order_relaxed);
  if (!before)
    push(server, request);
}

/* A request that is ready alone needs no list: the thread that has read it
   takes it. Whatever follows goes behind it. */
static int keep_own(fcgi_request *request, fcgi_event_type type) {
  fcgi__connection_life *life = &request->connection->life;
  if (!life->lone)
    return 0;
  life->lone = 0;
  if (type != FCGI_EVENT_REQUEST)
    return 0;
  life->own = request;
  return 1;
}

static void add_own(fcgi_server *server, fcgi__connection *connection) {
  fcgi_request *own = connection->life.own;
  connection->life.own = NULL;
  if (own)
    add(server, own, FCGI_EVENT_REQUEST);
}

static void disown(fcgi_request *request) {
  if (request->connection->life.own == request)
    request->connection->life.own = NULL;
}

void fcgi__ready_notify(fcgi_server *server, fcgi_request *request,
                        fcgi_event_type type) {
  if (!(atomic_load(&server->events) & 1u << type) ||
      request->phase == FCGI__ENDING)
    return; /* Nobody asked, or the program has ended it already. */
  if (type == FCGI_EVENT_REQUEST && request->connection->life.gone)
    return; /* It is ended in a moment. */
  request->connection->life.notified = 1;
  if (keep_own(request, type))
    return;
  pthread_mutex_lock(&server->lock);
  add_own(server, request->connection);
  add(server, request, type);
  pthread_mutex_unlock(&server->lock);
}

static void withdraw(fcgi_server *server, fcgi_request *request) {
  if (pending(request))
    take_out(server, request);
  set_pending(request, 0);
}

void fcgi__ready_forget(fcgi_server *server, fcgi_request *request) {
  disown(request);
  if (!pending(request))
    return;
  pthread_mutex_lock(&server->lock);
  withdraw(server, request);
  pthread_mutex_unlock(&server->lock);
}

void fcgi__ready_late(fcgi_server *server, fcgi_request *request) {
  pthread_mutex_lock(&server->lock);
  request->all_prev = NULL;
  request->all_next = server->late;
  if (server->late)
    server->late->all_prev = request;
  server->late = request;
  pthread_mutex_unlock(&server->lock);
}

void fcgi__ready_no_longer_late(fcgi_server *server, fcgi_request *request) {
  pthread_mutex_lock(&server->lock);
  if (request->all_prev)
    request->all_prev->all_next = request->all_next;
  else
    server->late = request->all_next;
  if (request->all_next)
    request->all_next->all_prev = request->all_prev;
  pthread_mutex_unlock(&server->lock);
}

int fcgi__ready_withdraw(fcgi_server *server, fcgi_request *request,
                         int only_look) {
  int given;
  pthread_mutex_lock(&server->lock);
  given = request->turn.given;
  if (!given || !only_look) {
    disown(request);
    withdraw(server, request);
  }
  pthread_mutex_unlock(&server->lock);
  return given;
}

/* In this order: who takes an event holds the request before the event is no
   longer pending. */
int fcgi__ready_let_go(fcgi_request *request) {
  int waits = pending(request) != 0;
  return atomic_fetch_sub(&request->held, 1) == 1 && !waits;
}

/* A connection is asked again no sooner than after the same time. */
fcgi_request *fcgi__ready_doubtful(fcgi_server *server, long long now) {
  fcgi__connection *connection = fcgi__ready_turn(server);
  fcgi_request *request = connection ? connection->ready_first : NULL;
  if (!request || !(pending(request) & 1u << FCGI_EVENT_REQUEST) ||
      now - request->turn.at < WAITED_MS ||
      now - connection->looked_at < WAITED_MS)
    return NULL;
  connection->looked_at = now;
  atomic_fetch_add(&request->held, 1);
  return request;
}

static fcgi_event_type first_of(unsigned events) {
  size_t at = 0;
  while (at + 1 < sizeof order && !(events & 1u << order[at]))
    at++;
  return (fcgi_event_type)order[at];
}

static void give(fcgi_server *server, fcgi_request *request,
                 fcgi_server_event *event, fcgi_event_type type, int hold) {
  if (type == FCGI_EVENT_REQUEST) {
    request->turn.given = 1;
    fcgi__gather_begin(request->connection);
    fcgi__observe_given(&server->observer, &request->observed);
  }
  event->type = type;
  event->request = request;
  event->user_data = request->user_data;
  if (hold)
    atomic_fetch_add(&request->held, 1);
}

int fcgi__ready_take_own(fcgi__connection *connection, fcgi_server_event *event,
                         int hold) {
  fcgi_server *server = connection->server;
  fcgi_request *own = connection->life.own;
  connection->life.lone = 0;
  if (!own)
    return 0;
  if (atomic_load_explicit(&server->ready_count, memory_order_relaxed) == 0 &&
      atomic_load(&server->stop_wanted) == atomic_load(&server->stopping) &&
      !atomic_load_explicit(&server->withholds, memory_order_relaxed)) {
    connection->life.own = NULL;
    give(server, own, event, FCGI_EVENT_REQUEST, hold);
    return 1;
  }
  pthread_mutex_lock(&server->lock);
  add_own(server, connection);
  pthread_mutex_unlock(&server->lock);
  return 0;
}

static fcgi_request *first_given(const fcgi__connection *connection) {
  fcgi_request *at = connection->ready_first;
  while (at && !at->turn.given)
    at = at->turn.next;
  return at;
}

/* The request whose event is next, or NULL. While requests are withheld, those
   that the program has may still have something to hear. */
static fcgi_request *next_of(fcgi_server *server) {
  fcgi__connection *at = fcgi__ready_turn(server);
  fcgi_request *found = NULL;
  if (!at || !atomic_load_explicit(&server->withholds, memory_order_relaxed))
    return at ? at->ready_first : NULL;
  for (at = server->turn_first; at && !found; at = at->turn_next)
    found = first_given(at);
  return found;
}

/* A request with several events goes to the end of its list after each. Once
   none is pending it may be gone. */
int fcgi__ready_pop(fcgi_server *server, fcgi_server_event *event, int hold) {
  fcgi_request *request = next_of(server);
  unsigned events;
  fcgi_event_type type;
  if (!request)
    return 0;
  events = pending(request);
  type = first_of(events);
  take_out(server, request);
  give(server, request, event, type, hold);
  events &= ~(1u << type);
  set_pending(request, events);
  if (events)
    push(server, request);
  else if (type == FCGI_EVENT_CLOSE && !hold)
    fcgi__request_free(request);
  return 1;
}
