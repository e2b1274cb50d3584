/* SPDX-License-Identifier: MIT */
#include "support/records.h"

#include "support/unit.h"

#include <fastcgi/pairs.h>
#include <fastcgi/record.h>
#include <stdlib.h>
#include <string.h>

void records_free(records *r) {
  free(r->data);
  *r = (records){0};
}

void records_raw(records *r, const void *data, size_t len) {
  if (r->len + len > r->cap) {
    r->cap = (r->len + len) * 2;
    r->data = realloc(r->data, r->cap);
    assert_non_null(r->data);
  }
  if (len > 0)
    memcpy(r->data + r->len, data, len);
  r->len += len;
}

void records_put(records *r, uint8_t type, uint16_t id, const void *content,
                 size_t len, uint8_t pad) {
  uint8_t header[FCGI_RECORD_HEADER], padding[255];
  assert_in_range(len, 0, FCGI_RECORD_CONTENT);
  fcgi_record_encode(
      header, &(fcgi_record){FCGI_WIRE_VERSION, type, id, (uint16_t)len, pad});
  memset(padding, 0xee, sizeof padding);
  records_raw(r, header, sizeof header);
  records_raw(r, content, len);
  records_raw(r, padding, pad);
}

void records_begin(records *r, uint16_t id, uint16_t role, int flags) {
  const uint8_t body[8] = {(uint8_t)(role >> 8), (uint8_t)role, (uint8_t)flags};
  records_put(r, FCGI_RECORD_BEGIN_REQUEST, id, body, sizeof body, 0);
}

void records_param(records *r, uint16_t id, const char *name,
                   const char *value) {
  size_t name_len = strlen(name), value_len = strlen(value);
  uint8_t *pair = malloc(fcgi_pair_size(name_len, value_len));
  size_t len = fcgi_pair_encode(pair, name, name_len, value, value_len);
  records_params(r, id, pair, len);
  free(pair);
}

void records_params(records *r, uint16_t id, const void *data, size_t len) {
  records_put(r, FCGI_RECORD_PARAMS, id, data, len, 0);
}

void records_params_end(records *r, uint16_t id) {
  records_put(r, FCGI_RECORD_PARAMS, id, NULL, 0, 0);
}

void records_stdin(records *r, uint16_t id, const char *text) {
  records_put(r, FCGI_RECORD_STDIN, id, text, strlen(text), 0);
}

void records_stdin_end(records *r, uint16_t id) {
  records_put(r, FCGI_RECORD_STDIN, id, NULL, 0, 0);
}

void records_data(records *r, uint16_t id, const char *text) {
  records_put(r, FCGI_RECORD_DATA, id, text, strlen(text), 0);
}

void records_data_end(records *r, uint16_t id) {
  records_put(r, FCGI_RECORD_DATA, id, NULL, 0, 0);
}

void records_abort(records *r, uint16_t id) {
  records_put(r, FCGI_RECORD_ABORT_REQUEST, id, NULL, 0, 0);
}

void records_open(records *r, uint16_t id) {
  records_begin(r, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(r, id, "A", "b");
  records_params_end(r, id);
}

void records_get(records *r, uint16_t id) {
  records_open(r, id);
  records_stdin_end(r, id);
}
