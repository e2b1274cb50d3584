/* SPDX-License-Identifier: MIT */
/* One accepted socket and its session. Every function but the first wants the
   connection's lock held. */
#ifndef FCGI_SERVER_CONNECTION_H
#define FCGI_SERVER_CONNECTION_H

#include "os/wheel.h"
#include <fastcgi/server.h>
#include <fastcgi/session.h>
#include <pthread.h>
#include <stdatomic.h>

/* The limits of a connection. Each holds whatever the others do. */
typedef enum fcgi__due {
  FCGI__DUE_WAIT,   /* As its fcgi__wait_kind says. */
  FCGI__DUE_HEADER, /* PARAMS are incomplete: close. */
  FCGI__DUE_BODY,   /* A body that is being collected is silent: 408. */
  FCGI__DUE_OUTPUT, /* The peer does not read: close. */
  FCGI__DUES
} fcgi__due;

/* What a connection as a whole waits for, one at a time, and so what happens
   when it has waited too long. */
typedef enum fcgi__wait_kind {
  FCGI__WAIT_NONE,  /* A handler runs: no deadline. */
  FCGI__WAIT_IDLE,  /* No request: close. */
  FCGI__WAIT_DRAIN, /* An unread body goes on: give up waiting. */
  FCGI__WAIT_STUCK, /* The peer neither reads nor can send: make room in
                       files. */
  FCGI__WAIT_HOLD,  /* New requests are left in the socket: read on. */
  FCGI__WAIT_LINGER /* The peer does not close: close. */
} fcgi__wait_kind;

/* Where a connection stands. OPEN -> HALF_CLOSED, and from both to LOST, or to
   LINGERING when the last answer is out; LINGERING -> OVER. It is closed from
   any of them. */
typedef enum fcgi__connection_phase {
  FCGI__OPEN,        /* Bytes go both ways. */
  FCGI__HALF_CLOSED, /* The peer sends no more. */
  FCGI__LOST,        /* It is of no use; only its handlers are waited for. */
  FCGI__LINGERING,   /* We send no more, and drop what comes. */
  FCGI__OVER         /* It is to be closed. */
} fcgi__connection_phase;

/* Whether what arrives is read. READS -> PAUSED or HELD; HELD -> PAUSED;
   PAUSED -> RESUMED; RESUMED -> READS. */
typedef enum fcgi__intake {
  FCGI__READS,  /* What arrives is read. */
  FCGI__PAUSED, /* A window is full. */
  FCGI__HELD,   /* The connection is to come to rest. */
  FCGI__RESUMED /* It is read again, from the next unlock on. */
} fcgi__intake;

/* A thread that waits for this connection, on its own stack. */
typedef struct fcgi__waiter {
  struct fcgi__waiter *next; /* The next thread that waits. */
  int wake;                  /* An eventfd to write to, -1 if there is none. */
  int reads;                 /* 1: it polls the socket for input. */
  int writes;                /* 1: it polls the socket for room. */
} fcgi__waiter;

/* What dies with a socket. Zeroes are right at its beginning, but for `due`. */
typedef struct fcgi__connection_life {
  fcgi__connection_phase phase; /* Where the connection stands. */
  fcgi__intake intake;          /* Whether what arrives is read. */
  fcgi_request *all;            /* The requests that are open. */
  fcgi_request *files;          /* Requests with a file to send. */
  fcgi_request *own;            /* One that is ready and in no list: the thread
                                   that has read it takes it before it unlocks.
                                 */
  const uint8_t *fed;           /* Bytes that the session is taking, or NULL. */
  size_t fed_len;               /* Number of those bytes. */
  size_t counted;               /* Bytes that the server counts for it. */
  unsigned requests;            /* Requests given out or collecting. */
  unsigned collecting;          /* Those whose body is not yet whole. */
  unsigned reading;             /* Requests whose input goes on. */
  uint8_t keep;                 /* 1: the web server keeps the connection. */
  uint8_t fresh;                /* 1: no request has come yet. */
  uint8_t shared;               /* 1: requests have run at the same time. */
  uint8_t registered;           /* 1: the poller knows the socket. */
  uint8_t polls_out;            /* 1: the poller reports room to write. */
  uint8_t reported;             /* 1: a report of the poller was taken. */
  uint8_t lone;                 /* 1: the next that is ready may be `own`. */
  uint8_t missed;               /* 1: a report was left to a waiter. */
  uint8_t unread;               /* 1: the socket may hold more bytes. */
  uint8_t ending;               /* 1: the peer's end is there to be read. */
  uint8_t gone;        /* 1: the peer has hung up, though it may have sent more
                          than was read. */
  uint8_t spill;       /* 1: input beyond its window goes to files. */
  uint8_t blocked;     /* 1: output waits for room. */
  uint8_t room_wanted; /* 1: some write gave AGAIN. */
  uint8_t flush;       /* 1: send all output at unlock. */
  uint8_t notified;    /* 1: an event is ready to be given out. */
  uint8_t parting;     /* 1: LINGERING, and looked at a little later. */
  uint8_t dull;        /* 1: it ends for want of requests. */
  uint8_t reset;       /* 1: close so that the peer sees a fault. */
  uint8_t moved;       /* 1: output left since the deadline was set. */
  uint8_t limited;     /* 1: a limit other than `wait_kind`'s runs. */
  uint8_t may_wait;    /* 1: what is to be sent may wait for other answers. */
  uint8_t wait_kind;   /* A fcgi__wait_kind. */
  uint32_t unfinished; /* fcgi_session_unfinished, or all bits: a record outside
                          any request. */
  long long due[FCGI__DUES]; /* When each limit is reached; LLONG_MAX never. */
  long long idle_due;        /* When the time without a request is over; 0: a
                                request has begun since. */
  long long drain_end;       /* When draining ends at the latest. */
  uint64_t drain_start;      /* fcgi_session_drained when it began. */
  long long hold_end;        /* When it may be held again. */
  int hold_ms;               /* How long it was held last. */
  long long since;           /* While what it has brought along is read: when
                                that had come. */
  unsigned gathered;         /* Answers that wait to be sent with the next. */
  uint64_t gathered_us;      /* When that began. */
} fcgi__connection_life;

