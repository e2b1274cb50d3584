/* SPDX-License-Identifier: MIT */
#include "server/share.h"
#include "os/clock.h"
#include "server/server.h"
#include <unistd.h>

enum {
  OVERDUE_MOST = 64, /* Answered at once, at most. */
  REPORTS = 16,      /* Taken from the poller at once. */
  TURNS = 64,        /* Looks at the poller in a row. */
  GIVE_MS = 4,       /* In which it is worth it to give one connection away,
                        for handlers however quick. */
  GIVE_MOST = 64,    /* How many may be given at once, after a pause. */
  LATE_MS = 2        /* After which a client may well have gone. */
};

void fcgi__share_init(fcgi__share *share) {
  fcgi__queue_init(&share->queue);
  fcgi__held_init(&share->held);
  share->pace = (fcgi__pace){.step = GIVE_MS, .most = GIVE_MOST};
  pthread_mutex_init(&share->lock, NULL);
}

void fcgi__share_clear(fcgi__share *share) {
  fcgi__held_clear(&share->held);
  pthread_mutex_destroy(&share->lock);
}

void fcgi__share_inherit(fcgi_server *server) {
  const char *wrong = fcgi__queue_inherit(&server->share.queue);
  if (wrong)
    fcgi__server_log(server, FCGI_LOG_WARNING,
                     "FASTCGI_SHARE is ignored: %s; connections stay at the "
                     "worker that has accepted them",
                     wrong);
}

int fcgi__share_has_others(fcgi_server *server) {
  return fcgi__share_count_others(server).ready > 0;
}

/* A single process is woken for each connection. Where it is one that comes to
   something else first, it tells others (fcgi__share_tell). */
void fcgi__share_watch(fcgi_server *server) {
  int in = atomic_load(&server->share.queue.in);
  if (in >= 0 && !server->share.watched)
    server->share.watched =
        fcgi__poller_add(server->poller, in,
                         FCGI__POLL_IN | FCGI__POLL_LISTENER,
                         &server->share) == 0;
}

static void unwatch(fcgi_server *server) {
  int in = atomic_load(&server->share.queue.in);
  if (server->share.watched && in >= 0)
    fcgi__poller_remove(server->poller, in);
  server->share.watched = 0;
}

/* In a stop it goes on until the queue is empty. */
void fcgi__share_rest(fcgi_server *server) {
  if (!atomic_load(&server->stopping))
    unwatch(server);
}

static void leave(fcgi_server *server) {
  pthread_mutex_lock(&server->lock);
  unwatch(server);
  atomic_store(&server->share.queue.in, -1);
  atomic_store(&server->share.queue.out, -1);
  pthread_mutex_unlock(&server->lock);
}

void fcgi__share_begin(fcgi_server *server) {
  if (!fcgi__share_is_on(&server->share))
    return;
  if (!atomic_load(&server->observer.slot)) {
    leave(server);
    return;
  }
  atomic_store(&server->share.used, 1);
  pthread_mutex_lock(&server->lock);
  fcgi__share_watch(server);
  pthread_mutex_unlock(&server->lock);
}

/* Where all workers stop, their supervisor has shut the queue, and each takes
   what it can until nothing is left. Where it was killed, they hear of that one
   after another, and the last of them finds no other. */
void fcgi__share_stop(fcgi_server *server) {
  fcgi__queue *queue = &server->share.queue;
  if (atomic_load(&queue->in) < 0)
    return;
  atomic_store(&queue->out, -1);
  if (atomic_load(&server->stopping) != FCGI__STOPPING ||
      (!fcgi__queue_is_shut(queue) && fcgi__share_has_others(server))) {
    leave(server);
    return;
  }
  pthread_mutex_lock(&server->lock);
  fcgi__share_watch(server);
  pthread_mutex_unlock(&server->lock);
}

int fcgi__share_is_through(fcgi_server *server) {
  fcgi__queue *queue = &server->share.queue;
  if (atomic_load(&queue->in) >= 0 && fcgi__queue_length(queue) == 0)
    leave(server); /* What another one puts there later is for that one. */
  return atomic_load(&queue->in) < 0;
}

