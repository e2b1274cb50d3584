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

/* Put blocks of a body that is held back into `list`: 1 when that is all, 0
   when there are too many bytes to hold, or -1 with an exception. */
int retry_collect(PyObject *iterator, PyObject *list);

/* The application has failed, with `rc` -1 and an exception or with LOOP_HELD,
   and has nothing of resources any more: what comes of it, as of a serve_fn but
   never LOOP_HELD. */
int retry_failed(serve_loop *loop, int rc);

#endif
