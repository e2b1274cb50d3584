/* SPDX-License-Identifier: MIT */
/* Shared by the files of the shim. */
#ifndef FCGI_SWIG_SHIM_PRIVATE_H
#define FCGI_SWIG_SHIM_PRIVATE_H

#include "shim.h"
#include <stdatomic.h>

struct shim_server {
  atomic_int handles; /* Proxies, requests and calls that hold this memory. */
  atomic_int uses;    /* Calls in progress, and 1 until closed: at 0 the core
                         server is freed. */
  atomic_int closed;  /* 1 from close on. */
  atomic_int stopped; /* 1 once the core has said so. */
  fcgi_server *core;  /* NULL before the first listen. */
  fcgi_options *options; /* What the first listen makes it with, or NULL. */
};

struct shim_request {
  atomic_int handles;         /* Proxies, and 1 while a loop has it. */
  atomic_int claimed;         /* 1 while a call uses it. */
  shim_server *server;        /* Holds one handle of it. */
  fcgi_request *_Atomic core; /* NULL once finished. */
  fcgi_header *headers;       /* Gathered for the answer; texts owned. */
  size_t header_count;        /* Number of headers. */
};

/* Fill in an error: `text`, or the code's own with NULL. */
void shim_fail(shim_error *error, int code, const char *text);

/* Begin a call on an open server; 0 and an error when it is closed. */
int shim_server_enter(shim_server *server, shim_error *error);
void shim_server_leave(shim_server *server);

/* The same for a call that needs the core server. */
int shim_server_enter_core(shim_server *server, shim_error *error);

/* A handle for a request of the core; NULL when out of memory, and then the
   request has failed. The caller owns `handles` handles of it. */
shim_request *shim_request_new(shim_server *server, fcgi_request *core,
                               int handles);

/* End a request that a handler has returned from, or fail it. */
void shim_request_conclude(shim_request *request, bool failed);

/* A copy with a final NUL; NULL when out of memory. */
char *shim_copy(const char *text, size_t len);

/* Milliseconds for seconds, rounded up; -1 for a negative or endless time. */
int shim_milliseconds(double seconds);

#endif
