/* SPDX-License-Identifier: MIT */
/* What a kind of poller implements. */
#ifndef FCGI_OS_POLLER_OPS_H
#define FCGI_OS_POLLER_OPS_H

#include "os/poller.h"

/* Each entry has the contract of its namesake in poller.h. */
typedef struct fcgi__poller_ops {
  void (*free)(fcgi__poller *poller);
  int (*add)(fcgi__poller *poller, int fd, unsigned events, void *owner);
  int (*change)(fcgi__poller *poller, int fd, unsigned events, void *owner);
  void (*remove)(fcgi__poller *poller, int fd);
  void (*rearm)(fcgi__poller *poller, int fd, unsigned events);
  int (*wait)(fcgi__poller *poller, fcgi__ready *ready, int count,
              int timeout_ms);
  void (*wake)(fcgi__poller *poller);
  void (*wake_all)(fcgi__poller *poller);
  int (*fd)(const fcgi__poller *poller);
} fcgi__poller_ops;

/* The first member of every kind's own struct. */
struct fcgi__poller {
  const fcgi__poller_ops *ops; /* The kind. */
  fcgi_allocator allocator;    /* Where it lives. */
};

/* Makers with the contract of fcgi__poller_new. */
int fcgi__poller_epoll_new(fcgi__poller **out, const fcgi_allocator *allocator);
int fcgi__poller_poll_new(fcgi__poller **out, const fcgi_allocator *allocator);

#endif
