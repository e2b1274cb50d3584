/* SPDX-License-Identifier: MIT */
/* The callbacks of fcgi_server_run. */
#ifndef FASTCGI_HANDLER_H
#define FASTCGI_HANDLER_H

#include <fastcgi/event.h>
#include <fastcgi/request.h>
#include <stddef.h>

/* What a callback returns when its request goes on, and some thread ends it
   later. 0 ends the request unless it has ended, and fails it if nothing was
   written; a negative value fails it, as fcgi_request_fail does. */
#define FCGI_PENDING 1

typedef int (*fcgi_callback)(fcgi_request *request, void *user_data);
typedef int (*fcgi_thread_callback)(void *user_data);

/* The callbacks; those left NULL are not called. `on_request` is required. It
   runs when the body is whole, or with FCGI_BODY_STREAM at the end of PARAMS,
   on the thread that read the request. The others follow while the request is
   open. On several threads they may run concurrently; `on_close` runs after all
   others have returned. */
typedef struct fcgi_handler {
  size_t size;                /* sizeof(fcgi_handler). */
  fcgi_callback on_request;   /* A request has arrived: answer it, or return
                                 FCGI_PENDING. A request that fails because a
                                 resource broke arrives once more if the resource
                                 says so (resource.h), with the user data that
                                 the first call has set. */
  fcgi_callback on_stdin;     /* Body bytes can be read. */
  fcgi_callback on_stdin_end; /* The body is complete. */
  fcgi_callback on_data;      /* DATA bytes can be read (filter). */
  fcgi_callback on_data_end;  /* DATA is complete (filter). */
  fcgi_callback on_writable;  /* A write that returned FCGI_ERR_AGAIN can be
                                 repeated. */
  fcgi_callback on_abort;     /* The request is aborted; fcgi_request_aborted
                                 tells why. The value that this callback
                                 returns is ignored. */
  fcgi_callback on_close;     /* The last callback of the request; the handle
                                 is invalid afterwards. Free what user data
                                 holds. The value that this callback returns is
                                 ignored. */
  fcgi_thread_callback on_thread_start; /* A thread begins to serve. If it
                                           returns a negative value,
                                           fcgi_server_run does so too. */
  fcgi_thread_callback on_thread_stop;  /* The thread has served its last
                                           request, and closed what it has of
                                           resources. The value that this
                                           callback returns is ignored. */
} fcgi_handler;

#endif
