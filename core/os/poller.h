/* SPDX-License-Identifier: MIT */
/* Which descriptors are ready: epoll(7) where there is one, poll(2) anywhere.
   Any thread may call any function; any number may wait at once. Connections
   are edge-triggered: a ready report is given to one waiting thread, and the
   next one comes only after new bytes (or room) arrive, so the receiver of a
   report reads until the socket is empty, or calls fcgi__poller_rearm. */
#ifndef FCGI_OS_POLLER_H
#define FCGI_OS_POLLER_H

#include "base/alloc.h"
#include <fastcgi/server.h>

enum {
  FCGI__POLL_IN = 1,     /* Bytes, or the peer's end, to read. */
  FCGI__POLL_OUT = 2,    /* Room to write. */
  FCGI__POLL_HANGUP = 4, /* Reported only: both directions are shut. */
  FCGI__POLL_LEVEL = 8,  /* Wanted only: level-triggered. */
  FCGI__POLL_END = 16,   /* Reported only, with IN: the peer sends no more.
                            Read until recv(2) gives 0: no edge follows. */

  /* Wanted only: of the processes that wait for one socket a single one is
     woken, where there is epoll. Who may be that one and takes nothing, because
     it ends or has no room, must see to it that another looks. */
  FCGI__POLL_ALONE = 32,
  FCGI__POLL_LISTENER = FCGI__POLL_LEVEL | FCGI__POLL_ALONE
};

typedef struct fcgi__poller fcgi__poller;

typedef struct fcgi__ready {
  void *owner;     /* What fcgi__poller_add was given. */
  unsigned events; /* IN, OUT, HANGUP, END. */
} fcgi__ready;

/* 0, FCGI_ERR_NOMEM, FCGI_ERR_UNSUPPORTED (epoll asked for where there is
   none), or FCGI_ERR_SYSTEM with errno. */
int fcgi__poller_new(fcgi__poller **out, fcgi_poller_kind kind,
                     const fcgi_allocator *allocator);
void fcgi__poller_free(fcgi__poller *poller);

/* Watch `fd` for `events` on behalf of `owner`. 0 or an error. */
int fcgi__poller_add(fcgi__poller *poller, int fd, unsigned events,
                     void *owner);

/* Change what is watched of a descriptor that was added; also re-arms. */
int fcgi__poller_change(fcgi__poller *poller, int fd, unsigned events,
                        void *owner);

/* Stop watching; call it before close(2). */
void fcgi__poller_remove(fcgi__poller *poller, int fd);

/* The receiver of a report has dealt with it and wants to hear of `events`
   again. Nothing to do for epoll, whose edges go on by themselves; poll(2)
   has the descriptor disarmed until then. */
void fcgi__poller_rearm(fcgi__poller *poller, int fd, unsigned events);

/* Wait up to `timeout_ms` (-1 without end) for at most `count` reports: how
   many, 0 after the timeout, a signal or a wake, or a negative error. With 0,
   errno is ETIMEDOUT where nothing was ready, EINTR after a signal, and EBUSY
   where the time has passed while another thread waited for all. */
int fcgi__poller_wait(fcgi__poller *poller, fcgi__ready *ready, int count,
                      int timeout_ms);

/* Make one waiting thread return 0 (or the next to wait, if none does).
   Async-signal-safe. */
void fcgi__poller_wake(fcgi__poller *poller);

/* Make every thread, waiting now or later, return at once. Only a write(2) and
   an atomic store: async-signal-safe. */
void fcgi__poller_wake_all(fcgi__poller *poller);

/* One descriptor readable while something is ready, or
   FCGI_ERR_UNSUPPORTED. */
int fcgi__poller_fd(const fcgi__poller *poller);

#endif
