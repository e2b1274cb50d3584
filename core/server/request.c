/* SPDX-License-Identifier: MIT */
/* The life of a request, and what is known of it. */
#include "server/request.h"
#include "server/overdue.h"
#include "server/server.h"
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

/* Connections share few places, and rarely two at once. */
static _Atomic(fcgi_request *) *place_of(const fcgi__connection *connection) {
  uintptr_t number = (uintptr_t)connection / sizeof *connection;
  return &connection->server->kept[number % FCGI__KEPT_REQUESTS].request;
}

static fcgi_request *blank(const fcgi__connection *connection) {
  fcgi_request *request = atomic_exchange_explicit(place_of(connection), NULL,
                                                   memory_order_acquire);
  if (!request)
    return fcgi__calloc(&connection->server->allocator, sizeof *request);
  memset(request, 0, sizeof *request);
  return request;
}

/* Keep the memory, in place of what is kept there. */
static void keep(fcgi_request *request) {
  const fcgi_allocator *allocator = &request->connection->server->allocator;
  fcgi_request *other = atomic_exchange_explicit(place_of(request->connection),
                                                 request, memory_order_acq_rel);
  fcgi__free(allocator, other);
}

void fcgi__requests_discard(fcgi_server *server) {
  for (unsigned i = 0; i < FCGI__KEPT_REQUESTS; i++)
    fcgi__free(&server->allocator, atomic_load(&server->kept[i].request));
}

fcgi_request *fcgi__request_new(fcgi__connection *connection,
                                const fcgi_event *event) {
  const fcgi_server_config *config = &connection->server->config;
  fcgi_request *request = blank(connection);
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
  if (fcgi_holder_is_busy(&request->holder))
    fcgi__holder_abandon(&request->holder);
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
  keep(request);
}

void fcgi__request_abort(fcgi_request *request, fcgi_abort_reason reason) {
  fcgi_server *server = request->connection->server;
  if (request->kept)
    return; /* Its deadline has been told of. */
  fcgi__observe_count(
      &server->observer,
      (fcgi_metric)(FCGI_METRIC_ABORTS_RECORD + reason - FCGI_ABORT_RECORD), 1);
  request->aborted = reason;
  fcgi__request_cut_input(request);
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

/* Nobody is to be told of the end. Whoever holds the request may free it as
   soon as `closed` is set. */
static void close_unseen(fcgi_request *request) {
  request->phase = FCGI__CLOSED;
  if (atomic_load(&request->held) == 0)
    fcgi__request_free(request);
  else
    atomic_store_explicit(&request->closed, 1, memory_order_release);
}

/* Nobody but a callback that still holds the handle, or the one that takes
   CLOSE, may look at the request now. */
void fcgi__request_close(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  fcgi__request_observe_close(request);
  if (fcgi__request_takes_input(request))
    fcgi__request_cut_input(request);
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

int fcgi__request_let_go(fcgi_request *request) {
  if (!fcgi__ready_let_go(request) || request->phase < FCGI__CLOSE_DUE)
    return 0;
  if (request->phase == FCGI__CLOSED)
    return 1;
  give_close(request);
  return 0;
}

void fcgi__request_release(fcgi_request *request) {
  fcgi__request_leave(request, NULL);
}

void fcgi__request_hold(fcgi_request *request) {
  atomic_fetch_add(&request->held, 1);
}

void fcgi__request_drop(fcgi_request *request) {
  if (fcgi__ready_let_go(request) && request->phase == FCGI__CLOSED)
    fcgi__request_free(request);
}

fcgi_abort_reason fcgi__request_reason(const fcgi_request *request) {
  const fcgi_server *server = request->connection->server;
  if (request->aborted <= FCGI_ABORT_RECORD &&
      atomic_load(&server->stop_wanted) == FCGI__ABORTING)
    return FCGI_ABORT_STOP;
  return request->aborted;
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

static fcgi__path_setting path_setting(const fcgi_server *server) {
  return (fcgi__path_setting){server->config.root_path, server->cgi != NULL};
}

/* Two threads may ask at once: the first block stays. */
int fcgi_request_path(fcgi_request *request, fcgi_path *out) {
  fcgi_server *server = request->connection->server;
  fcgi__path *block = atomic_load(&request->path), *other = NULL;
  const fcgi__path_setting setting = path_setting(server);
  int error;
  if (block) {
    *out = block->texts;
    return 0;
  }
  error = fcgi__path_find(out, &block, request->params, &setting,
                          &server->allocator);
  if (block && !atomic_compare_exchange_strong(&request->path, &other, block)) {
    *out = other->texts;
    fcgi__free(&server->allocator, block);
  }
  return error;
}

const char *fcgi_request_raw_path(fcgi_request *request, size_t *len) {
  fcgi__span raw = {NULL, 0}, uri = {NULL, 0};
  fcgi_path path;
  if (fcgi_request_path(request, &path) == 0) {
    uri.data = fcgi_params_get(request->params, "REQUEST_URI", 11, &uri.len);
    raw = fcgi__path_raw(uri, (fcgi__span){path.path, path.path_len},
                         &request->connection->server->allocator);
  }
  *len = raw.len;
  return raw.data;
}

const char *fcgi_request_script_filename(const fcgi_request *request,
                                         size_t *len) {
  fcgi__span file = fcgi__path_file(request->params);
  *len = file.len;
  return file.data;
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
