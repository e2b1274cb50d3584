/* SPDX-License-Identifier: MIT */
/* The callable start_response of one WSGI request, which also knows how far
   its answer is. */
#ifndef FASTCGI_PYTHON_START_RESPONSE_H
#define FASTCGI_PYTHON_START_RESPONSE_H

#include "reply.h"

typedef struct start_response {
  PyObject_HEAD
  vectorcallfunc call;     /* start_response(status, headers[, exc_info]). */
  request_object *request; /* Owned. */
  PyObject *line;          /* The status given, "404 Not Found", or NULL. */
  PyObject *headers;       /* The list given, or NULL before the call. */
  PyObject *write; /* The callable returned, which refers to this, or NULL. */
  int64_t left;    /* Bytes that Content-Length still promises, or -1. */
  int status;      /* Its number. */
  char begun;      /* 1 once the headers are on their way. */
  char no_body;    /* 1 when the answer has no body: HEAD, 204, 304. */
} start_response;

start_response *start_response_new(request_object *request);

/* 1 when nobody refers to it but its callable and the caller, once. */
int start_response_is_unused(const start_response *self);

/* Let go of it where others may refer to it. */
void start_response_drop(start_response *self);

/* Make it as if it were new; its request may have become another. */
void start_response_renew(start_response *self);

/* Take status and headers as given into `out`. -1 with an exception, also
   when start_response was not called. */
int start_response_take(start_response *self, reply *out);

/* Begin the answer if it has not begun; `known` is the whole length of its
   body, or -1, and `first` that of the piece to follow, which is refused where
   Content-Length is less. */
int start_response_begin(start_response *self, int64_t known, int64_t first);

/* Transmit one block of body (PEP 3333: before the next is asked for). */
int start_response_write(start_response *self, PyObject *block);

/* End the answer; an error when Content-Length promised more. */
int start_response_end(start_response *self);

#endif
