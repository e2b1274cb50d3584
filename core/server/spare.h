/* SPDX-License-Identifier: MIT */
/* A thread that sees to time limits while every serving thread is inside a
   handler. It sleeps until 20 ms after the next one is due: then somebody else
   has seen to it, as a rule, or it does so itself, after it has read what has
   come. Nobody wakes it but for a limit that is sooner.

   Where a status page, a deadline or a slow log is asked for, it does more: it
   accepts, reads and answers status pages, but runs no handler. Then it sleeps
   while no request is open, looks every 20 ms while one is, and works from the
   moment that two looks in a row find nobody else at it. Beside it a second one
   writes the slow log, since asking what a handler does may take as long as the
   handler.

   Where workers share their work, it gives away what no thread of this process
   can begin. Then it looks every 5 ms while a request is open, unless that is
   on the only connection that there is. */
#ifndef FCGI_SERVER_SPARE_H
#define FCGI_SERVER_SPARE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct fcgi_server;

typedef struct fcgi__spare {
  pthread_t thread;     /* The thread that sees to time limits. */
  pthread_t tracer;     /* The thread that writes the slow log. */
  pthread_mutex_t lock; /* For the condition only; nothing else is locked while
                           it is held. */
  pthread_cond_t wake;  /* `thread` shall look up. */
  pthread_cond_t trace; /* `tracer` shall look up. */
  atomic_int on;        /* 1: `thread` runs, and looks at requests. */
  int watches;          /* 1: for a status page, a deadline or a slow log. */
  atomic_int started;   /* 1: `thread` runs. */
  atomic_llong until;   /* The limit that it sleeps for; 0: it is awake. */
  atomic_int traces;    /* 1: `tracer` runs. */
  atomic_int asleep;    /* 1: it wakes only when it is told to. */
  atomic_int over;      /* 1: it shall end. */
  atomic_uint open;     /* Requests that are ready or in a handler. */
  atomic_uint visits;   /* How often a thread came for events. */
  atomic_int trace_due; /* 1: a request is for the slow log. */
  atomic_long asked;    /* The kernel's number of the thread that a tracer is to
                           tell of, until it has; 0: none. */
  atomic_llong asked_at; /* When that was asked. */
  pid_t pid;             /* The process of these threads, and no fork(2). */
} fcgi__spare;

/* Start it, once, with `watches` 1 for what is asked for; without it a line in
   the log says what is missing. */
void fcgi__spare_start(struct fcgi_server *server, int watches);
/* End it; no lock may be held. */
void fcgi__spare_end(struct fcgi_server *server);

/* A time limit is reached at `when`. Any lock may be held. */
void fcgi__spare_deadline(struct fcgi_server *server, long long when);

/* A request is for the slow log. Any lock may be held. */
void fcgi__spare_trace(struct fcgi_server *server);

/* A connection was made while requests may be open. Any lock may be held. */
void fcgi__spare_look(struct fcgi_server *server);

/* A request is ready; its memory is freed. Any lock may be held. */
void fcgi__spare_expect(struct fcgi_server *server);
void fcgi__spare_done(struct fcgi_server *server);

#endif
