/* SPDX-License-Identifier: MIT */
/* What each record type means to the session. */
#include "session/session.h"
#include <fastcgi/error.h>
#include <string.h>

static int begin_nothing(fcgi_session *session) {
  (void)session;
  return 0;
}

static void content_nothing(fcgi_session *session, const uint8_t *data,
                            size_t len) {
  (void)session;
  (void)data;
  (void)len;
}

static void finish_nothing(fcgi_session *session) {
  (void)session;
}

/* A second BEGIN_REQUEST for an id that is still ours leaves no way to tell
   the records of the two apart. A longer body may come from a later version
   of the protocol (3.3), a shorter one is none. */
static int begin_begin(fcgi_session *session) {
  session->begin_len = 0;
  if (session->current || session->record.content_len < 8)
    return FCGI_ERR_PROTOCOL;
  return 0;
}

static void begin_content(fcgi_session *session, const uint8_t *data,
                          size_t len) {
  size_t room = sizeof session->begin - session->begin_len;
  len = len < room ? len : room;
  memcpy(session->begin + session->begin_len, data, len);
  session->begin_len = (uint8_t)(session->begin_len + len);
}

/* Only the first ABORT_REQUEST says something new. */
static void abort_finish(fcgi_session *session) {
  if (session->current && !session->current->abort_reason)
    fcgi__session_abort_one(session, session->current, FCGI_ABORT_RECORD);
}

static void params_content(fcgi_session *session, const uint8_t *data,
                           size_t len) {
  fcgi__exchange *exchange = session->current;
  int error;
  if (!exchange || exchange->input != FCGI__INPUT_PARAMS || exchange->refused)
    return;
  error = fcgi__params_feed(&exchange->params, &session->allocator,
                            &session->limits, &session->names, data, len);
  fcgi__session_count(session, exchange);
  /* One alone is held to its own limits. */
  if (!error && (session->full ||
                 (session->held > session->memory && session->table.count > 1)))
    error = FCGI_ERR_NOMEM;
  if (error)
    fcgi__session_refuse(session, exchange, fcgi__session_status_for(error));
}

static void params_finish(fcgi_session *session) {
  fcgi__exchange *exchange = session->current;
  if (exchange && session->record.content_len == 0 &&
      exchange->input == FCGI__INPUT_PARAMS)
    fcgi__session_params_end(session, exchange);
}

/* Streams come one after another (6.1): STDIN inside PARAMS means that the
   parameters are not whole, and no handler may see them. */
static int stdin_begin(fcgi_session *session) {
  fcgi__exchange *exchange = session->current;
  if (exchange && exchange->input == FCGI__INPUT_PARAMS) {
    fcgi__session_refuse(session, exchange, 400);
    fcgi__session_params_end(session, exchange);
  }
  return 0;
}

static void give_input(fcgi_session *session, fcgi__exchange *exchange,
                       fcgi_event_type type, const uint8_t *data, size_t len) {
  if (exchange->ended) {
    session->drained += len;
    return;
  }
  fcgi__session_emit(session, type, exchange);
  session->event.data = data;
  session->event.len = len;
}

/* Bytes beyond CONTENT_LENGTH are no part of the body (6.2), those beyond
   FCGI_DATA_LENGTH none of the file (6.4). */
static size_t within_length(fcgi__progress *progress, size_t len) {
  uint64_t left = UINT64_MAX;
  if (progress->promised >= 0)
    left = (uint64_t)progress->promised - progress->received;
  if (len > left) {
    progress->excess = 1;
    len = (size_t)left;
  }
  progress->received += len;
  return len;
}

static void take_input(fcgi_session *session, fcgi__exchange *exchange,
                       fcgi_event_type type, const uint8_t *data, size_t len) {
  size_t wanted = within_length(
      type == FCGI_EVENT_DATA ? &exchange->data : &exchange->body, len);
  session->drained += len - wanted;
  if (wanted > 0)
    give_input(session, exchange, type, data, wanted);
}

static void stdin_content(fcgi_session *session, const uint8_t *data,
                          size_t len) {
  fcgi__exchange *exchange = session->current;
  if (exchange && exchange->input == FCGI__INPUT_STDIN)
    take_input(session, exchange, FCGI_EVENT_STDIN, data, len);
}

static void end_input(fcgi_session *session, fcgi__exchange *exchange,
                      fcgi_event_type type) {
  const fcgi__progress *progress =
      type == FCGI_EVENT_DATA_END ? &exchange->data : &exchange->body;
  if (exchange->spec->streams == FCGI_STREAMS_STDIN_DATA &&
      type == FCGI_EVENT_STDIN_END)
    exchange->input = FCGI__INPUT_DATA;
  else
    fcgi__session_input_done(session, exchange);
  if (exchange->ended)
    return;
  fcgi__session_emit(session, type, exchange);
  session->event.excess = progress->excess;
  session->event.truncated = progress->promised >= 0 &&
                             progress->received < (uint64_t)progress->promised;
}

static void stdin_finish(fcgi_session *session) {
  fcgi__exchange *exchange = session->current;
  if (exchange && session->record.content_len == 0 &&
      exchange->input == FCGI__INPUT_STDIN)
    end_input(session, exchange, FCGI_EVENT_STDIN_END);
}

static void data_content(fcgi_session *session, const uint8_t *data,
                         size_t len) {
  fcgi__exchange *exchange = session->current;
  if (exchange && exchange->input == FCGI__INPUT_DATA)
    take_input(session, exchange, FCGI_EVENT_DATA, data, len);
}

static void data_finish(fcgi_session *session) {
  fcgi__exchange *exchange = session->current;
  if (exchange && session->record.content_len == 0 &&
      exchange->input == FCGI__INPUT_DATA)
    end_input(session, exchange, FCGI_EVENT_DATA_END);
}

/* Types 3, 6, 7, 10 and 11 only ever leave an application (A); from a peer
   they mean nothing and are skipped. */
static const fcgi__record_ops ignored = {begin_nothing, content_nothing,
                                         finish_nothing};
static const fcgi__record_ops unknown = {begin_nothing, content_nothing,
                                         fcgi__unknown_type_finish};
static const fcgi__record_ops values = {begin_nothing, fcgi__values_content,
                                        fcgi__values_finish};
static const fcgi__record_ops application[FCGI_RECORD_DATA + 1] = {
    [FCGI_RECORD_BEGIN_REQUEST] = {begin_begin, begin_content,
                                   fcgi__session_begin},
    [FCGI_RECORD_ABORT_REQUEST] = {begin_nothing, content_nothing,
                                   abort_finish},
    [FCGI_RECORD_PARAMS] = {begin_nothing, params_content, params_finish},
    [FCGI_RECORD_STDIN] = {stdin_begin, stdin_content, stdin_finish},
    [FCGI_RECORD_DATA] = {begin_nothing, data_content, data_finish},
};

const fcgi__record_ops *fcgi__record_ops_of(const fcgi_session *session) {
  uint8_t type = session->record.type;
  if (session->refusals.count > 0 && !session->current &&
      fcgi__refusals_has(session, session->record.id))
    return fcgi__refusals_ops(type);
  if (session->record.id != 0)
    return type <= FCGI_RECORD_DATA && application[type].begin
               ? &application[type]
               : &ignored;
  if (type == FCGI_RECORD_GET_VALUES)
    return &values;
  if (type == FCGI_RECORD_GET_VALUES_RESULT || type == FCGI_RECORD_UNKNOWN_TYPE)
    return &ignored;
  return &unknown;
}
