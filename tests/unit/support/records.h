/* SPDX-License-Identifier: MIT */
/* Bytes as a web server sends them, built record by record. */
#ifndef UNIT_SUPPORT_RECORDS_H
#define UNIT_SUPPORT_RECORDS_H

#include <fastcgi/protocol.h>
#include <stddef.h>
#include <stdint.h>

/* Growable bytes. Zero-initialised is empty; records_free it. */
typedef struct records {
  uint8_t *data; /* The bytes. */
  size_t len;    /* Number of bytes. */
  size_t cap;    /* How many there is room for. */
} records;

void records_free(records *r);

/* Bytes as they are. */
void records_raw(records *r, const void *data, size_t len);

/* One record; `pad` bytes of 0xee follow its content. */
void records_put(records *r, uint8_t type, uint16_t id, const void *content,
                 size_t len, uint8_t pad);

void records_begin(records *r, uint16_t id, uint16_t role, int flags);

/* PARAMS: one record with one pair; one with any bytes; the empty one. */
void records_param(records *r, uint16_t id, const char *name,
                   const char *value);
void records_params(records *r, uint16_t id, const void *data, size_t len);
void records_params_end(records *r, uint16_t id);

/* A text on STDIN or DATA, and the empty records. */
void records_stdin(records *r, uint16_t id, const char *text);
void records_stdin_end(records *r, uint16_t id);
void records_data(records *r, uint16_t id, const char *text);
void records_data_end(records *r, uint16_t id);

void records_abort(records *r, uint16_t id);

/* BEGIN as a responder that keeps the connection, one parameter, the end of
   PARAMS: a request whose body is still to come. */
void records_open(records *r, uint16_t id);

/* The same and an empty STDIN: a whole request. */
void records_get(records *r, uint16_t id);

#endif
