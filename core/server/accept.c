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
  fcgi__share_rest(server);
  pthread_mutex_unlock(&server->lock);
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
  while (most-- > 0 &&
         atomic_load(&server->open) < server->config.limit_connections &&
         fcgi__accept_one(server, listener))
    ;
}

void fcgi__accept_waiting(fcgi_server *server, int most) {
  for (size_t i = 0; i < server->listener_count; i++)
    fcgi__accept_some(server, &server->listeners[i], most);
}
