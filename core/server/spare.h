/* SPDX-License-Identifier: MIT */
/* A thread that serves sockets while every serving thread is inside a handler:
   it accepts, reads, answers status pages and sees to deadlines, but runs no
   handler. It sleeps while no request is open, looks every 20 ms while one is,
   and works from the moment that two looks in a row find nobody else at it.
   Beside it a second one writes the slow log, since asking what a handler does
   may take as long as the handler. */
#ifndef FCGI_SERVER_SPARE_H
#define FCGI_SERVER_SPARE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct fcgi_server;

typedef struct fcgi__spare {
  pthread_t thread;     /* It. */
  pthread_t tracer;     /* The second one. */
  pthread_mutex_t lock; /* For the condition only; nothing else is locked while
                           it is held. */
  pthread_cond_t wake;  /* It shall look up. */
  pthread_cond_t trace; /* The second one shall. */
  atomic_int on;        /* 1: it runs. */
  atomic_int traces;    /* 1: the second one does. */
  atomic_int asleep;    /* 1: it wakes only when it is told to. */
  atomic_int over;      /* 1: it shall end. */
  atomic_uint open;     /* Requests that are ready or in a handler. */
  atomic_uint visits;   /* How often a thread came for events. */
  atomic_int trace_due; /* 1: a request is for the slow log. */
  atomic_long asked;    /* The kernel's number of the thread that a tracer is to
                           tell of, until it has; 0: none. */
  atomic_llong asked_at; /* Since when. */
  pid_t pid;             /* Whose thread it is: not that of a fork(2). */
} fcgi__spare;

/* Start it; without it a line in the log says what is missing. */
void fcgi__spare_start(struct fcgi_server *server);
/* End it; no lock may be held. */
void fcgi__spare_end(struct fcgi_server *server);

/* A request is for the slow log. Any lock may be held. */
void fcgi__spare_trace(struct fcgi_server *server);

/* A request is ready; its memory is freed. Any lock may be held. */
void fcgi__spare_expect(struct fcgi_server *server);
void fcgi__spare_done(struct fcgi_server *server);

#endif
