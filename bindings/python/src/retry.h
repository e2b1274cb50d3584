/* SPDX-License-Identifier: MIT */
/* A request that fails because a resource broke, which runs once more. */
#ifndef FASTCGI_PYTHON_RETRY_H
#define FASTCGI_PYTHON_RETRY_H

#include "loop.h"

/* 1: an answer with this status waits until it is known what broke. */
static inline int retry_holds(const serve_loop *loop, int status) {
  return status >= 500 && loop->holder != NULL &&
         fcgi_holder_wants_retry(loop->holder);
}

/* 1: what is known of resources by now suffices, and the request runs once
   more: it has ended for the application, and `loop->again` has it. */
int retry_decide(serve_loop *loop);

/* Put `first`, or NULL where there is none, and what the iterator gives after
   it into `list`, as bytes: 1 when that is all, 0 when there are too many bytes
   to hold, or -1 with an exception. What is no block stays as it is, and so
   does str where there are `bytes_only`: it is refused when it is sent. */
int retry_collect(PyObject *first, PyObject *iterator, int bytes_only,
                  PyObject *list);

/* The application has failed, with `rc` -1 and an exception, or with LOOP_HELD
   or LOOP_AGAIN, and has nothing of resources any more: as retry_decide. */
int retry_is_due(serve_loop *loop, int rc);

#endif
