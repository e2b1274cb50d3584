/* SPDX-License-Identifier: MIT */
/* A whole serving process in one call. */
#ifndef FASTCGI_SERVE_H
#define FASTCGI_SERVE_H

#include <fastcgi/export.h>
#include <fastcgi/handler.h>
#include <fastcgi/server.h>

/* Serves `address`, or with NULL what is inherited (a CGI request as well), on
   the calling thread until SIGTERM or SIGINT. The first of these signals stops
   gracefully, a second one at once. Every option of a server comes from the
   environment: FASTCGI_SOCKET_MODE=666 sets the mode of the unix socket, which
   is 0660 by default. Returns 0, or an error after one line on stderr. */
FCGI_EXPORT int fcgi_serve(const char *address, const fcgi_handler *handler,
                           void *user_data);

/* Returns the address that a command line names, argv[1]; NULL without one, and
   where a CGI server has started the program, for a client chooses the words of
   that command line (RFC 3875, 4.4). */
FCGI_EXPORT const char *fcgi_serve_address(int argc, char *const *argv);

/* Calls fcgi_server_run on `threads` threads, of which the calling one is the
   first, and returns when all have returned: 0, or the first error. */
FCGI_EXPORT int fcgi_server_run_threads(fcgi_server *server,
                                        const fcgi_handler *handler,
                                        void *user_data, unsigned threads);

/* Calls `run(run_data)` on the calling thread and returns what that returns.
   Meanwhile SIGTERM and SIGINT stop `server` gracefully, within
   graceful_timeout_ms; a second one and SIGQUIT stop it at once, and half a
   second later the process ends by the signal, whatever its handlers do.
   SIGUSR1 reopens the logs unless the program handles it. The program's own
   handling of these signals is put back at the end. No thread blocks them, and
   a child has their defaults. */
FCGI_EXPORT int fcgi_serve_signals(fcgi_server *server, int (*run)(void *),
                                   void *run_data);

typedef struct fcgi_stopper fcgi_stopper;

/* Starts a thread that stops `server` as fcgi_serve_signals does, for programs
   with signal handlers of their own. The numbers of signals come as bytes from
   the descriptor `signals`, which stays yours. Of a socket with SO_PASSCRED
   only those of this process count, as a fork may have a copy.
   graceful_timeout_ms 0 takes the server's. Returns 0, FCGI_ERR_NOMEM, or
   FCGI_ERR_SYSTEM with errno. */
FCGI_EXPORT int fcgi_stopper_new(fcgi_stopper **out, fcgi_server *server,
                                 int signals, int graceful_timeout_ms);

/* Ends that thread; call it before the server is freed. NULL is fine. */
FCGI_EXPORT void fcgi_stopper_free(fcgi_stopper *stopper);

#endif
