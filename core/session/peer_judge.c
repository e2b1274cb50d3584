/* SPDX-License-Identifier: MIT */
/* What each record of an application means, and which ones it must not send. */
#include "session/peer.h"
#include <fastcgi/error.h>
#include <string.h>

static void refuse(fcgi_peer *peer, const char *reason) {
  fcgi__peer_fail(peer, FCGI_ERR_PROTOCOL, reason);
}

static void emit(fcgi_peer *peer, fcgi_peer_event_type type) {
  const fcgi__call *call = fcgi__peer_call(peer, peer->record.id);
  peer->event = (fcgi_peer_event){.type = type, .id = peer->record.id};
  if (call)
    peer->event.user_data = call->user_data;
}

/* The stream that a record carries, as bits of its call. */
typedef struct stream_bits {
  unsigned open;                /* It has bytes. */
  unsigned ended;               /* It is over. */
  fcgi_peer_event_type content; /* The event of its bytes. */
  fcgi_peer_event_type end;     /* The event of its end. */
  const char *late;             /* What is wrong about going on with it. */
} stream_bits;

static const stream_bits *stream_of(const fcgi_peer *peer) {
  static const stream_bits out = {
      FCGI__CALL_STDOUT_OPEN, FCGI__CALL_STDOUT_END, FCGI_PEER_EVENT_STDOUT,
      FCGI_PEER_EVENT_STDOUT_END, "STDOUT after its end"};
  static const stream_bits err = {
      FCGI__CALL_STDERR_OPEN, FCGI__CALL_STDERR_END, FCGI_PEER_EVENT_STDERR,
      FCGI_PEER_EVENT_STDERR_END, "STDERR after its end"};
  return peer->record.type == FCGI_RECORD_STDOUT ? &out : &err;
}

/* FastCGI 1.0, 3.3: management records have id 0, the others have not. */
static const char *judge_type(const fcgi_record *record) {
  switch (record->type) {
  case FCGI_RECORD_STDOUT:
  case FCGI_RECORD_STDERR:
  case FCGI_RECORD_END_REQUEST:
    return record->id ? NULL : "an application record with request id 0";
  case FCGI_RECORD_GET_VALUES_RESULT:
  case FCGI_RECORD_UNKNOWN_TYPE:
    return record->id ? "a management record with a request id" : NULL;
  case FCGI_RECORD_BEGIN_REQUEST:
  case FCGI_RECORD_ABORT_REQUEST:
  case FCGI_RECORD_PARAMS:
  case FCGI_RECORD_STDIN:
  case FCGI_RECORD_DATA:
  case FCGI_RECORD_GET_VALUES:
    return "a record type that only a web server sends";
  default:
    return "a record of an unknown type";
  }
}

/* END_REQUEST's and UNKNOWN_TYPE's bodies have 8 bytes (5.5, 4.2). */
static const char *judge_length(const fcgi_record *record) {
  if (record->content_len == 8)
    return NULL;
  if (record->type == FCGI_RECORD_END_REQUEST)
    return "an END_REQUEST whose content is not 8 bytes";
  if (record->type == FCGI_RECORD_UNKNOWN_TYPE)
    return "an UNKNOWN_TYPE whose content is not 8 bytes";
  return NULL;
}

static const char *judge_call(const fcgi_peer *peer) {
  uint8_t type = peer->record.type;
  const fcgi__call *call = fcgi__peer_call(peer, peer->record.id);
  if (type == FCGI_RECORD_GET_VALUES_RESULT)
    return peer->asked || peer->raw ? NULL
                                    : "a GET_VALUES_RESULT nobody asked for";
  if (type == FCGI_RECORD_UNKNOWN_TYPE)
    return NULL;
  if (!call)
    return "a record for a request that is not open";
  if (type != FCGI_RECORD_END_REQUEST && call->bits & stream_of(peer)->ended)
    return stream_of(peer)->late;
  return NULL;
}

/* The answer of a web server, "HTTP/1.1 ...", gives no version and type of a
   record. */
static const char *judge_version(const fcgi_record *record) {
  if (record->version == FCGI_WIRE_VERSION)
    return NULL;
  if (record->version == 'H' && record->type == 'T')
    return "it answers with HTTP; ask a FastCGI application, not a web server";
  return "a record of another version than 1";
}

