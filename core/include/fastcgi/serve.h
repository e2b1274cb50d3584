/* SPDX-License-Identifier: MIT */
/* A whole serving process in one call. */
#ifndef FASTCGI_SERVE_H
#define FASTCGI_SERVE_H

#include <fastcgi/export.h>
#include <fastcgi/handler.h>
#include <fastcgi/server.h>

/* Serve `address` (NULL: what is inherited, be it a CGI request) on the calling
   thread until SIGTERM or SIGINT, which stop gracefully, a second one at once.
   Returns 0, or an error after one line on stderr. */
FCGI_EXPORT int fcgi_serve(const char *address, const fcgi_handler *handler,
                           void *user_data);

/* The address that a command line names: argv[1], or NULL without one. NULL
   also where a CGI server started the program, for it puts words that the
   client has chosen on the command line (RFC 3875, 4.4). */
FCGI_EXPORT const char *fcgi_serve_address(int argc, char *const *argv);

/* fcgi_server_run on `threads` threads, the calling one among them; returns
   when all have returned, with the first error of theirs. */
FCGI_EXPORT int fcgi_server_run_threads(fcgi_server *server,
                                        const fcgi_handler *handler,
                                        void *user_data, unsigned threads);

/* Stop `server` on SIGTERM, SIGINT (gracefully, a second one at once) or
   SIGQUIT (at once), and reopen its logs on SIGUSR1 unless the program handles
   that, while `run(run_data)` runs on the calling thread; returns what that
   returned. A graceful stop has `graceful_timeout_ms`. Half a second after a
   stop at once the process ends by the signal, whatever its handlers do. What
   the program does on these signals is put back then; no thread blocks them,
   and in a child they do what is their default. */
FCGI_EXPORT int fcgi_serve_signals(fcgi_server *server, int (*run)(void *),
                                   void *run_data);

typedef struct fcgi_stopper fcgi_stopper;

/* For programs with signal handlers of their own: stop `server` likewise, on a
   thread, by the numbers of signals that come as bytes from the descriptor
   `signals`, which stays yours; of a socket with SO_PASSCRED only those of
   this process count, as a fork may have a copy; `graceful_timeout_ms` 0 is
   the server's. 0, FCGI_ERR_NOMEM, or FCGI_ERR_SYSTEM with errno. */
FCGI_EXPORT int fcgi_stopper_new(fcgi_stopper **out, fcgi_server *server,
                                 int signals, int graceful_timeout_ms);

/* No longer, before the server is freed. NULL is fine. */
FCGI_EXPORT void fcgi_stopper_free(fcgi_stopper *stopper);

#endif
