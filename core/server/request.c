/* SPDX-License-Identifier: MIT */
/* The life of a request, and its input. */
#include "server/request.h"
#include "os/clock.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static void link_request(fcgi__connection *connection, fcgi_request *request) {
  request->all_next = connection->life.all;
  if (connection->life.all)
    connection->life.all->all_prev = request;
  connection->life.all = request;
  connection->life.requests++;
  connection->life.shared |= connection->life.requests > 1;
}

void fcgi__request_unlink(fcgi_request *request) {
  if (request->all_prev)
    request->all_prev->all_next = request->all_next;
  else
    request->connection->life.all = request->all_next;
  if (request->all_next)
    request->all_next->all_prev = request->all_prev;
  request->connection->life.requests--;
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
  request->role = event->spec;
  request->content_length = event->content_length;
  request->head_only = (uint8_t)fcgi_params_is_head(event->params);
  request->fed = 1;
  request->body_left = -1;
  request->timeout_ms = fcgi__wait_ms(config->io_timeout_ms);
  request->body.fd = request->data.fd = request->file_fd = -1;
  request->read_wake = request->write_wake = -1;
  request->input_done = event->spec->streams == FCGI_STREAMS_NONE;
  request->data_done = event->spec->streams != FCGI_STREAMS_STDIN_DATA;
  fcgi__observe_begin(&connection->server->observer, &request->observed);
  link_request(connection, request);
  if (!request->input_done) {
    connection->life.reading++;
    connection->life.collecting++;
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
  if (request->observed.tally.counted)
    fcgi__spare_done(request->connection->server);
  fcgi__observe_free(&request->connection->server->observer,
                     &request->observed);
  if (request->kept)
    fcgi_session_drop_params(request->params, allocator);
  fcgi__free(allocator, atomic_load(&request->path));
  fcgi__connection_hold(request->connection,
                        request->body.memory.cap + request->data.memory.cap +
                            request->errors.cap + request->head.cap,
                        0);
  fcgi__spool_clear(&request->body, allocator);
  fcgi__spool_clear(&request->data, allocator);
  fcgi__buffer_clear(&request->errors, allocator);
  fcgi__buffer_clear(&request->head, allocator);
  close_fd(&request->file_fd);
  close_fd(&request->read_wake);
  close_fd(&request->write_wake);
  fcgi__free(allocator, request);
}

static void leave_reading(fcgi_request *request) {
  if (!request->input_done)
    request->connection->life.reading--;
  request->input_done = request->data_done = 1;
}

static int over_limit(const fcgi_request *request, size_t len) {
  uint64_t held = request->body.memory.len + request->body.file_len +
                  request->data.memory.len + request->data.file_len;
  return held + len > request->connection->server->config.limit_request_body;
}

/* Hold the event's bytes; more than `limit` of them in a file. */
static int hold(fcgi_request *request, fcgi__spool *body,
                const fcgi_event *event, size_t limit) {
  fcgi_server *server = request->connection->server;
  int in_memory = body->fd < 0;
  size_t before = body->memory.cap;
  int error = fcgi__spool_append(body, &server->allocator, event->data,
                                 event->len, limit, server->temp_dir);
  fcgi__connection_hold(request->connection, before, body->memory.cap);
  if (in_memory && body->fd >= 0)
    fcgi__observe_count(&server->observer, FCGI_METRIC_SPILLS, 1);
  if (error == FCGI_ERR_SYSTEM)
    fcgi__server_log(server, FCGI_LOG_ERROR,
                     "cannot keep a request body in %s: %s", server->temp_dir,
                     strerror(errno));
  return error;
}

/* The rest goes to the file, all of it where memory is full. */
static size_t memory_for_body(const fcgi_request *request) {
  const fcgi__connection *connection = request->connection;
  if (fcgi__connection_is_full(connection))
    return 1;
  return fcgi__connection_share(connection,
                                connection->server->config.body_memory);
}

static void collect(fcgi_request *request, fcgi__spool *body,
                    const fcgi_event *event) {
  if (over_limit(request, event->len))
    fcgi__request_answer_alone(request, 413);
  else if (hold(request, body, event, memory_for_body(request)))
    fcgi__request_answer_alone(request, 500);
}

/* The program has the request, so it is the one to end it. */
static void cut_input(fcgi_request *request) {
  request->cut |= !request->input_done;
  leave_reading(request);
}

static void queue_input(fcgi_request *request, fcgi__spool *body,
                        const fcgi_event *event) {
  fcgi__connection *connection = request->connection;
  fcgi_server *server = connection->server;
  size_t limit =
      fcgi__connection_share(connection, server->config.input_window);
  uint64_t most =
      connection->life.spill ? server->config.limit_request_body : limit;
  if (hold(request, body, event, connection->life.spill ? limit : 0))
    cut_input(request);
  else if (fcgi__spool_unread(body) >= most)
    fcgi__connection_pause(connection);
  fcgi__ready_notify(server, request, event->type);
}

void fcgi__request_input(fcgi_request *request, const fcgi_event *event) {
  fcgi__spool *body =
      event->type == FCGI_EVENT_DATA ? &request->data : &request->body;
  if (request->ended || request->end_due || request->cut)
    return;
  request->fed = 1;
  if (request->dispatched)
    queue_input(request, body, event);
  else
    collect(request, body, event);
}

/* A collected body is as long as it is, where nobody has said so before. */
static void measure(fcgi_request *request) {
  uint64_t len = fcgi__spool_unread(&request->body);
  if (request->content_length < 0 && !request->dispatched && len > 0)
    request->content_length = (int64_t)len;
}

static void end_of_stdin(fcgi_request *request, const fcgi_event *event) {
  request->truncated = (uint8_t)event->truncated;
  measure(request);
  if (request->data_done)
    leave_reading(request);
  else
    request->stdin_done = 1;
}

static void end_of_data(fcgi_request *request, const fcgi_event *event) {
  request->data_truncated = (uint8_t)event->truncated;
  leave_reading(request);
}

void fcgi__request_input_end(fcgi_request *request, const fcgi_event *event) {
  if (event->type == FCGI_EVENT_DATA_END)
    end_of_data(request, event);
  else
    end_of_stdin(request, event);
  if (!request->dispatched && request->input_done)
    fcgi__request_dispatch(request);
  else if (request->dispatched && !request->ended)
    fcgi__ready_notify(request->connection->server, request, event->type);
}

void fcgi__request_abort(fcgi_request *request, fcgi_abort_reason reason) {
  fcgi_server *server = request->connection->server;
  if (request->kept)
    return; /* Its deadline has been told of. */
  fcgi__observe_count(
      &server->observer,
      (fcgi_metric)(FCGI_METRIC_ABORTS_RECORD + reason - FCGI_ABORT_RECORD), 1);
  request->aborted = reason;
  cut_input(request);
  if (!request->dispatched) {
    fcgi__request_leave_collecting(request);
    request->dispatched = 1;
    fcgi__request_end(request, 0);
  } else if (request->end_due && reason > FCGI_ABORT_RECORD) {
    request->end_due = 0; /* Its file has no reader any more. */
    fcgi__request_end(request, request->app_status);
  } else if (reason > FCGI_ABORT_RECORD && !request->ended &&
             !fcgi__ready_withdraw(server, request, 1)) {
    fcgi__request_end(request, 0); /* No handler begins for nobody. */
  } else if (!request->ended) {
    fcgi__ready_notify(server, request, FCGI_EVENT_ABORT);
  }
}

void fcgi__request_look(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  fcgi__connection_lock(connection);
  if (!request->closed)
    fcgi__connection_look(connection);
  fcgi__connection_settle(connection);
  fcgi__request_release(request);
}

/* CLOSE is the last event, so it waits until no other callback of the request
   is running; what they use may be freed in its own. */
static void give_close(fcgi_request *request) {
  request->close_due = atomic_load(&request->held) > 0;
  if (!request->close_due)
    fcgi__ready_notify(request->connection->server, request, FCGI_EVENT_CLOSE);
}

void fcgi__request_observe_close(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  fcgi__observed *observed = &request->observed;
  if (observed->access || observed->error_line.len > 0)
    fcgi__observe_close(&connection->server->observer, observed,
                        request->params,
                        fcgi_session_unsent(connection->session, request->id));
}

/* Nobody but a callback that still holds the handle, or the one that takes
   CLOSE, may look at the request now. */
void fcgi__request_close(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  fcgi__request_observe_close(request);
  leave_reading(request);
  request->ended = request->closed = 1;
  fcgi__request_unlink(request);
  if (!request->kept) {
    request->params = NULL;
    fcgi__ready_forget(server, request);
  } else if (!request->left) {
    fcgi__ready_late(server, request);
  }
  if (request->wants_close &&
      (atomic_load(&server->events) & 1u << FCGI_EVENT_CLOSE))
    give_close(request);
  else if (atomic_load(&request->held) == 0)
    fcgi__request_free(request);
}

void fcgi__request_release(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  int gone;
  fcgi__connection_lock(connection);
  gone = fcgi__ready_let_go(connection->server, request) && request->closed;
  if (gone && request->close_due) {
    give_close(request);
    fcgi__connection_unlock(connection);
    return;
  }
  fcgi__connection_unlock_only(connection);
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
  int truncated = is_data ? request->data_truncated : request->truncated;
  if (request->cut ||
      (!done && fcgi__request_reason(request) == FCGI_ABORT_STOP))
    return FCGI_ERR_ABORTED;
  if (!done)
    return FCGI_ERR_AGAIN;
  return truncated ? FCGI_ERR_TRUNCATED : 0;
}

static void unpause(fcgi_request *request, const fcgi__spool *body) {
  fcgi__connection *connection = request->connection;
  if (fcgi__connection_is_paused(connection) &&
      fcgi__spool_unread(body) <=
          fcgi__connection_share(connection,
                                 connection->server->config.input_window) /
              2)
    fcgi__connection_resume(connection);
}

static ptrdiff_t read_some(fcgi_request *request, int is_data, void *data,
                           size_t len) {
  fcgi__spool *body = is_data ? &request->data : &request->body;
  ptrdiff_t got = fcgi__spool_read(body, data, len);
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
  if (fcgi__request_is_other(request))
    return FCGI_ERR_STATE;
  fcgi__connection_lock(request->connection);
  if (request->overdue)
    got = FCGI_ERR_ABORTED;
  else if (request->ended || request->end_due)
    got = FCGI_ERR_STATE;
  else
    got = read_waiting(request, is_data, data, len);
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
  if (fcgi__request_is_other(request))
    return request->aborted;
  fcgi__connection_lock(connection);
  if (!request->ended && request->aborted <= FCGI_ABORT_RECORD &&
      (!connection->life.registered ||
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
  return request->role->number;
}

const char *fcgi_request_role_name(const fcgi_request *request) {
  return request->role->name;
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

static int64_t number_of(const fcgi_request *request, const char *name) {
  return fcgi_params_number(request->params, name, strlen(name));
}

int64_t fcgi_request_data_length(const fcgi_request *request) {
  return number_of(request, "FCGI_DATA_LENGTH");
}

int64_t fcgi_request_data_modified(const fcgi_request *request) {
  return number_of(request, "FCGI_DATA_LAST_MOD");
}

void fcgi_request_set_timeout(fcgi_request *request, int timeout_ms) {
  request->timeout_ms = fcgi__wait_ms(timeout_ms);
}

void fcgi_request_set_user_data(fcgi_request *request, void *user_data) {
  request->user_data = user_data;
}

void *fcgi_request_user_data(const fcgi_request *request) {
  return request->user_data;
}
