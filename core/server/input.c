/* SPDX-License-Identifier: MIT */
/* The input of a request: collected until the program has it, then read. */
#include "os/clock.h"
#include "os/filename.h"
#include "server/request.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <string.h>

/* The stream is open, and comes to its end so. 1: it is the last one. */
static int end_stream(fcgi_request *request, fcgi__request_stream *input,
                      fcgi__inflow how) {
  input->flow = (uint8_t)how;
  if (fcgi__request_takes_input(request))
    return 0;
  request->connection->life.reading--;
  return 1;
}

/* What is still open has no end that is its own. */
void fcgi__request_cut_input(fcgi_request *request) {
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
                     fcgi__filename_error(errno));
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

/* A reader has the reading go on, though other streams are beyond their windows
   already: where memory is full, what comes for those goes to a file. Without
   room for it, the rest is cut off: the program has the request, so it is the
   one to end it. */
static void queue_input(fcgi_request *request, fcgi__spool *body,
                        const fcgi_event *event) {
  fcgi__connection *connection = request->connection;
  fcgi_server *server = connection->server;
  size_t limit =
      fcgi__connection_share(connection, server->config.input_window);
  uint64_t most =
      connection->life.spill ? server->config.limit_request_body : limit;
  size_t memory = connection->life.spill ? limit : 0;
  if (fcgi__connection_is_full(connection))
    memory = 1;
  if (hold(request, body, event, memory))
    fcgi__request_cut_input(request);
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
  if (fcgi__request_is_collecting(request))
    collect(request, &input->spool, event);
  else
    queue_input(request, &input->spool, event);
}

/* A collected body is as long as it is, where nobody has said so before. */
static void measure(fcgi_request *request) {
  uint64_t len;
  if (request->content_length >= 0 || !fcgi__request_is_collecting(request))
    return;
  len = fcgi__spool_unread(&request->body.spool);
  if (len > 0)
    request->content_length = (int64_t)len;
}

void fcgi__request_input_end(fcgi_request *request, const fcgi_event *event) {
  fcgi__request_stream *input =
      event->type == FCGI_EVENT_DATA_END ? &request->data : &request->body;
  int whole = 0;
  if (event->type == FCGI_EVENT_STDIN_END)
    measure(request);
  if (input->flow == FCGI__INFLOW_OPEN)
    whole =
        end_stream(request, input,
                   event->truncated ? FCGI__INFLOW_SHORT : FCGI__INFLOW_WHOLE);
  if (!fcgi__request_is_collecting(request)) {
    if (request->phase < FCGI__ENDED)
      fcgi__ready_notify(request->connection->server, request, event->type);
  } else if (whole) {
    fcgi__request_dispatch(request);
  }
}

long long fcgi__request_body_due(fcgi_request *request, long long now,
                                 int timeout) {
  if (!fcgi__request_is_collecting(request))
    return LLONG_MAX;
  if (request->due.body == 0)
    request->due.body = now + timeout;
  return request->due.body;
}

int fcgi__request_expire(fcgi_request *request, long long now) {
  fcgi__peer who;
  if (!fcgi__request_is_collecting(request) || request->due.body == 0 ||
      request->due.body > now)
    return 0;
  fcgi__peer_of(request->connection->fd, &who);
  fcgi__server_trouble(
      request->connection->server, FCGI__TROUBLE_BODY, who.place, FCGI_LOG_INFO,
      "a request body stopped coming from %s: answered 408", who.name);
  fcgi__request_answer_alone(request, 408);
  return 1;
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
