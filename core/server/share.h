/* SPDX-License-Identifier: MIT */
/* Work that a worker cannot begin at once. A kept connection whose next request
   is still in its socket goes to the queue of all workers, and whichever is
   free takes it. What is read stays where it was read, so a thread keeps what
   the poller has reported and reads no more than it can run. */
#ifndef FCGI_SERVER_SHARE_H
#define FCGI_SERVER_SHARE_H

#include "base/pace.h"
#include "board/scoreboard.h"
#include "os/held.h"
#include "parent/queue.h"
#include <fastcgi/server.h>

/* Work for whichever thread or worker is free. */
typedef struct fcgi__share {
  atomic_int used;      /* 1: a supervisor has given a queue, now or before. */
  fcgi__queue queue;    /* Of all workers. */
  int watched;          /* 1: the poller knows `queue.in`. The server's lock
                           guards it. */
  atomic_uint over;     /* Connections that others have beyond what they may
                           accept, or that are on their way. */
  fcgi__held held;      /* Reports for whichever thread is free. */
  pthread_mutex_t lock; /* Guards what follows. Nothing else is locked while it
                           is held. */
  fcgi__pace pace;      /* Of looking who is free, and of giving. */
  long long turn_at;    /* When a thread was last about to run a handler while
                           others waited. */
} fcgi__share;

/* No queue yet. */
void fcgi__share_init(fcgi__share *share);
void fcgi__share_clear(fcgi__share *share);

/* Take the queue that a supervisor names, if any. */
void fcgi__share_inherit(fcgi_server *server);

/* The server begins to serve: look at the queue, or do without one where no
   scoreboard tells who is free. */
void fcgi__share_begin(fcgi_server *server);

/* 1: what concerns it has to be looked at, as there is a queue, or there was
   one. Otherwise a thread that serves pays for this look alone. */
static inline int fcgi__share_is_used(const fcgi__share *share) {
  return atomic_load_explicit(&share->used, memory_order_relaxed);
}

/* 1: there is a queue, and what this process has may go there. */
static inline int fcgi__share_is_on(const fcgi__share *share) {
  return atomic_load_explicit(&share->queue.out, memory_order_relaxed) >= 0;
}

/* Ask what the others do, or only whether any other worker serves: 1. */
fcgi__board_others fcgi__share_count_others(fcgi_server *server);
int fcgi__share_has_others(fcgi_server *server);
/* How many of the connections that wait here may go to others now. */
int fcgi__share_portion(fcgi_server *server);

/* How many more connections than they may accept others have, or had when they
   were last asked. */
static inline unsigned fcgi__share_over(const fcgi__share *share) {
  return atomic_load_explicit(&share->over, memory_order_relaxed);
}

/* Look for connections in the queue, or not for now. The server's lock is
   held. */
void fcgi__share_watch(fcgi_server *server);
void fcgi__share_rest(fcgi_server *server);

/* The server stops: give nothing more. The queue is left to other workers,
   unless all of them stop. */
void fcgi__share_stop(fcgi_server *server);
/* In a stop: 1 when nothing in the queue is left to this process. */
int fcgi__share_is_through(fcgi_server *server);

/* Take what others may have been woken for and did not: one connection from
   each listener and from the queue. What else waits at the listeners goes to
   the queue. */
void fcgi__share_look(fcgi_server *server);
/* Take one connection from the queue, if there is one. */
void fcgi__share_take(fcgi_server *server);

/* A thread goes to sleep in the poller, so that others know that it is free:
   what to give to `leave` when it has woken up, or NULL. */
fcgi__board_slot *fcgi__share_enter(fcgi_server *server);
static inline void fcgi__share_leave(fcgi__board_slot *slot) {
  atomic_fetch_sub_explicit(&slot->idle, 1, memory_order_relaxed);
}

/* Serve the first of `count` reports, and keep the others for whichever thread
   is free next. A foreign event loop keeps all of them, and gives away what is
   more than its part. The first tells whether there is anything to keep. */
int fcgi__share_is_to_keep(const fcgi_server *server, int count);
void fcgi__share_begin_with(fcgi_server *server, const fcgi__ready *reports,
                            int count);
/* Serve the oldest report that was kept: 1, or 0 where there is none. */
int fcgi__share_resume(fcgi_server *server);
/* Every thread has been inside a handler for a while: what has come goes to the
   queue, or is read where it must stay. Connections are accepted with
   `accept`, or where others are free for them. 0: what the poller has is to be
   read here, as what was kept has been. */
int fcgi__share_relieve(fcgi_server *server, int accept);

#endif