static void use(fcgi_server *server, int fd, const fcgi__queue_note *about) {
  const fcgi__connection_past past = {.in_use = !about->fresh,
                                      .late = 1,
                                      .shared = about->shared,
                                      .moved = 1,
                                      .since = about->since,
                                      .idle_due = about->idle_due};
  if (!fcgi__handover_pass(server, fd))
    fcgi__connection_take_up(server, fd, &past);
}

/* A connection may be on its way from the queue, where others count it, to this
   worker, which has not counted it yet; or it has. */
static void note_taking(fcgi_server *server, unsigned change) {
  fcgi__board_slot *slot = atomic_load(&server->observer.slot);
  if (slot)
    atomic_fetch_add(&slot->taking, change);
}

/* 1, with a connection or -1; 0 when nothing is there. */
static int receive(fcgi_server *server, int *fd, fcgi__queue_note *about) {
  int in = atomic_load(&server->share.queue.in), result;
  if (in < 0 || !fcgi__handover_has_room(server, in))
    return 0;
  result = fcgi__queue_take(&server->share.queue, fd, about);
  if (result == 0) /* Nothing will come any more. */
    leave(server);
  return result > 0;
}

void fcgi__share_take(fcgi_server *server) {
  fcgi__queue_note about;
  int fd;
  note_taking(server, 1);
  if (receive(server, &fd, &about) && fd >= 0)
    use(server, fd, &about);
  note_taking(server, -1U);
}

/* They have waited for longer than a request may take, and are answered. */
static void take_overdue(fcgi_server *server) {
  int patience = server->config.request_timeout_ms;
  for (int i = 0; patience > 0 && i < OVERDUE_MOST; i++) {
    int64_t since = fcgi__queue_since(&server->share.queue);
    if (since == 0 || fcgi__now() - patience < since)
      return;
    fcgi__share_take(server);
  }
}

fcgi__board_slot *fcgi__share_enter(fcgi_server *server) {
  fcgi__board_slot *slot;
  if (!fcgi__share_is_on(&server->share))
    return NULL;
  slot = atomic_load_explicit(&server->observer.slot, memory_order_relaxed);
  if (slot)
    atomic_fetch_add_explicit(&slot->idle, 1, memory_order_relaxed);
  return slot;
}

/* The socket stays the caller's. */
static fcgi__queue_result put(fcgi_server *server, int fd,
                              const fcgi__queue_note *about) {
  return fcgi__dispatch_is_for_handlers(server, fd)
             ? fcgi__queue_put(&server->share.queue, fd, about)
             : FCGI__QUEUE_STAYS;
}

/* The connection of a report goes to the queue if it is at rest, with bytes to
   read that ask nothing of the library itself. */
static fcgi__queue_result give_connection(fcgi_server *server,
                                          const fcgi__ready *report) {
  fcgi__connection *connection = report->owner;
  fcgi__queue_result result = FCGI__QUEUE_STAYS;
  fcgi__queue_note about = {.since = fcgi__now()};
  if (report->events & FCGI__POLL_HANGUP)
    return FCGI__QUEUE_STAYS;
  fcgi__connection_lock(connection);
  if (connection->fd >= 0 &&
      fcgi__connection_is_at_rest(connection,
                                  fcgi_session_flags(connection->session))) {
    about.idle_due = connection->life.idle_due;
    about.fresh = connection->life.fresh;
    about.shared = connection->life.shared;
    result = put(server, connection->fd, &about);
  }
  if (result == FCGI__QUEUE_GIVEN) {
    atomic_fetch_add(&server->share.over, 1);
    fcgi__connection_close(connection);
  }
  fcgi__connection_unlock_only(connection);
  return result;
}

/* One that has sent nothing yet is nobody's work. */
static fcgi__queue_result give_waiting(fcgi_server *server,
                                       const fcgi__listener *listener) {
  const fcgi__queue_note about = {.since = fcgi__now(), .fresh = 1};
  const fcgi__connection_past past = {.late = 1};
  fcgi__queue_result result;
  int fd;
  if (!fcgi__accept_has_room(server)) {
    fcgi__accept_check(server);
    return FCGI__QUEUE_STAYS;
  }
  fd = fcgi__guard_accept(server, listener);
  if (fd < 0)
    return FCGI__QUEUE_STAYS;
  result = put(server, fd, &about);
  if (result == FCGI__QUEUE_GIVEN) {
    fcgi__observe_count(&server->observer, FCGI_METRIC_ACCEPTED, 1);
    atomic_fetch_add(&server->share.over, 1);
    close(fd);
  } else {
    fcgi__connection_take_up(server, fd, &past);
  }
  return FCGI__QUEUE_GIVEN;
}

