/* SPDX-License-Identifier: MIT */
/* STDERR of a request. */
#include "server/request.h"
#include "server/server.h"
#include <fastcgi/error.h>

/* STDERR goes just before the next STDOUT, or the end of that. */
int fcgi__request_put_all_errors(fcgi_request *request) {
  const fcgi_allocator *allocator = &request->connection->server->allocator;
  int error;
  if (request->out.errors.len == 0)
    return 0;
  error = fcgi_session_write(request->connection->session, request->id,
                             FCGI_STREAM_STDERR, request->out.errors.data,
                             request->out.errors.len);
  fcgi__connection_hold(request->connection, request->out.errors.cap, 0);
  fcgi__buffer_clear(&request->out.errors, allocator);
  return error;
}

/* No part of STDERR precedes the head: nginx keeps both in the buffer that is
   meant for the head alone, and answers 502 when that is full. */
int fcgi__request_put_errors(fcgi_request *request) {
  return fcgi__request_has_head(request) ? fcgi__request_put_all_errors(request)
                                         : 0;
}

/* Without memory for it there is only less to read. */
void fcgi__request_head_out(fcgi_request *request, fcgi__answer answer) {
  request->out.answer = (uint8_t)answer;
  fcgi__request_put_all_errors(request);
}

static int add_error(fcgi_request *request, const void *data, size_t len) {
  fcgi_server *server = request->connection->server;
  size_t before = request->out.errors.cap;
  int error =
      fcgi__buffer_append(&request->out.errors, &server->allocator, data, len);
  fcgi__connection_hold(request->connection, before, request->out.errors.cap);
  if (!error)
    fcgi__observe_stderr(&server->observer, &request->observed, data, len);
  return error;
}

/* A message that ends in no newline is given one when another follows; but
   some print theirs in a call of its own. */
static int write_error(fcgi_request *request, const char *data, size_t len) {
  size_t newline = request->out.errors_open && *data != '\n';
  int error = 0;
  if (len + newline > request->connection->server->config.output_window -
                          request->out.errors.len)
    return FCGI_ERR_LIMIT;
  if (newline)
    error = add_error(request, "\n", newline);
  if (!error)
    request->out.errors_open = 0;
  if (!error)
    error = add_error(request, data, len);
  if (!error)
    request->out.errors_open = data[len - 1] != '\n';
  return error;
}

int fcgi_request_write_stderr(fcgi_request *request, const void *data,
                              size_t len) {
  int error;
  if (fcgi__request_is_other(request))
    return FCGI_ERR_STATE;
  fcgi__connection_lock(request->connection);
  error = fcgi__request_check(request);
  if (!error && len > 0)
    error = write_error(request, data, len);
  fcgi__connection_unlock(request->connection);
  return error;
}
