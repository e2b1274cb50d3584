/* SPDX-License-Identifier: MIT */
#include "fuzz/visits.h"

#include "fuzz/fuzz.h"

const char *visits_text(void) {
  static char text[SCRIPT_LONGEST];
  if (text[0] == 0)
    memset(text, 'v', sizeof text);
  return text;
}

const void *visits_bytes(uint64_t place) {
  static uint8_t bytes[SCRIPT_LONGEST + VISITS_PERIOD];
  if (bytes[1] == 0)
    for (size_t i = 0; i < sizeof bytes; i++)
      bytes[i] = (uint8_t)(i % VISITS_PERIOD);
  return bytes + place % VISITS_PERIOD;
}

void visits_check_bytes(uint64_t place, const void *data, size_t len) {
  fuzz_require(len > 0);
  while (len > 0) {
    size_t part = len < SCRIPT_LONGEST ? len : SCRIPT_LONGEST;
    fuzz_require(memcmp(data, visits_bytes(place), part) == 0);
    data = (const uint8_t *)data + part;
    place += part;
    len -= part;
  }
}

static uint64_t mix_bytes(uint64_t hash, const uint8_t *data, size_t len) {
  for (size_t i = 0; i < len; i++)
    hash = (hash ^ data[i]) * 1099511628211u;
  return hash;
}

uint64_t visits_mix(uint64_t hash, const void *name, size_t name_len,
                    const void *value, size_t value_len) {
  hash = mix_bytes(hash ^ name_len, name, name_len);
  return mix_bytes(hash ^ value_len << 32, value, value_len) + 1;
}

void visits_name(char text[VISITS_SERIAL], size_t serial) {
  text[0] = '#';
  for (int i = VISITS_SERIAL - 1; i > 0; i--) {
    text[i] = (char)('0' + serial % 10);
    serial /= 10;
  }
}

size_t visits_serial(const fcgi_params *params) {
  fcgi_param first;
  size_t serial = 0;
  if (fcgi_params_at(params, 0, &first) != 0 ||
      first.value_len != VISITS_SERIAL || first.value[0] != '#')
    return VISITS_UNKNOWN;
  for (int i = 1; i < VISITS_SERIAL; i++)
    serial = serial * 10 + (size_t)(first.value[i] - '0');
  fuzz_require(serial < VISITS_MOST);
  return serial;
}

static uint64_t params_heard(const fcgi_params *params) {
  fcgi_param at;
  uint64_t hash = 0;
  for (size_t i = 0; fcgi_params_at(params, i, &at) == 0; i++)
    hash = visits_mix(hash, at.name, at.name_len, at.value, at.value_len);
  return hash;
}

static void hear(visit_stream *stream, const void *data, size_t len) {
  visits_check_bytes(stream->heard, data, len);
  stream->heard += len;
  fuzz_require(stream->heard <= stream->said);
}

/* A body has the bytes that were said, up to those promised. */
static void check_body(const visit *v, const fcgi_event *event) {
  uint64_t said = v->in.said;
  int64_t promised = v->promised;
  fuzz_require(v->in.end_said);
  fuzz_require(event->truncated ==
               (promised >= 0 && said < (uint64_t)promised));
  fuzz_require(event->excess == (promised >= 0 && said > (uint64_t)promised));
  fuzz_require(v->in.heard == (event->excess ? (uint64_t)promised : said));
}

void visits_check_session(visit *v, const fcgi_event *event) {
  fuzz_require(!v->closed);
  switch (event->type) {
  case FCGI_EVENT_REQUEST:
    fuzz_require(!v->announced &&
                 params_heard(event->params) == v->params_said);
    fuzz_require(event->content_length == v->promised);
    v->announced = 1;
    break;
  case FCGI_EVENT_STDIN:
    hear(&v->in, event->data, event->len);
    break;
  case FCGI_EVENT_STDIN_END:
    check_body(v, event);
    break;
  case FCGI_EVENT_DATA:
    hear(&v->data, event->data, event->len);
    break;
  case FCGI_EVENT_DATA_END:
    fuzz_require(v->data.heard == v->data.said && v->data.end_said);
    break;
  case FCGI_EVENT_ABORT:
    fuzz_require(!v->aborted || event->reason > FCGI_ABORT_RECORD);
    v->aborted = 1;
    break;
  default:
    fuzz_require(event->type == FCGI_EVENT_CLOSE && v->ended);
    v->closed = 1;
  }
}

/* What the session said by itself is no application's. */
static void check_end(const visit *v, const fcgi_peer_event *event) {
  fuzz_require(!v->announced || v->ended);
  fuzz_require(!event->unclosed || event->protocol_status != 0);
  if (!v->announced)
    return;
  fuzz_require(v->out.heard == v->out.said && v->err.heard == v->err.said);
  fuzz_require(event->app_status == v->app_status);
  fuzz_require(event->protocol_status == v->status);
}

void visits_check_peer(visit *v, const fcgi_peer_event *event) {
  fuzz_require(v->begun && !v->over);
  switch (event->type) {
  case FCGI_PEER_EVENT_STDOUT:
    if (v->announced)
      hear(&v->out, event->data, event->len);
    break;
  case FCGI_PEER_EVENT_STDERR:
    hear(&v->err, event->data, event->len);
    break;
  case FCGI_PEER_EVENT_STDOUT_END:
  case FCGI_PEER_EVENT_STDERR_END:
    fuzz_require(!v->announced || v->ended);
    break;
  case FCGI_PEER_EVENT_END:
    check_end(v, event);
    v->over = 1;
    break;
  default:
    fuzz_require(event->type == FCGI_PEER_EVENT_CLOSE);
    v->over = 1;
  }
}
