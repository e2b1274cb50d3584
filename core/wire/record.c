/* SPDX-License-Identifier: MIT */
/* Specification 3.3: all numbers are big-endian. */
#include <fastcgi/record.h>

void fcgi_record_encode(uint8_t out[FCGI_RECORD_HEADER],
                        const fcgi_record *record) {
  out[0] = record->version;
  out[1] = record->type;
  out[2] = (uint8_t)(record->id >> 8);
  out[3] = (uint8_t)record->id;
  out[4] = (uint8_t)(record->content_len >> 8);
  out[5] = (uint8_t)record->content_len;
  out[6] = record->padding_len;
  out[7] = 0;
}

void fcgi_record_decode(fcgi_record *record,
                        const uint8_t in[FCGI_RECORD_HEADER]) {
  record->version = in[0];
  record->type = in[1];
  record->id = (uint16_t)(in[2] << 8 | in[3]);
  record->content_len = (uint16_t)(in[4] << 8 | in[5]);
  record->padding_len = in[6];
}