void fcgi__share_look(fcgi_server *server) {
  fcgi__share_take(server);
  for (size_t i = 0; i < server->listener_count; i++) {
    const fcgi__listener *listener = &server->listeners[i];
    int most = server->config.backlog;
    fcgi__accept_some(server, &server->listeners[i], 1);
    while (most-- > 0 && give_waiting(server, listener) == FCGI__QUEUE_GIVEN)
      ;
  }
}

static void send_again(fcgi_server *server) {
  fcgi__queue_note about;
  int fd;
  if (!receive(server, &fd, &about) || fd < 0)
    return;
  if (fcgi__queue_put(&server->share.queue, fd, &about) == FCGI__QUEUE_GIVEN)
    close(fd);
  else
    use(server, fd, &about);
}

/* Whoever was woken for the queue may not come to it. A message that comes anew
   wakes a process that sleeps. It goes behind all others, of which there are
   few as long as somebody sleeps. */
static void tell(fcgi_server *server) {
  if (!fcgi__share_is_on(&server->share))
    return;
  note_taking(server, 1);
  send_again(server);
  note_taking(server, -1U);
}

/* Of a connection that has waited the socket is asked whether its peer has hung
   up, as it is after a report of that. */
static void serve(fcgi_server *server, const fcgi__late *late) {
  fcgi__ready report = late->report;
  if (fcgi__now() - late->at >= LATE_MS)
    report.events |= FCGI__POLL_HANGUP;
  fcgi__server_serve(server, &report);
}

/* A thread that is about to sleep looks at the count once more after it counts
   as a sleeper, so one of the two sees the other. */
static void keep(fcgi_server *server, const fcgi__late *late, int count) {
  int kept = fcgi__held_put(&server->share.held, late, count);
  if (kept > 0 && atomic_load(&server->sleepers) > 0)
    fcgi__server_nudge(server);
  for (; kept < count; kept++)
    serve(server, &late[kept]);
}

/* Everyone is woken for what is handed over; others hear of the queue. */
static fcgi__queue_result give(fcgi_server *server, const fcgi__ready *report) {
  if (fcgi__server_is_listener(server, report->owner))
    return give_waiting(server, report->owner);
  if (report->owner == &server->lifeline)
    return FCGI__QUEUE_STAYS;
  if (report->owner == &server->handover)
    return FCGI__QUEUE_GIVEN;
  if (report->owner != &server->share)
    return give_connection(server, report);
  tell(server);
  return FCGI__QUEUE_GIVEN;
}

/* This thread is about to run a handler, or a foreign event loop some. */
static void spread(fcgi_server *server) {
  fcgi__held *held = &server->share.held;
  fcgi__late stay[FCGI__HELD_MOST], late;
  int left, staying = 0, looks;
  if (!fcgi__held_any(held))
    return;
  left = fcgi__share_portion(server);
  for (looks = FCGI__HELD_MOST;
       left > 0 && looks > 0 && fcgi__held_take(held, &late); looks--) {
    fcgi__queue_result result = give(server, &late.report);
    if (result != FCGI__QUEUE_GIVEN)
      stay[staying++] = late;
    left =
        result == FCGI__QUEUE_FULL ? 0 : left - (result != FCGI__QUEUE_STAYS);
  }
  keep(server, stay, staying);
}

static void spread_if_busy(fcgi_server *server) {
  if (atomic_load(&server->ready_count) > 0 || fcgi__server_is_loop(server))
    spread(server);
}

/* What brings no request is seen to at once: room for output, peers that have
   gone, and a stop. */
static int may_wait(const fcgi_server *server, const fcgi__ready *report) {
  return report->owner != &server->lifeline &&
         !(report->events & (FCGI__POLL_OUT | FCGI__POLL_HANGUP));
}

