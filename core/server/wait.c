/* SPDX-License-Identifier: MIT */
/* Threads that wait for one connection, and serve it meanwhile. */
#include "os/clock.h"
#include "server/connection.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <poll.h>
#include <unistd.h>

enum { LOOK_MS = 500, SHORT_MS = 10 }; /* A waiting thread looks up. */

void fcgi__connection_wake(fcgi__connection *connection) {
  const uint64_t one = 1;
  for (fcgi__waiter *at = connection->waiters; at; at = at->next)
    if (at->wake >= 0 && write(at->wake, &one, sizeof one) < 0)
      continue; /* The count is at its maximum: it is awake already. */
}

int fcgi__connection_is_read(const fcgi__connection *connection) {
  const fcgi__waiter *at = connection->waiters;
  while (at && !at->reads)
    at = at->next;
  return at != NULL;
}

static void poll_socket(fcgi__connection *connection, fcgi__waiter *self,
                        int timeout) {
  struct pollfd fds[2] = {{.fd = connection->fd},
                          {.fd = self->wake, .events = POLLIN}};
  uint64_t count;
  int idle;
  if (fcgi__connection_takes_input(connection))
    fds[0].events |= POLLIN;
  if (connection->life.blocked)
    fds[0].events |= POLLOUT;
  self->reads = (fds[0].events & POLLIN) != 0;
  self->writes = (fds[0].events & POLLOUT) != 0;
  self->next = connection->waiters;
  connection->waiters = self;
  connection->busy++;
  pthread_mutex_unlock(&connection->lock);
  idle = poll(fds, 2, timeout) == 0;
  pthread_mutex_lock(&connection->lock);
  connection->busy--;
  for (fcgi__waiter **at = &connection->waiters; *at; at = &(*at)->next)
    if (*at == self) {
      *at = self->next;
      break;
    }
  if (fds[1].revents && read(self->wake, &count, sizeof count) < 0)
    count = 0; /* Another thread has taken it. */
  if (fds[0].revents & POLLOUT)
    fcgi__connection_send(connection);
  if (fds[0].revents & (POLLHUP | POLLERR)) {
    fcgi__connection_receive_last(connection);
  } else if ((fds[0].revents & POLLIN) || connection->life.missed) {
    connection->life.missed = 0;
    fcgi__connection_receive(connection);
  }
  /* What has stopped the reading is another request's window, and its handler
     may be waiting for this very thread. */
  if (idle && fcgi__connection_is_paused(connection) && !connection->life.spill)
    fcgi__connection_spill(connection);
}

/* A reader waits while nothing is read. (A writer's output is blocked.) */
static int is_starved(const fcgi__connection *connection) {
  return fcgi__connection_is_paused(connection) && !connection->life.blocked &&
         !connection->life.spill;
}

int fcgi__connection_wait(fcgi__connection *connection, int *wake,
                          long long until) {
  fcgi__waiter self = {.wake = *wake};
  long long slice = until - fcgi__now(), most;
  if (slice <= 0)
    return FCGI_ERR_TIMEOUT;
  if (self.wake < 0)
    self.wake = *wake = fcgi__wake_new();
  /* Without something to wake us we look again every little while; and now and
     then in any case, for fcgi_server_stop wakes only those who take events. */
  most = self.wake < 0 || is_starved(connection) ? SHORT_MS : LOOK_MS;
  if (connection->life.notified)
    fcgi__server_nudge(connection->server);
  connection->life.notified = 0;
  poll_socket(connection, &self, (int)(slice < most ? slice : most));
  fcgi__connection_events(connection);
  return 0;
}
