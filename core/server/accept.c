/* SPDX-License-Identifier: MIT */
/* Connections that wait at the listeners. */
#include "os/clock.h"
#include "server/server.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

enum {
  PAUSE_MS = 100, /* After running out of descriptors. */
  MORE = 16,      /* Connections beyond the limit, of the queue. */
  DOUBTS = 4096   /* How many may wait at a listener, as a rule. */
};

void fcgi__accept_on(fcgi_server *server) {
  pthread_mutex_lock(&server->lock);
  if (!atomic_load(&server->accepting) && !atomic_load(&server->stopping)) {
    atomic_store(&server->accepting, 1);
    atomic_store(&server->accept_again, LLONG_MAX);
    for (size_t i = 0; i < server->listener_count; i++)
      fcgi__poller_add(server->poller, server->listeners[i].fd,
                       FCGI__POLL_IN | FCGI__POLL_LISTENER,
                       &server->listeners[i]);
    fcgi__handover_watch(server);
    fcgi__share_watch(server);
  }
  pthread_mutex_unlock(&server->lock);
}

void fcgi__accept_off(fcgi_server *server) {
  pthread_mutex_lock(&server->lock);
  if (atomic_exchange(&server->accepting, 0))
    for (size_t i = 0; i < server->listener_count; i++)
      fcgi__poller_remove(server->poller, server->listeners[i].fd);
  fcgi__handover_rest(server);
  pthread_mutex_unlock(&server->lock);
}

int fcgi__accept_has_room(const fcgi_server *server) {
  return atomic_load(&server->open) + fcgi__share_over(&server->share) <
         server->config.limit_connections;
}

/* Others tell nobody when they have fewer. */
static void accept_later(fcgi_server *server) {
  long long again = fcgi__now() + PAUSE_MS;
  if (atomic_load(&server->open) >= server->config.limit_connections ||
      atomic_load(&server->stopping))
    return;
  fcgi__lower_to(&server->accept_again, again);
  fcgi__server_deadline(server, again);
}

/* How many connections there may be where some come from the queue: a few more,
   for those have been accepted, and would wait for a worker that is busy. Who
   gave them accepts the fewer. */
static uint32_t limit_with_queue(const fcgi_server *server) {
  const uint32_t held = FCGI__POOL_SEGMENTS * FCGI__POOL_SEGMENT;
  uint32_t limit = server->config.limit_connections;
  uint32_t more = limit / MORE < MORE ? limit / MORE + 1 : MORE;
  return limit + more < held ? limit + more : held;
}

static void watch_queue(fcgi_server *server, int watches) {
  if (!fcgi__share_is_used(&server->share))
    return;
  pthread_mutex_lock(&server->lock);
  if (watches && !atomic_load(&server->stopping))
    fcgi__share_watch(server);
  else if (!watches)
    fcgi__share_rest(server);
  pthread_mutex_unlock(&server->lock);
}

void fcgi__accept_resume(fcgi_server *server) {
  if (atomic_load(&server->open) < limit_with_queue(server))
    watch_queue(server, 1);
  if (fcgi__share_over(&server->share) > 0)
    fcgi__share_has_others(server);
  if (fcgi__accept_has_room(server))
    fcgi__accept_on(server);
  else
    accept_later(server);
}

/* One that was closed meanwhile has found nothing to switch on. */
void fcgi__accept_check(fcgi_server *server) {
  fcgi__accept_off(server);
  if (atomic_load(&server->open) >= limit_with_queue(server))
    watch_queue(server, 0);
  if (atomic_load(&server->open) < server->config.limit_connections)
    fcgi__accept_resume(server);
  else if (atomic_load(&server->sleepers) > 0 &&
           fcgi__accept_has_waiting(server))
    fcgi__handover_tell(server); /* They may have been woken for it. */
}

int fcgi__accept_has_waiting(fcgi_server *server) {
  struct pollfd at[FCGI__LISTENERS];
  nfds_t count = (nfds_t)server->listener_count;
  for (nfds_t i = 0; i < count; i++)
    at[i] = (struct pollfd){.fd = server->listeners[i].fd, .events = POLLIN};
  return poll(at, count, 0) > 0;
}

/* Out of descriptors or memory, or a listener that is no more: one that stays
   readable would spin, so it rests a while. Connections that are open go on,
   and other processes may have room. */
void fcgi__accept_rest(fcgi_server *server) {
  long long again = fcgi__now() + PAUSE_MS;
  const char *why = strerror(errno);
  fcgi__server_trouble(server, FCGI__TROUBLE_ACCEPT, why, FCGI_LOG_WARNING,
                       "cannot accept a connection: %s; trying again in %d ms",
                       why, PAUSE_MS);
  fcgi__accept_off(server);
  watch_queue(server, 0);
  fcgi__handover_tell(server);
  fcgi__lower_to(&server->accept_again, again);
  fcgi__server_deadline(server, again);
}

void fcgi__server_doubt(fcgi_server *server) {
  atomic_store(&server->doubts, DOUBTS);
}

/* Another thread may find the poller empty once this connection is taken, so
   the doubts are those from before. */
int fcgi__accept_one(fcgi_server *server, fcgi__listener *listener) {
  int late = atomic_load(&server->doubts) > 0;
  int fd = fcgi__guard_accept(server, listener);
  if (fd >= 0)
    fcgi__connection_start(server, fd, late);
  else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR &&
           errno != ECONNABORTED && errno != EPROTO)
    fcgi__accept_rest(server);
  return fd >= 0;
}

void fcgi__accept_some(fcgi_server *server, fcgi__listener *listener,
                       int most) {
  fcgi__server_doubt(server);
  while (most-- > 0 && fcgi__accept_has_room(server) &&
         fcgi__accept_one(server, listener))
    ;
}

void fcgi__accept_waiting(fcgi_server *server, int most) {
  for (size_t i = 0; i < server->listener_count; i++)
    fcgi__accept_some(server, &server->listeners[i], most);
}
