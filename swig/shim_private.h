/* SPDX-License-Identifier: MIT */
/* Shared by the files of the shim. */
#ifndef FCGI_SWIG_SHIM_PRIVATE_H
#define FCGI_SWIG_SHIM_PRIVATE_H

#include "shim.h"
#include <stdatomic.h>

/* One resource that a server keeps. */
typedef struct shim_kept {
  shim_resource *resource; /* One handle of it. */
  struct shim_kept *next;  /* The one that was kept before. */
} shim_kept;

struct shim_server {
  atomic_int handles; /* Proxies, requests and calls that hold this memory. */
  atomic_int uses;    /* Calls in progress, and 1 until closed: at 0 the core
                         server is freed. */
  atomic_int closed;  /* 1 from close on. */
  atomic_int stopped; /* 1 once the core has said so. */
  fcgi_server *core;  /* NULL before the first listen. */
  fcgi_options *options;   /* What the first listen makes it with, or NULL. */
  shim_kept *_Atomic kept; /* Resources, the last one first. */
};

struct shim_request {
  atomic_int handles;          /* Proxies, and 1 while a loop has it. */
  atomic_int claimed;          /* 1 while a call uses it. */
  shim_server *server;         /* Holds one handle of it. */
  fcgi_request *_Atomic core;  /* NULL once finished. */
  fcgi_header *headers;        /* Gathered for the answer; texts owned. */
  size_t header_count;         /* Number of headers. */
  bool running;                /* Its handler runs. */
  fcgi_holder *_Atomic holder; /* What it has of resources; NULL: nothing. */
  char *refused; /* Why it could not have one; NULL: it had all. */
};

/* What a handler's failure is told to. */
struct shim_log {
  shim_server *server; /* Has the log. */
  const char *refused; /* What the core has told already of a failure whose text
                          has it; NULL: nothing. */
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

/* The holder of what a request takes; NULL and an error once it is finished. */
fcgi_holder *shim_request_holder(shim_request *request, shim_error *error);

/* Note why it could not have what it needs. */
void shim_request_refuse(shim_request *request, const char *message);

/* Give back all that it has of resources. */
void shim_request_give_back(shim_request *request);

/* The request of the core when a failed one is to be answered once more, by a
   new handle, or NULL. */
fcgi_request *shim_request_again(shim_request *request);

/* The same as shim_server_keep, for what a request of the server takes; 0 when
   out of memory. */
int shim_server_add(shim_server *server, shim_resource *resource);

/* Open what the server keeps and is eager, before it serves; count all of it,
   once it has begun to; and tidy it up. */
void shim_server_prepare(shim_server *server);
void shim_server_show(shim_server *server);
void shim_server_tidy(shim_server *server, fcgi_resource_tidying what);

/* Give up what a server keeps. */
void shim_server_let_go(shim_server *server);

/* The resource of the core; NULL and an error where an option is wrong. */
fcgi_resource *shim_resource_core(shim_resource *resource, shim_error *error);

/* One more handle. */
shim_resource *shim_resource_hold(shim_resource *resource);

/* A copy with a final NUL; NULL when out of memory. */
char *shim_copy(const char *text, size_t len);

/* Milliseconds for seconds, rounded up; -1 for a negative or endless time. */
int shim_milliseconds(double seconds);

#endif
