/* SPDX-License-Identifier: MIT */
/* The life of a request, and its input. */
#include "server/request.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static void link_request(fcgi__connection *connection, fcgi_request *request) {
  request->all_next = connection->all;
  if (connection->all)
    connection->all->all_prev = request;
  connection->all = request;
  connection->requests++;
}

void fcgi__request_unlink(fcgi_request *request) {
  if (request->all_prev)
    request->all_prev->all_next = request->all_next;
  else
    request->connection->all = request->all_next;
  if (request->all_next)
    request->all_next->all_prev = request->all_prev;
  request->connection->requests--;
}

static int is_head(const fcgi_params *params) {
  size_t len;
  const char *method = fcgi_params_get(params, "REQUEST_METHOD", 14, &len);
  return method && len == 4 && memcmp(method, "HEAD", 4) == 0;
}

fcgi_request *fcgi__request_new(fcgi__connection *connection,
                                const fcgi_event *event) {
  const fcgi_server_config *config = &connection->server->config;
  fcgi_request *request =
      fcgi__calloc(&connection->server->allocator, sizeof *request);
  if (!request)
    return NULL;
  request->connection = connection;
  request->params = event->params;
  request->id = event->id;
  request->role = event->role;
  request->content_length = event->content_length;
  request->head_only = (uint8_t)is_head(event->params);
  request->head_line = 1;
  request->timeout_ms =
      config->io_timeout_ms == FCGI_WAIT_NEVER ? 0 : config->io_timeout_ms;
  request->body.fd = request->data.fd = request->file_fd = -1;
  request->read_wake = request->write_wake = -1;
  request->input_done = request->role == FCGI_ROLE_AUTHORIZER;
  request->data_done = request->role != FCGI_ROLE_FILTER;
  link_request(connection, request);
  if (!request->input_done) {
    connection->reading++;
    connection->collecting++;
  }
  return request;
}

static void close_fd(int *fd) {
  if (*fd >= 0)
    close(*fd);
  *fd = -1;
}

void fcgi__request_free(fcgi_request *request) {
  const fcgi_allocator *allocator = &request->connection->server->allocator;
  fcgi__body_clear(&request->body, allocator);
  fcgi__body_clear(&request->data, allocator);
  close_fd(&request->file_fd);
  close_fd(&request->read_wake);
  close_fd(&request->write_wake);
  fcgi__free(allocator, request);
}

static void leave_collecting(fcgi_request *request) {
  if (!request->dispatched && request->role != FCGI_ROLE_AUTHORIZER)
    request->connection->collecting--;
}

void fcgi__request_dispatch(fcgi_request *request) {
  leave_collecting(request);
  request->dispatched = 1;
  fcgi__server_notify(request->connection->server, request, FCGI_EVENT_REQUEST);
}

static void leave_reading(fcgi_request *request) {
  if (!request->input_done)
    request->connection->reading--;
  request->input_done = request->data_done = 1;
}

/* The library answers for a program that has not seen the request. */
static void answer_alone(fcgi_request *request, int status) {
  const char *text =
      status == 413 ? "413 Content Too Large\n" : "500 Internal Server Error\n";
  leave_collecting(request);
  request->dispatched = 1;
  fcgi__request_reply(request, status, "text/plain", text, strlen(text));
}

static int over_limit(const fcgi_request *request, size_t len) {
  uint64_t held = request->body.memory.len + request->body.file_len +
                  request->data.memory.len + request->data.file_len;
  return held + len > request->connection->server->config.max_body;
}

static void collect(fcgi_request *request, fcgi__body *body,
                    const fcgi_event *event) {
  fcgi_server *server = request->connection->server;
  int error;
  if (over_limit(request, event->len)) {
    answer_alone(request, 413);
    return;
  }
  error = fcgi__body_append(body, &server->allocator, event->data, event->len,
                            server->config.body_memory, server->temp_dir);
  if (error == FCGI_ERR_SYSTEM)
    fcgi__server_log(server, FCGI_LOG_ERROR,
                     "cannot keep a request body in %s: %s", server->temp_dir,
                     strerror(errno));
  if (error)
    answer_alone(request, 500);
}

static void queue_input(fcgi_request *request, fcgi__body *body,
                        const fcgi_event *event) {
  fcgi__connection *connection = request->connection;
  fcgi_server *server = connection->server;
  if (fcgi__body_append(body, &server->allocator, event->data, event->len, 0,
                        NULL)) {
    fcgi__request_fail(request);
    return;
  }
  if (fcgi__body_unread(body) >= server->config.input_window)
    connection->paused = 1;
  fcgi__server_notify(server, request, event->type);
}

void fcgi__request_input(fcgi_request *request, const fcgi_event *event) {
  fcgi__body *body =
      event->type == FCGI_EVENT_DATA ? &request->data : &request->body;
  if (request->ended)
    return;
  if (request->dispatched)
    queue_input(request, body, event);
  else
    collect(request, body, event);
}

static void end_of_stdin(fcgi_request *request, const fcgi_event *event) {
  request->truncated = (uint8_t)event->truncated;
  if (request->data_done)
    leave_reading(request);
  else
    request->stdin_done = 1;
}

void fcgi__request_input_end(fcgi_request *request, const fcgi_event *event) {
  if (event->type == FCGI_EVENT_DATA_END)
    leave_reading(request);
  else
    end_of_stdin(request, event);
  if (!request->dispatched && request->input_done)
    fcgi__request_dispatch(request);
  else if (request->dispatched && !request->ended)
    fcgi__server_notify(request->connection->server, request, event->type);
}

