/* SPDX-License-Identifier: MIT */
/* What a server writes on the scoreboard. Where there is none, each of these
   costs a look at a pointer. A request's own are called with its connection's
   lock held, unless said otherwise. */
#ifndef FCGI_OBSERVE_TALLY_H
#define FCGI_OBSERVE_TALLY_H

#include "board/scoreboard.h"
#include <fastcgi/params.h>

struct fcgi_server;
struct fcgi_request;

typedef struct fcgi__tally {
  fcgi__board_entry *entry; /* Ours, or NULL: all were in use. */
  uint64_t started_us;      /* When it was ready for a handler. */
  long long slow_due;       /* When it is slow, or LLONG_MAX. */
  long long deadline;       /* When it is overdue, or LLONG_MAX. */
  atomic_long thread_id;    /* gettid(2) of its handler, for the slow log. */
  _Atomic uint64_t thread;  /* pthread_self() of its handler. */
  uint16_t status;          /* The HTTP status of the answer, or 0. */
  _Atomic uint8_t phase;    /* A fcgi_phase. */
  uint8_t counted;          /* 1: there was a scoreboard when it began. */
  uint8_t trace_due;        /* 1: it is for the slow log. */
} fcgi__tally;

/* The server is about to wait for the first time: find the scoreboard that a
   supervisor gave, or make one where something needs it. */
void fcgi__tally_start(struct fcgi_server *server);
/* The worker's life goes on. */
void fcgi__tally_state(struct fcgi_server *server, fcgi_worker_state state);
/* The server is freed. */
void fcgi__tally_end(struct fcgi_server *server);

/* Count; any thread. (fcgi__tally_add, in server.h, asks first whether there
   is a scoreboard.) */
void fcgi__tally_count(struct fcgi_server *server, fcgi_status_value value,
                       uint64_t amount);

/* It is ready for a handler, unless it asks for the status page. */
void fcgi__tally_begin(struct fcgi_request *request);
/* It is given to one; the server's lock is held instead. */
void fcgi__tally_given(struct fcgi_request *request);
/* Raw output begins with these bytes. */
void fcgi__tally_raw(struct fcgi_request *request, const char *data,
                     size_t len);
/* It has ended, but for what is still to be sent. */
void fcgi__tally_ended(struct fcgi_request *request);
/* Its handler has not returned by the deadline. */
void fcgi__tally_overdue(struct fcgi_request *request);
/* Its memory is freed; no lock is needed. */
void fcgi__tally_finish(struct fcgi_request *request);

/* Copy the path asked for, without the query: REQUEST_URI's, or SCRIPT_NAME
   and PATH_INFO. Returns its whole length. */
size_t fcgi__tally_path(const fcgi_params *params, char *out, size_t len);

#endif