typedef struct fcgi__connection {
  fcgi_server *server;           /* The server that accepted it. */
  pthread_mutex_t lock;          /* Guards what follows. */
  int fd;                        /* The socket; -1 when it is closed. */
  fcgi_session *session;         /* Its protocol; NULL when closed. */
  struct fcgi__connection *next; /* The next one of those unused. */
  fcgi__waiter *waiters;         /* Threads that wait for it. */
  unsigned busy;                 /* Threads inside fcgi__connection_wait. */
  fcgi__connection_life life;    /* What dies with the socket. */
  fcgi_request *ready_first;     /* Requests with events to give; guarded by the
                                    server's lock, as is what follows up to
                                    `looked_at`. */
  fcgi_request *ready_last;      /* The last of that list. */
  struct fcgi__connection *turn_next; /* The next one with such. */
  struct fcgi__connection *turn_prev; /* The one before it. */
  uint64_t turn_us;                   /* When its turn began, or 0. */
  long long looked_at;      /* When its socket was asked whether the peer has
                               hung up. */
  atomic_uint waiting;      /* Requests in the server's ready list. */
  atomic_size_t bodies;     /* Memory of the bodies of requests. */
  fcgi__timer timer;        /* When both of these are looked at, or sooner. */
  atomic_llong deadline;    /* The earliest of `due`. */
  atomic_llong request_due; /* When a request is slow or overdue, or
                               LLONG_MAX. */
  atomic_int trace_due;     /* 1: a request is for the slow log. */
  atomic_ullong given_us;   /* When a thread took a request of it while others
                               were ready, or 0. */
} fcgi__connection;

static inline int fcgi__connection_is_lost(const fcgi__connection *c) {
  return c->life.phase == FCGI__LOST;
}

/* 1: we have shut our direction. */
static inline int fcgi__connection_is_shut(const fcgi__connection *c) {
  return c->life.phase >= FCGI__LINGERING;
}

static inline int fcgi__connection_is_paused(const fcgi__connection *c) {
  return c->life.intake == FCGI__PAUSED || c->life.intake == FCGI__HELD;
}

/* 1: what the peer sends is read. */
static inline int fcgi__connection_takes_input(const fcgi__connection *c) {
  return !fcgi__connection_is_paused(c) &&
         (c->life.phase == FCGI__OPEN || c->life.phase == FCGI__LINGERING);
}

/* 1: something is to be sent. */
static inline int fcgi__connection_has_output(const fcgi__connection *c) {
  return c->life.files ||
         (fcgi_session_ready(c->session) & FCGI_SESSION_OUTPUT);
}

/* A window is full: read nothing. */
static inline void fcgi__connection_pause(fcgi__connection *c) {
  if (c->life.intake != FCGI__HELD)
    c->life.intake = FCGI__PAUSED;
}

/* What a connection has behind it. Zeroes are right for one that was accepted
   just now. */
typedef struct fcgi__connection_past {
  uint8_t late;       /* 1: it may have waited until its peer left. */
  uint8_t in_use;     /* 1: it has had requests in another process. */
  uint8_t shared;     /* As of its life. */
  uint8_t moved;      /* 1: another worker has accepted and counted it. */
  long long since;    /* When its next request had come, or 0. */
  long long idle_due; /* As of its life. */
} fcgi__connection_past;

/* Make a connection of `fd` and read what is there. Takes over `fd`. `late` is
   as above. */
