/* SPDX-License-Identifier: MIT */
#include "os/poller_ops.h"

#include <fastcgi/error.h>

int fcgi__poller_new(fcgi__poller **out, fcgi_poller_kind kind,
                     const fcgi_allocator *allocator) {
  switch (kind) {
  case FCGI_POLLER_EPOLL:
    return fcgi__poller_epoll_new(out, allocator);
  case FCGI_POLLER_POLL:
    return fcgi__poller_poll_new(out, allocator);
  case FCGI_POLLER_BEST:
    break;
  default:
    return FCGI_ERR_INVALID;
  }
  int error = fcgi__poller_epoll_new(out, allocator);
  if (error == FCGI_ERR_UNSUPPORTED)
    error = fcgi__poller_poll_new(out, allocator);
  return error;
}

void fcgi__poller_free(fcgi__poller *poller) {
  if (poller != NULL)
    poller->ops->free(poller);
}

int fcgi__poller_add(fcgi__poller *poller, int fd, unsigned events,
                     void *owner) {
  return poller->ops->add(poller, fd, events, owner);
}

int fcgi__poller_change(fcgi__poller *poller, int fd, unsigned events,
                        void *owner) {
  return poller->ops->change(poller, fd, events, owner);
}

void fcgi__poller_remove(fcgi__poller *poller, int fd) {
  poller->ops->remove(poller, fd);
}

void fcgi__poller_rearm(fcgi__poller *poller, int fd, unsigned events) {
  poller->ops->rearm(poller, fd, events);
}

int fcgi__poller_wait(fcgi__poller *poller, fcgi__ready *ready, int count,
                      int timeout_ms) {
  return poller->ops->wait(poller, ready, count, timeout_ms);
}

void fcgi__poller_wake(fcgi__poller *poller) {
  poller->ops->wake(poller);
}

void fcgi__poller_wake_all(fcgi__poller *poller) {
  poller->ops->wake_all(poller);
}

int fcgi__poller_fd(const fcgi__poller *poller) {
  return poller->ops->fd(poller);
}