void fcgi__request_abort(fcgi_request *request, fcgi_abort_reason reason) {
  request->aborted = reason;
  request->cut = !request->input_done;
  leave_reading(request);
  if (!request->dispatched) {
    leave_collecting(request);
    request->dispatched = 1;
    fcgi__request_end(request, 0);
  } else if (!request->ended) {
    fcgi__server_notify(request->connection->server, request, FCGI_EVENT_ABORT);
  }
}

/* The last event: nobody but a callback that still holds the handle, or the
   one that takes CLOSE, may look at the request now. */
void fcgi__request_close(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  leave_reading(request);
  request->ended = request->closed = 1;
  request->params = NULL;
  fcgi__request_unlink(request);
  fcgi__server_forget(server, request);
  if (request->wants_close &&
      (atomic_load(&server->events) & 1u << FCGI_EVENT_CLOSE))
    fcgi__server_notify(server, request, FCGI_EVENT_CLOSE);
  else if (atomic_load(&request->held) == 0)
    fcgi__request_free(request);
}

void fcgi__request_release(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  int gone;
  fcgi__connection_lock(connection);
  gone = fcgi__server_let_go(connection->server, request) && request->closed;
  fcgi__connection_unlock(connection);
  if (gone)
    fcgi__request_free(request);
}

fcgi_abort_reason fcgi__request_reason(const fcgi_request *request) {
  const fcgi_server *server = request->connection->server;
  if (request->aborted <= FCGI_ABORT_RECORD &&
      atomic_load(&server->stop_wanted) == FCGI__ABORTING)
    return FCGI_ABORT_STOP;
  return request->aborted;
}

static long long until_of(const fcgi_request *request) {
  return request->timeout_ms < 0 ? LLONG_MAX
                                 : fcgi__now() + request->timeout_ms;
}

/* What reading means once everything held is read. */
static ptrdiff_t end_of_input(const fcgi_request *request, int is_data) {
  int done =
      is_data ? request->data_done : request->input_done || request->stdin_done;
  if (request->cut ||
      (!done && fcgi__request_reason(request) == FCGI_ABORT_STOP))
    return FCGI_ERR_ABORTED;
  if (!done)
    return FCGI_ERR_AGAIN;
  return request->truncated && !is_data ? FCGI_ERR_TRUNCATED : 0;
}

static void unpause(fcgi_request *request, const fcgi__body *body) {
  fcgi__connection *connection = request->connection;
  if (connection->paused &&
      fcgi__body_unread(body) <= connection->server->config.input_window / 2)
    fcgi__connection_resume(connection);
}

static ptrdiff_t read_some(fcgi_request *request, int is_data, void *data,
                           size_t len) {
  fcgi__body *body = is_data ? &request->data : &request->body;
  ptrdiff_t got = fcgi__body_read(body, data, len);
  if (got > 0)
    unpause(request, body);
  return got ? got : end_of_input(request, is_data);
}

/* Before it waits for input, a request sends what it has written: the peer may
   answer only that. The socket is looked at first, since nobody else need be
   watching it. */
static ptrdiff_t read_waiting(fcgi_request *request, int is_data, void *data,
                              size_t len) {
  fcgi__connection *connection = request->connection;
  long long until = 0;
  ptrdiff_t got = read_some(request, is_data, data, len);
  while (got == FCGI_ERR_AGAIN) {
    if (until == 0) {
      fcgi__connection_receive(connection);
      fcgi__connection_send(connection);
      fcgi__connection_events(connection);
      until = until_of(request);
    } else if (request->timeout_ms == 0) {
      break;
    } else if (fcgi__connection_wait(connection, &request->read_wake, until)) {
      return FCGI_ERR_TIMEOUT;
    }
    got = read_some(request, is_data, data, len);
  }
  return got;
}

static ptrdiff_t read_stream(fcgi_request *request, int is_data, void *data,
                             size_t len) {
  ptrdiff_t got;
  if (len == 0)
    return 0;
  fcgi__connection_lock(request->connection);
  got = request->ended ? FCGI_ERR_STATE
                       : read_waiting(request, is_data, data, len);
  fcgi__connection_unlock(request->connection);
  return got;
}

ptrdiff_t fcgi_request_read(fcgi_request *request, void *data, size_t len) {
  return read_stream(request, 0, data, len);
}

ptrdiff_t fcgi_request_read_data(fcgi_request *request, void *data,
                                 size_t len) {
  return read_stream(request, 1, data, len);
}

fcgi_abort_reason fcgi_request_aborted(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  fcgi_abort_reason reason;
  fcgi__connection_lock(connection);
  if (!request->ended && !request->aborted &&
      (!connection->registered ||
       atomic_load(&connection->server->sleepers) == 0)) {
    fcgi__connection_receive(connection);
    fcgi__connection_events(connection);
  }
  reason = fcgi__request_reason(request);
  fcgi__connection_unlock(connection);
  return reason;
}

uint16_t fcgi_request_id(const fcgi_request *request) {
  return request->id;
}

unsigned fcgi_request_role(const fcgi_request *request) {
  return request->role;
}

const fcgi_params *fcgi_request_params(const fcgi_request *request) {
  return request->params;
}

const char *fcgi_request_param(const fcgi_request *request, const char *name) {
  return fcgi_params_get(request->params, name, strlen(name), NULL);
}

int64_t fcgi_request_content_length(const fcgi_request *request) {
  return request->content_length;
}

void fcgi_request_set_timeout(fcgi_request *request, int timeout_ms) {
  request->timeout_ms = timeout_ms < 0 ? -1 : timeout_ms;
}

void fcgi_request_set_user_data(fcgi_request *request, void *user_data) {
  request->user_data = user_data;
}

void *fcgi_request_user_data(const fcgi_request *request) {
  return request->user_data;
}
