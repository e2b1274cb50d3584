/* SPDX-License-Identifier: MIT */
/* A server that a web server started as a CGI program answers one request. */
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <stdio.h>
#include <string.h>

static void complain(void *data, const char *line) {
  fcgi__server_log(data, FCGI_LOG_ERROR, "%s", line);
}

static void finished(void *data) {
  fcgi_server *server = data;
  fcgi_server_stop(server, FCGI_STOP_GRACEFUL);
  if (atomic_fetch_sub(&server->open, 1) == 1)
    fcgi__poller_wake_all(server->poller);
}

static int refuse(fcgi_server *server, int error) {
  snprintf(server->message, sizeof server->message,
           "cannot answer the CGI request: %s",
           error == FCGI_ERR_SYSTEM  ? strerror(errno)
           : error == FCGI_ERR_LIMIT ? "the environment is too large"
                                     : fcgi_error_text(error));
  return error;
}

/* The bridge counts as a connection of its own, so that the server waits until
   it has delivered the answer. The server's end is offered to whoever takes
   events first: until then the program may still say which roles it has. */
static int start(fcgi_server *server) {
  extern char **environ;
  const fcgi__cgi_owner owner = {.complain = complain,
                                 .finished = finished,
                                 .data = server,
                                 .patience_ms =
                                     server->config.drain_silence_ms};
  int offer, error;
  atomic_fetch_add(&server->open, 1);
  error = fcgi__cgi_start(&server->cgi, &owner, &server->allocator, environ,
                          &offer);
  if (error) {
    atomic_fetch_sub(&server->open, 1);
    return refuse(server, error);
  }
  atomic_store(&server->offered, offer);
  fcgi__poller_wake(server->poller);
  return 0;
}

/* The web server that started us needs nobody's leave to connect. */
int fcgi__server_answer_cgi(fcgi_server *server) {
  if (!server->cgi)
    return start(server);
  snprintf(server->message, sizeof server->message,
           "the CGI request is being answered already; listen for it once");
  return FCGI_ERR_STATE;
}
