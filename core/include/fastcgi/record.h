/* SPDX-License-Identifier: MIT */
/* The 8-byte record header (specification 3.3). Pure functions. */
#ifndef FASTCGI_RECORD_H
#define FASTCGI_RECORD_H

#include <fastcgi/export.h>
#include <fastcgi/protocol.h>
#include <stdint.h>

typedef struct fcgi_record {
  uint8_t version;      /* FCGI_WIRE_VERSION in every valid record. */
  uint8_t type;         /* One of fcgi_record_type, or unknown. */
  uint16_t id;          /* Request id; 0 for management records. */
  uint16_t content_len; /* Bytes of content that follow the header. */
  uint8_t padding_len;  /* Bytes to skip after the content. */
} fcgi_record;

/* Writes `record` as 8 bytes; the reserved byte becomes 0. */
FCGI_EXPORT void fcgi_record_encode(uint8_t out[FCGI_RECORD_HEADER],
                                    const fcgi_record *record);

/* Reads 8 bytes into `record`. Nothing is judged: any bytes decode. */
FCGI_EXPORT void fcgi_record_decode(fcgi_record *record,
                                    const uint8_t in[FCGI_RECORD_HEADER]);

#endif
