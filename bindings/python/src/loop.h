/* SPDX-License-Identifier: MIT */
/* One thread that serves: takes a request, calls the application, sends what
   it answers. The GIL is taken once a request: the answer is sent and the next
   request awaited in one stretch without it. */
#ifndef FASTCGI_PYTHON_LOOP_H
#define FASTCGI_PYTHON_LOOP_H

#include "environ.h"
#include "start_response.h"

typedef struct serve_loop serve_loop;

/* Call the application with `loop->request`: 0 when nothing is left to do but
   to end the request, 1 when `loop->answer` is to be sent, -1 with an
   exception. */
typedef int (*serve_fn)(serve_loop *loop);

/* What a serve_fn gives beside these: an answer of 500 or more is in
   `loop->answer`, and waits until it is known what broke; or that is known, and
   the request is to be served once more. */
#define LOOP_HELD  2
#define LOOP_AGAIN 3

struct serve_loop {
  core_state *state;       /* The module's. */
  server_object *server;   /* Lent by the caller, held. */
  PyObject *app;           /* Called next, lent by the caller. */
  serve_fn serve;          /* Its interface. */
  PyObject *main;          /* What serves every role not in `roles`. */
  serve_fn main_serve;     /* Its interface. */
  PyObject *roles;         /* Handlers by number of role, a dict, or NULL. */
  request_object *request; /* Being served, or NULL. */
  request_object *spare;   /* The one before, to be used again, or NULL. */
  start_response *start;   /* WSGI only: that of `request` or `spare`. */
  fcgi_request *pending;   /* Claimed: write `answer` and end it, or NULL. */
  fcgi_request *again;     /* Claimed: to be served once more, or NULL. */
  char simple;             /* 1 when `answer` has not begun: one call does. */
  int wait_ms;             /* How long one wait for a request lasts. */
  fcgi_holder *holder;     /* Of resources that the request has, or NULL. */
  serve_loop *outer;       /* The one that this thread was in before. */
  long long tidy_at;       /* When this thread tidies up next, in ms. */
  environ_memo memo;       /* WSGI only. */
  reply answer;            /* In use while `pending` or being made. */
  reply_memo good;         /* Headers of answers before. */
};

int handler_serve(serve_loop *loop); /* def app(request) */
int wsgi_serve(serve_loop *loop);    /* def app(environ, start_response) */

/* Make `loop->answer`, whose body is whole, pending: 1, or -1 with an
   exception. The first may hold it back. */
int loop_answer(serve_loop *loop);
int loop_answer_now(serve_loop *loop);

/* Call body.close() where there is one, whatever happened (PEP 3333). An
   exception raised before stays, one raised by close() gives -1. */
int loop_close(serve_loop *loop, PyObject *body);

/* If `body` wraps a real file, send it: 1; 0 when it must be iterated over, -1
   with an exception. `length` receives the bytes to send, `fd` and `offset`
   where they are. */
int file_wrapper_open(core_state *state, PyObject *body, int *fd,
                      int64_t *offset, int64_t *length);

#endif