int fcgi__share_is_to_keep(const fcgi_server *server, int count) {
  return fcgi__share_is_on(&server->share) &&
         (count > 1 || (count == 1 && fcgi__server_is_loop(server) &&
                        atomic_load(&server->spare.open) > 0));
}

void fcgi__share_begin_with(fcgi_server *server, const fcgi__ready *reports,
                            int count) {
  fcgi__late late[REPORTS];
  long long now = fcgi__now();
  int waiting = 0, first = fcgi__server_is_loop(server) ? 0 : 1;
  for (int i = 0; i < count; i++) {
    if (i >= first && may_wait(server, &reports[i]))
      late[waiting++] = (fcgi__late){.report = reports[i], .at = now};
    else
      fcgi__server_serve(server, &reports[i]);
  }
  keep(server, late, waiting);
  spread_if_busy(server);
}

int fcgi__share_resume(fcgi_server *server) {
  fcgi__late late;
  if (!fcgi__held_take(&server->share.held, &late))
    return 0;
  serve(server, &late);
  spread_if_busy(server);
  return 1;
}

/* One look of the spare thread. */
typedef struct relief {
  fcgi_server *server; /* Whose. */
  unsigned idle;       /* How many threads of others are free. */
  int accept;          /* 1: connections are accepted in any case. */
  int full;            /* 1: the queue is. */
  int busy;            /* 1: something was seen to. */
} relief;

static void relieve_listener(relief *r, const fcgi__late *late) {
  if (r->idle > 0) {
    r->busy |= give_waiting(r->server, late->report.owner) == FCGI__QUEUE_GIVEN;
  } else if (r->accept) {
    fcgi__server_doubt(r->server);
    serve(r->server, late);
    r->busy = 1;
  }
}

/* What reports a level comes again. */
static void relieve_of(relief *r, const fcgi__late *late) {
  fcgi_server *server = r->server;
  const void *owner = late->report.owner;
  fcgi__queue_result result = FCGI__QUEUE_FULL;
  if (fcgi__server_is_listener(server, owner)) {
    relieve_listener(r, late);
    return;
  }
  if (owner == &server->share || owner == &server->handover)
    return;
  if (!r->full)
    result = give(server, &late->report);
  if (result == FCGI__QUEUE_FULL) {
    r->full = 1;
    keep(server, late, 1);
    return;
  }
  if (result == FCGI__QUEUE_STAYS)
    serve(server, late);
  r->busy = 1;
}

/* Listeners come again by themselves. */
static int read_kept(fcgi_server *server) {
  fcgi__late late;
  for (int i = 0; i < FCGI__HELD_MOST; i++)
    if (fcgi__held_take(&server->share.held, &late) &&
        !fcgi__server_is_own(server, late.report.owner))
      serve(server, &late);
  return 0;
}

/* The queue is full: now a limit or a status page comes first. */
static int is_to_read(const fcgi_server *server) {
  return server->spare.watches ||
         atomic_load(&server->next_sweep) <= fcgi__now();
}

static void relieve_of_kept(relief *r) {
  fcgi__late late;
  for (int i = 0; i < FCGI__HELD_MOST && !r->full; i++)
    if (fcgi__held_take(&r->server->share.held, &late))
      relieve_of(r, &late);
}

int fcgi__share_relieve(fcgi_server *server, int accept) {
  relief r = {.server = server, .accept = accept, .busy = 1};
  fcgi__ready reports[REPORTS];
  fcgi__board_others others;
  int count;
  if (!fcgi__share_is_on(&server->share))
    return read_kept(server);
  others = fcgi__share_count_others(server);
  take_overdue(server);
  if (others.ready == 0)
    return read_kept(server);
  r.idle = others.idle;
  relieve_of_kept(&r);
  for (int turns = 0; r.busy && !r.full && turns < TURNS; turns++) {
    count = fcgi__poller_wait(server->poller, reports, REPORTS, 0);
    r.busy = 0;
    for (int i = 0; i < count; i++) {
      const fcgi__late late = {.report = reports[i], .at = fcgi__now()};
      relieve_of(&r, &late);
    }
  }
  if (r.idle > 0)
    tell(server);
  return r.full && is_to_read(server) ? read_kept(server) : 1;
}