void fcgi__peer_begin_record(fcgi_peer *peer) {
  const char *wrong = judge_version(&peer->record);
  if (!wrong)
    wrong = judge_type(&peer->record);
  if (!wrong)
    wrong = judge_length(&peer->record);
  if (!wrong)
    wrong = judge_call(peer);
  if (wrong)
    refuse(peer, wrong);
  else if (peer->record.type == FCGI_RECORD_GET_VALUES_RESULT)
    fcgi__params_clear(&peer->values, &peer->allocator);
}

static int values_full(const fcgi_peer *peer) {
  return fcgi__entry_count(&peer->values.entries) >= peer->limits.pairs;
}

static void values_content(fcgi_peer *peer, const uint8_t *data, size_t len) {
  int error = fcgi__params_feed(&peer->values, &peer->allocator, &peer->limits,
                                NULL, data, len);
  if (error == FCGI_ERR_PROTOCOL)
    refuse(peer, "a GET_VALUES_RESULT with a NUL in a name or value");
  else if (error == FCGI_ERR_LIMIT && values_full(peer))
    fcgi__peer_fail(peer, error, "more values than the limit allows");
  else if (error == FCGI_ERR_LIMIT)
    refuse(peer, "a GET_VALUES_RESULT with a pair longer than its record");
  else if (error)
    fcgi__peer_fail(peer, error, fcgi_error_text(error));
}

void fcgi__peer_content(fcgi_peer *peer, const uint8_t *data, size_t len) {
  const stream_bits *stream = stream_of(peer);
  switch (peer->record.type) {
  case FCGI_RECORD_STDOUT:
  case FCGI_RECORD_STDERR:
    fcgi__peer_call(peer, peer->record.id)->bits |= (uint16_t)stream->open;
    emit(peer, stream->content);
    peer->event.data = data;
    peer->event.len = len;
    break;
  case FCGI_RECORD_GET_VALUES_RESULT:
    values_content(peer, data, len);
    break;
  default: /* END_REQUEST, UNKNOWN_TYPE: 8 bytes, as judged. */
    memcpy(peer->body + peer->body_len, data, len);
    peer->body_len = (uint8_t)(peer->body_len + len);
  }
}

static void finish_stream(fcgi_peer *peer) {
  const stream_bits *stream = stream_of(peer);
  fcgi__call *call = fcgi__peer_call(peer, peer->record.id);
  if (peer->record.content_len > 0)
    return;
  call->bits = (uint16_t)((call->bits & ~stream->open) | stream->ended);
  emit(peer, stream->end);
}

/* FastCGI 1.0, 5.5. */
static void finish_end(fcgi_peer *peer) {
  const uint8_t *body = peer->body;
  fcgi__call *call = fcgi__peer_call(peer, peer->record.id);
  if (body[4] > FCGI_END_UNKNOWN_ROLE) {
    refuse(peer, "an END_REQUEST with an unknown protocol status");
    return;
  }
  emit(peer, FCGI_PEER_EVENT_END);
  peer->event.app_status = (uint32_t)body[0] << 24 | (uint32_t)body[1] << 16 |
                           (uint32_t)body[2] << 8 | body[3];
  peer->event.protocol_status = (fcgi_protocol_status)body[4];
  peer->event.unclosed =
      (call->bits & (FCGI__CALL_STDOUT_OPEN | FCGI__CALL_STDERR_OPEN)) != 0;
  if (!(call->bits & FCGI__CALL_KEEP))
    peer->closing = 1;
  call->bits = 0;
  peer->open--;
}

static void finish_values(fcgi_peer *peer) {
  int error = fcgi__params_finish(&peer->values, &peer->allocator);
  if (error == FCGI_ERR_PROTOCOL) {
    refuse(peer, "a GET_VALUES_RESULT that ends inside a pair");
    return;
  }
  if (error) {
    fcgi__peer_fail(peer, error, fcgi_error_text(error));
    return;
  }
  peer->asked -= peer->asked > 0;
  emit(peer, FCGI_PEER_EVENT_VALUES);
  peer->event.values = &peer->values;
}

void fcgi__peer_finish_record(fcgi_peer *peer) {
  switch (peer->record.type) {
  case FCGI_RECORD_END_REQUEST:
    finish_end(peer);
    break;
  case FCGI_RECORD_GET_VALUES_RESULT:
    finish_values(peer);
    break;
  case FCGI_RECORD_UNKNOWN_TYPE:
    emit(peer, FCGI_PEER_EVENT_UNKNOWN_TYPE);
    peer->event.unknown = peer->body[0];
    break;
  default:
    finish_stream(peer);
  }
}