void fcgi__connection_start(fcgi_server *server, int fd, int late);
void fcgi__connection_take_up(fcgi_server *server, int fd,
                              const fcgi__connection_past *past);

void fcgi__connection_lock(fcgi__connection *connection);
/* Bring everything in order (events, output, deadline, close), then unlock;
   a thread that takes events next calls settle, any other unlock, which wakes
   one that does. */
void fcgi__connection_settle(fcgi__connection *connection);
/* The same, and take what is the thread's own: 1, with REQUEST in `event`. */
int fcgi__connection_settle_and_take(fcgi__connection *connection,
                                     fcgi_server_event *event, int hold);
void fcgi__connection_unlock(fcgi__connection *connection);
/* Only unlock: nothing was changed. */
void fcgi__connection_unlock_only(fcgi__connection *connection);

/* Read until the socket is empty or the window is full. */
void fcgi__connection_receive(fcgi__connection *connection);
/* The same where the peer has hung up: no request that comes is given out, and
   that is the connection's end. */
void fcgi__connection_receive_last(fcgi__connection *connection);
/* Whichever of the two it is: the socket is asked. */
void fcgi__connection_receive_late(fcgi__connection *connection);
/* 1: the peer neither sends nor reads. */
int fcgi__connection_has_hung_up(const fcgi__connection *connection);
/* Send until all is sent or the socket is full. */
void fcgi__connection_send(fcgi__connection *connection);
/* Give out what the session has found. Returns how many events there were. */
int fcgi__connection_events(fcgi__connection *connection);
/* Nothing moves: the peer may be one that reads only when its body is sent, so
   what has no room goes to files until output leaves again. */
void fcgi__connection_spill(fcgi__connection *connection);
/* 1: a window is full, and so is the socket. */
int fcgi__connection_is_stuck(const fcgi__connection *connection);
/* Ask the socket whether the peer has hung up: then nobody wants an answer. A
   half-closed one, which is all that TCP tells of a close, still may. */
void fcgi__connection_look(fcgi__connection *connection);
/* Close, and make the memory free for another one. */
void fcgi__connection_close(fcgi__connection *connection);
/* The connection is of no use any more. */
void fcgi__connection_lost(fcgi__connection *connection,
                           fcgi_abort_reason reason);
/* The same, because its peer has reset it: told where requests are open. */
void fcgi__connection_lost_by_reset(fcgi__connection *connection);
/* 1: the socket says now that its peer has, which it does once. */
int fcgi__connection_was_reset(const fcgi__connection *connection);

/* Release the lock, wait until something may have changed for this
   connection, `*wake` is written to, or `until` passes, and serve the socket
   meanwhile. `*wake` is -1 at first and is kept by the caller. 0 or
   FCGI_ERR_TIMEOUT. */
int fcgi__connection_wait(fcgi__connection *connection, int *wake,
                          long long until);

/* Make every waiting thread look at what has changed. */
void fcgi__connection_wake(fcgi__connection *connection);
/* 1: a waiting thread will see whatever arrives. */
int fcgi__connection_is_read(const fcgi__connection *connection);

/* At most `wanted` of the memory that one request may take: less where many are
   open. */
size_t fcgi__connection_share(const fcgi__connection *connection,
                              size_t wanted);
/* Their memory counts `now` where it was `before`. */
void fcgi__connection_hold(fcgi__connection *connection, size_t before,
                           size_t now);
/* 1: bodies have as much of the connection's or the server's memory as may be.
 */
int fcgi__connection_is_full(const fcgi__connection *connection);
/* 1: there is none for another request. */
int fcgi__connection_refuses(const fcgi__connection *connection);
/* Count what the session and the requests hold; nothing when they are freed. */
void fcgi__connection_count(fcgi__connection *connection, int freed);

/* Log what came from a peer that broke the protocol, and from whom. */
void fcgi__connection_tell_broken(const fcgi__connection *connection,
                                  int error);

/* Reading may go on. */
void fcgi__connection_resume(fcgi__connection *connection);

/* Have the poller report what the connection waits for, or no longer. */
void fcgi__connection_watch(fcgi__connection *connection);
void fcgi__connection_unwatch(fcgi__connection *connection);

/* No limit runs. */
void fcgi__connection_reset_dues(fcgi__connection *connection);
/* Set the deadline that the session's `flags` call for. */
void fcgi__connection_set_deadline(fcgi__connection *connection,
                                   unsigned flags);
/* A report of the poller, and a deadline that may have passed. */
void fcgi__connection_ready(fcgi__connection *connection, unsigned events);
void fcgi__connection_expire(fcgi__connection *connection, long long now);
/* The server is freed: close, and free its requests. No lock is needed. */
void fcgi__connection_discard(fcgi__connection *connection);
/* Stop as fcgi_server_stop says. */
void fcgi__connection_stop(fcgi__connection *connection, fcgi_stop how);

#endif
