/* SPDX-License-Identifier: MIT */
#include "fuzz/trace.h"

#include "fuzz/fuzz.h"

#include <fastcgi/pairs.h>
#include <fastcgi/record.h>

static uint64_t mix(uint64_t hash, const void *data, size_t len) {
  const uint8_t *bytes = data;
  for (size_t i = 0; i < len; i++)
    hash = (hash ^ bytes[i]) * 1099511628211u;
  return hash ? hash : 1;
}

static uint64_t mix_params(uint64_t hash, const fcgi_params *params) {
  fcgi_param at;
  for (size_t i = 0; fcgi_params_at(params, i, &at) == 0; i++) {
    size_t len = 0;
    const char *value = fcgi_params_get(params, at.name, at.name_len, &len);
    fuzz_require(value != NULL && value[len] == '\0');
    fuzz_require(strlen(at.name) == at.name_len);
    fuzz_require(strlen(at.value) == at.value_len);
    hash = mix(hash, at.name, at.name_len + 1);
    hash = mix(hash, at.value, at.value_len + 1);
    hash = mix(hash, value, len + 1);
  }
  return hash;
}

static uint64_t mix_values(uint64_t hash, const fcgi_params *values) {
  return values ? mix_params(hash, values) : hash;
}

void sequence_add(sequence *s, const fcgi_peer_event *event) {
  const int64_t facts[] = {event->type,       event->id,
                           event->app_status, event->protocol_status,
                           event->unclosed,   event->unknown};
  int stream = 0;
  if (event->type == FCGI_PEER_EVENT_STDOUT ||
      event->type == FCGI_PEER_EVENT_STDERR) {
    fuzz_require(event->len > 0);
    stream = (int)event->type << 16 | event->id;
  }
  if (!stream || stream != s->stream)
    s->hash = mix(s->hash, facts, sizeof facts);
  s->stream = stream;
  s->hash = mix(s->hash, event->data, event->len);
  s->hash = mix_values(s->hash, event->values);
}

static uint64_t mix_event(uint64_t hash, const fcgi_event *event) {
  const int64_t facts[] = {
      event->type,      event->role,   event->keep,   event->content_length,
      event->truncated, event->excess, event->reason, event->refused};
  if (event->type == FCGI_EVENT_STDIN || event->type == FCGI_EVENT_DATA) {
    fuzz_require(event->len > 0);
    return mix(hash, event->data, event->len);
  }
  hash = mix(hash, facts, sizeof facts);
  return event->type == FCGI_EVENT_REQUEST ? mix_params(hash, event->params)
                                           : hash;
}

void trace_event(trace *t, const fcgi_event *event) {
  size_t at = event->id % TRACE_IDS;
  for (size_t i = 0; t->ids[at].hash && t->ids[at].id != event->id; i++) {
    fuzz_require(i < TRACE_IDS);
    at = (at + 1) % TRACE_IDS;
  }
  t->ids[at].id = event->id;
  t->ids[at].hash = mix_event(
      t->ids[at].hash ? t->ids[at].hash : 14695981039346656037u, event);
}

uint64_t trace_sum(const trace *t) {
  uint64_t sum = 0;
  for (size_t i = 0; i < TRACE_IDS; i++)
    if (t->ids[i].hash)
      sum += mix(t->ids[i].hash, &t->ids[i].id, sizeof t->ids[i].id);
  return sum;
}

void output_add(output *out, const void *data, size_t len) {
  if (out->len + len > out->cap) {
    out->cap = (out->len + len) * 2;
    out->data = realloc(out->data, out->cap);
    fuzz_require(out->data != NULL);
  }
  if (len > 0) /* memcpy to NULL is undefined even for 0 bytes. */
    memcpy(out->data + out->len, data, len);
  out->len += len;
}

void output_free(output *out) {
  free(out->data);
  *out = (output){.len = 0};
}

static void check_values(const uint8_t *content, size_t len) {
  fcgi_pairs pairs = {0};
  const uint8_t *part;
  size_t part_len;
  while (fcgi_pairs_next(&pairs, &content, &len, &part, &part_len) !=
         FCGI_PAIRS_MORE)
    ;
  fuzz_require(fcgi_pairs_complete(&pairs));
}

static void check_record(const fcgi_record *record, const uint8_t *content) {
  switch (record->type) {
  case FCGI_RECORD_STDOUT:
  case FCGI_RECORD_STDERR:
    fuzz_require(record->id != 0);
    break;
  case FCGI_RECORD_END_REQUEST:
    fuzz_require(record->id != 0 && record->content_len == 8);
    fuzz_require(content[4] <= FCGI_END_UNKNOWN_ROLE);
    break;
  case FCGI_RECORD_GET_VALUES_RESULT:
    fuzz_require(record->id == 0);
    check_values(content, record->content_len);
    break;
  default:
    fuzz_require(record->type == FCGI_RECORD_UNKNOWN_TYPE && record->id == 0);
    fuzz_require(record->content_len == 8);
  }
}

static void check_peer_record(const fcgi_record *record,
                              const uint8_t *content) {
  switch (record->type) {
  case FCGI_RECORD_BEGIN_REQUEST:
    fuzz_require(record->id != 0 && record->content_len == 8);
    break;
  case FCGI_RECORD_ABORT_REQUEST:
    fuzz_require(record->id != 0 && record->content_len == 0);
    break;
  case FCGI_RECORD_PARAMS:
  case FCGI_RECORD_STDIN:
  case FCGI_RECORD_DATA:
    fuzz_require(record->id != 0);
    break;
  default:
    fuzz_require(record->type == FCGI_RECORD_GET_VALUES && record->id == 0);
    check_values(content, record->content_len);
  }
}

/* Hands each whole record to `check`; returns the bytes behind the last. */
static size_t check_records(const output *out,
                            void (*check)(const fcgi_record *,
                                          const uint8_t *)) {
  size_t at = 0;
  while (out->len - at >= FCGI_RECORD_HEADER) {
    fcgi_record record;
    fcgi_record_decode(&record, out->data + at);
    fuzz_require(record.version == FCGI_WIRE_VERSION);
    size_t size = (size_t)record.content_len + record.padding_len;
    fuzz_require(size % 8 == 0);
    if (out->len - at - FCGI_RECORD_HEADER < size)
      break;
    at += FCGI_RECORD_HEADER;
    check(&record, out->data + at);
    at += size;
  }
  return out->len - at;
}

void output_check(const output *out) {
  fuzz_require(check_records(out, check_record) == 0);
}

void output_check_peer(const output *out, int may_be_cut) {
  fuzz_require(check_records(out, check_peer_record) == 0 || may_be_cut);
}
