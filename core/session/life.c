/* SPDX-License-Identifier: MIT */
/* The life of one exchange: begin, refuse, abort, end, forget. */
#include "session/session.h"
#include <fastcgi/error.h>
#include <string.h>

static void link_all(fcgi_session *session, fcgi__exchange *exchange) {
  exchange->all_next = session->all;
  if (session->all)
    session->all->all_prev = exchange;
  session->all = exchange;
}

static void unlink_all(fcgi_session *session, fcgi__exchange *exchange) {
  if (exchange->all_prev)
    exchange->all_prev->all_next = exchange->all_next;
  else
    session->all = exchange->all_next;
  if (exchange->all_next)
    exchange->all_next->all_prev = exchange->all_prev;
}

/* The list begins with the youngest. */
static uint32_t oldest_in_params(const fcgi_session *session) {
  uint32_t serial = 0;
  for (const fcgi__exchange *at = session->all; at; at = at->all_next)
    if (at->input == FCGI__INPUT_PARAMS)
      serial = at->serial;
  return serial;
}

static void enter_params(fcgi_session *session, fcgi__exchange *exchange) {
  exchange->serial = ++session->begun;
  if (session->in_params++ == 0)
    session->unfinished = exchange->serial;
}

static void leave_params(fcgi_session *session, fcgi__exchange *exchange,
                         fcgi__input next) {
  int before = exchange->input == FCGI__INPUT_PARAMS;
  exchange->input = (uint8_t)next;
  if (!before)
    return;
  session->in_params--;
  if (session->in_params == 0)
    session->unfinished = 0;
  else if (exchange->serial == session->unfinished)
    session->unfinished = oldest_in_params(session);
}

static void stop_draining_one(fcgi_session *session, fcgi__exchange *exchange) {
  session->draining -= exchange->draining;
  exchange->draining = 0;
}

void fcgi__session_count(fcgi_session *session, fcgi__exchange *exchange) {
  size_t held = sizeof *exchange + fcgi__params_held(&exchange->params);
  session->held += held - exchange->held;
  exchange->held = held;
}

void fcgi__session_forget(fcgi_session *session, fcgi__exchange *exchange) {
  session->held -= exchange->held;
  if (session->current == exchange)
    session->current = NULL;
  leave_params(session, exchange, FCGI__INPUT_DONE);
  stop_draining_one(session, exchange);
  unlink_all(session, exchange);
  fcgi__table_remove(&session->table, exchange);
  fcgi__spare_give(session->spare, exchange, &session->allocator);
}

/* FastCGI 1.0, 5.1. */
void fcgi__session_begin(fcgi_session *session) {
  const uint8_t *body = session->begin;
  uint16_t role = (uint16_t)(body[0] << 8 | body[1]);
  const fcgi_role_spec *spec = fcgi__role_find(session, role);
  int refuse = session->table.count >= session->max_multiplexed ||
               session->held >= session->memory || session->full;
  fcgi__exchange *exchange, *spare;
  if (!spec) {
    fcgi__session_reject(session, role, body[2] & FCGI_BEGIN_KEEP);
    return;
  }
  if (refuse) {
    fcgi__refusals_begin(session, spec);
    return;
  }
  spare = session->spare ? fcgi__spare_take(session->spare) : NULL;
  exchange =
      fcgi__exchange_new(&session->allocator, spare, session->record.id, role,
                         body[2] & FCGI_BEGIN_KEEP, &session->held);
  if (!exchange) {
    fcgi__session_fail(session, FCGI_ERR_NOMEM);
    return;
  }
  fcgi__session_count(session, exchange);
  link_all(session, exchange);
  fcgi__table_put(&session->table, &session->allocator, exchange);
  enter_params(session, exchange);
  exchange->spec = spec;
}

/* PARAMS and STDIN of a refused request are still to be taken from the wire;
   its answer goes out at PARAMS's end (6.2: not before). The parameters that
   have come stay for CLOSE, which may be logged. */
void fcgi__session_refuse(fcgi_session *session, fcgi__exchange *exchange,
                          int status) {
  exchange->refused = status;
  /* Several web servers forward or refuse a body that answers HEAD. */
  exchange->bodiless = fcgi_params_is_head(&exchange->params) ? 1 : 0;
  if (status == 503) { /* Memory is what is lacking. */
    fcgi__params_clear(&exchange->params, &session->allocator);
    fcgi__session_count(session, exchange);
  }
}

static void answer_refused(fcgi_session *session, fcgi__exchange *exchange) {
  exchange->ended = 1;
  if (fcgi__exchange_refuse(exchange, &session->allocator, exchange->refused)) {
    fcgi__session_fail(session, FCGI_ERR_NOMEM);
    return;
  }
  exchange->answered = 1;
  fcgi__session_end_one(session, exchange);
}

int fcgi__session_status_for(int error) {
  if (error == FCGI_ERR_LIMIT)
    return 431;
  return error == FCGI_ERR_NOMEM ? 503 : 400;
}

