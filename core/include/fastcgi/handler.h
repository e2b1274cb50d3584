/* SPDX-License-Identifier: MIT */
/* The callbacks of fcgi_server_run. */
#ifndef FASTCGI_HANDLER_H
#define FASTCGI_HANDLER_H

#include <fastcgi/event.h>
#include <fastcgi/request.h>
#include <stddef.h>

/* Returned by a callback whose request goes on: it will be ended later, from
   any thread. 0 ends the request unless it has ended, and fails it where
   nothing was written; a negative value fails it, as fcgi_request_fail does. */
#define FCGI_PENDING 1

typedef int (*fcgi_callback)(fcgi_request *request, void *user_data);

/* Callbacks left NULL are not called. `on_request` is required. It runs when
   the body is whole, or at the end of PARAMS in stream mode, on the thread that
   read the request. The others follow only while the request is open. With
   several threads they may run concurrently; `on_close` runs after all. */
typedef struct fcgi_handler {
  size_t size;                /* sizeof(fcgi_handler). */
  fcgi_callback on_request;   /* Answer it, or return FCGI_PENDING. */
  fcgi_callback on_stdin;     /* Body bytes can be read. */
  fcgi_callback on_stdin_end; /* The body is complete. */
  fcgi_callback on_data;      /* DATA bytes can be read (filter). */
  fcgi_callback on_data_end;  /* DATA is complete (filter). */
  fcgi_callback on_writable;  /* A write that gave FCGI_ERR_AGAIN can go on. */
  fcgi_callback on_abort;     /* fcgi_request_aborted tells why. What it
                                 returns is ignored. */
  fcgi_callback on_close;     /* The handle dies; no callback follows. Free
                                 what user data holds. What it returns is
                                 ignored. */
} fcgi_handler;

#endif
