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

/* Zeroes mean that it is collected, of streams that are open. */
static void begin_input(fcgi_request *request) {
  fcgi__connection_life *life = &request->connection->life;
  if (request->role->streams != FCGI_STREAMS_STDIN_DATA)
    request->data.flow = FCGI__INFLOW_WHOLE;
  if (request->role->streams == FCGI_STREAMS_NONE) {
    request->body.flow = FCGI__INFLOW_WHOLE;
    request->phase = FCGI__ANSWERING;
  } else {
    life->reading++;
    life->collecting++;
  }
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
  request->out.bodiless = (uint8_t)fcgi_params_is_head(event->params);
  request->out.left = -1;
  request->timeout_ms = fcgi__wait_ms(config->io_timeout_ms);
  request->body.spool.fd = request->data.spool.fd = request->file.fd = -1;
  request->read_wake = request->write_wake = -1;
  begin_input(request);
  fcgi__observe_begin(&connection->server->observer, &request->observed);
  link_request(connection, request);
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
                        request->body.spool.memory.cap +
                            request->data.spool.memory.cap +
                            request->out.errors.cap + request->out.head.cap,
                        0);
  fcgi__spool_clear(&request->body.spool, allocator);
  fcgi__spool_clear(&request->data.spool, allocator);
  fcgi__buffer_clear(&request->out.errors, allocator);
  fcgi__buffer_clear(&request->out.head, allocator);
  close_fd(&request->file.fd);
  close_fd(&request->read_wake);
  close_fd(&request->write_wake);
  fcgi__free(allocator, request);
}

/* The stream is open, and comes to its end so. */
static void end_stream(fcgi_request *request, fcgi__request_stream *input,
                       fcgi__inflow how) {
  input->flow = (uint8_t)how;
  if (!fcgi__request_takes_input(request))
    request->connection->life.reading--;
}

/* What is still open has no end that is its own. */
static void cut_input(fcgi_request *request) {
  if (request->body.flow == FCGI__INFLOW_OPEN)
    end_stream(request, &request->body, FCGI__INFLOW_CUT);
  if (request->data.flow == FCGI__INFLOW_OPEN)
    end_stream(request, &request->data, FCGI__INFLOW_CUT);
}

static uint64_t collected(const fcgi__request_stream *input) {
  return input->spool.memory.len + input->spool.file_len;
}

static int over_limit(const fcgi_request *request, size_t len) {
  return collected(&request->body) + collected(&request->data) + len >
         request->connection->server->config.limit_request_body;
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

/* Without room for it, the rest is cut off: the program has the request, so it
   is the one to end it. */
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
  fcgi__request_stream *input =
      event->type == FCGI_EVENT_DATA ? &request->data : &request->body;
  if (fcgi__request_is_over(request) || input->flow != FCGI__INFLOW_OPEN)
    return;
  request->due.body = 0;
  if (request->phase == FCGI__COLLECTING)
    collect(request, &input->spool, event);
  else
    queue_input(request, &input->spool, event);
}

/* A collected body is as long as it is, where nobody has said so before. */
static void measure(fcgi_request *request) {
  uint64_t len = fcgi__spool_unread(&request->body.spool);
  if (request->content_length < 0 && request->phase == FCGI__COLLECTING &&
      len > 0)
    request->content_length = (int64_t)len;
}

void fcgi__request_input_end(fcgi_request *request, const fcgi_event *event) {
  fcgi__request_stream *input =
      event->type == FCGI_EVENT_DATA_END ? &request->data : &request->body;
  if (event->type == FCGI_EVENT_STDIN_END)
    measure(request);
  if (input->flow == FCGI__INFLOW_OPEN)
    end_stream(request, input,
               event->truncated ? FCGI__INFLOW_SHORT : FCGI__INFLOW_WHOLE);
  if (request->phase > FCGI__COLLECTING && request->phase < FCGI__ENDED)
    fcgi__ready_notify(request->connection->server, request, event->type);
  else if (request->phase == FCGI__COLLECTING &&
           !fcgi__request_takes_input(request))
    fcgi__request_dispatch(request);
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
  if (request->phase == FCGI__COLLECTING) {
    fcgi__request_leave_collecting(request);
    fcgi__request_end(request, 0);
  } else if (request->phase == FCGI__ENDING && reason > FCGI_ABORT_RECORD) {
    fcgi__request_complete(request); /* Its file has no reader any more. */
  } else if (reason > FCGI_ABORT_RECORD && request->phase < FCGI__ENDED &&
             !fcgi__ready_withdraw(server, request, 1)) {
    fcgi__request_end(request, 0); /* No handler begins for nobody. */
  } else if (request->phase < FCGI__ENDED) {
    fcgi__ready_notify(server, request, FCGI_EVENT_ABORT);
  }
}

void fcgi__request_look(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  fcgi__connection_lock(connection);
  if (request->phase < FCGI__CLOSE_DUE)
    fcgi__connection_look(connection);
  fcgi__connection_settle(connection);
  fcgi__request_release(request);
}

/* CLOSE is the last event, so it waits until no other callback of the request
   is running; what they use may be freed in its own. */
static void give_close(fcgi_request *request) {
  request->phase =
      atomic_load(&request->held) > 0 ? FCGI__CLOSE_DUE : FCGI__CLOSED;
  if (request->phase == FCGI__CLOSED)
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

/* Nobody is to be told of the end. */
static void close_unseen(fcgi_request *request) {
  request->phase = FCGI__CLOSED;
  if (atomic_load(&request->held) == 0)
    fcgi__request_free(request);
}

/* Nobody but a callback that still holds the handle, or the one that takes
   CLOSE, may look at the request now. */
void fcgi__request_close(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  fcgi__request_observe_close(request);
  cut_input(request);
  fcgi__request_unlink(request);
  if (!request->kept) {
    request->params = NULL;
    fcgi__ready_forget(server, request);
  } else if (request->lateness != FCGI__OVERDUE_LEFT) {
    fcgi__ready_late(server, request);
  }
  if (request->turn.given &&
      (atomic_load(&server->events) & 1u << FCGI_EVENT_CLOSE))
    give_close(request);
  else
    close_unseen(request);
}

void fcgi__request_release(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  int gone;
  fcgi__connection_lock(connection);
  gone = fcgi__ready_let_go(connection->server, request) &&
         request->phase >= FCGI__CLOSE_DUE;
  if (gone && request->phase == FCGI__CLOSE_DUE) {
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
static ptrdiff_t end_of_input(const fcgi_request *request,
                              const fcgi__request_stream *input) {
  switch ((fcgi__inflow)input->flow) {
  case FCGI__INFLOW_OPEN:
    return fcgi__request_reason(request) == FCGI_ABORT_STOP ? FCGI_ERR_ABORTED
                                                            : FCGI_ERR_AGAIN;
  case FCGI__INFLOW_WHOLE:
    return 0;
  case FCGI__INFLOW_SHORT:
    return FCGI_ERR_TRUNCATED;
  case FCGI__INFLOW_CUT:
    break;
  }
  return FCGI_ERR_ABORTED;
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
  fcgi__request_stream *input = is_data ? &request->data : &request->body;
  ptrdiff_t got = fcgi__spool_read(&input->spool, data, len);
  if (got > 0)
    unpause(request, &input->spool);
  return got ? got : end_of_input(request, input);
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
  if (request->lateness)
    got = FCGI_ERR_ABORTED;
  else if (fcgi__request_is_over(request))
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
  if (request->phase < FCGI__ENDED && request->aborted <= FCGI_ABORT_RECORD &&
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