void fcgi__session_params_end(fcgi_session *session, fcgi__exchange *exchange) {
  int error = 0, none = exchange->spec->streams == FCGI_STREAMS_NONE;
  leave_params(session, exchange, none ? FCGI__INPUT_DONE : FCGI__INPUT_STDIN);
  if (!exchange->refused) {
    error = fcgi__params_finish(&exchange->params, &session->allocator);
    fcgi__session_count(session, exchange);
    if (!error)
      error = fcgi__params_content_length(&exchange->params,
                                          &exchange->body.promised);
    if (error)
      fcgi__session_refuse(session, exchange, fcgi__session_status_for(error));
  }
  if (exchange->refused) {
    answer_refused(session, exchange);
    return;
  }
  if (exchange->spec->streams == FCGI_STREAMS_STDIN_DATA)
    exchange->data.promised = fcgi__params_known_number(
        &exchange->params, FCGI__NAME_FCGI_DATA_LENGTH);
  exchange->announced = 1;
  fcgi__session_emit(session, FCGI_EVENT_REQUEST, exchange);
}

/* Nothing more will be read for this exchange. */
void fcgi__session_input_done(fcgi_session *session, fcgi__exchange *exchange) {
  leave_params(session, exchange, FCGI__INPUT_DONE);
  if (!exchange->draining)
    return;
  stop_draining_one(session, exchange);
  fcgi__session_end_one(session, exchange);
}

static void close_it(fcgi_session *session, fcgi__exchange *exchange) {
  if (exchange->announced || exchange->refused) {
    exchange->close_due = 1;
    fcgi__session_due(session, exchange);
  } else {
    fcgi__session_forget(session, exchange);
  }
}

void fcgi__session_sent(fcgi_session *session, fcgi__exchange *exchange) {
  if (exchange->end_queued && exchange->queued == 0)
    close_it(session, exchange);
}

/* The exchange has ended and its streams are closed: queue END_REQUEST if its
   input is over, else wait for that (an END_REQUEST before STDIN's end stalls
   or confuses several web servers). */
int fcgi__session_end_one(fcgi_session *session, fcgi__exchange *exchange) {
  int error = 0;
  if (exchange->end_queued)
    return 0;
  if (exchange->input != FCGI__INPUT_DONE) {
    exchange->draining = 1;
    session->draining++;
    error = fcgi__exchange_close_streams(exchange, &session->allocator);
  } else {
    error = fcgi__exchange_put_ends(exchange, &session->allocator);
    exchange->end_queued = 1;
    if (!exchange->keep)
      session->closing = 1;
  }
  exchange->streams_closed = 1;
  if (error)
    fcgi__session_fail(session, error);
  else
    fcgi__session_touch(session, exchange);
  return error;
}

void fcgi__session_abort_one(fcgi_session *session, fcgi__exchange *exchange,
                             fcgi_abort_reason reason) {
  exchange->abort_reason = (uint8_t)reason;
  if (session->gone && (exchange->ended || !exchange->announced)) {
    close_it(session, exchange);
  } else if (exchange->announced && !exchange->ended) {
    fcgi__session_input_done(session, exchange);
    exchange->abort_due = 1;
    fcgi__session_due(session, exchange);
  } else {
    exchange->ended = 1;
    fcgi__session_input_done(session, exchange);
    fcgi__session_end_one(session, exchange);
  }
}

void fcgi_session_abort(fcgi_session *session, fcgi_abort_reason reason) {
  fcgi__exchange *next;
  if (session->gone)
    return;
  session->gone = 1;
  session->in_len = 0;
  fcgi__session_drop_output(session);
  fcgi__refusals_clear(session);
  for (fcgi__exchange *at = session->all; at; at = next) {
    next = at->all_next;
    if (at != session->closed)
      fcgi__session_abort_one(session, at, reason);
  }
}

int fcgi_session_end(fcgi_session *session, uint16_t id, uint32_t app_status,
                     fcgi_protocol_status protocol_status) {
  fcgi__exchange *exchange = fcgi__table_get(&session->table, id);
  if (!exchange || !exchange->announced || exchange->ended)
    return FCGI_ERR_STATE;
  exchange->ended = 1;
  exchange->app_status = app_status;
  exchange->protocol_status = (uint8_t)protocol_status;
  if (session->gone) {
    close_it(session, exchange);
    return 0;
  }
  return fcgi__session_end_one(session, exchange);
}

int fcgi_session_keep_params(fcgi_session *session, uint16_t id) {
  fcgi__exchange *exchange = fcgi__table_get(&session->table, id);
  if (!exchange || !exchange->announced || exchange->kept)
    return FCGI_ERR_STATE;
  exchange->kept = 1;
  return 0;
}

void fcgi_session_drop_params(const fcgi_params *params,
                              const fcgi_allocator *allocator) {
  const fcgi_allocator filled = fcgi__allocator(allocator);
  const size_t at = offsetof(fcgi__exchange, params);
  fcgi__exchange_free((fcgi__exchange *)((uintptr_t)params - at), &filled);
}

void fcgi_session_stop_draining(fcgi_session *session) {
  fcgi__exchange *next;
  /* Once it is gone, also for lack of memory here, everything was aborted. */
  for (fcgi__exchange *at = session->all; at && !session->gone; at = next) {
    next = at->all_next;
    if (!at->draining)
      continue;
    session->closing = 1;
    session->unread = 1;
    fcgi__session_input_done(session, at);
  }
  if (!session->gone)
    fcgi__refusals_stop_draining(session);
}

void fcgi_session_stop(fcgi_session *session) {
  session->closing = 1;
}
