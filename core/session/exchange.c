/* SPDX-License-Identifier: MIT */
#include "session/exchange.h"
#include <fastcgi/error.h>
#include <string.h>

/* The item and its storage need no zeroing: whoever takes it fills it in. */
enum { ZEROED = offsetof(fcgi__exchange, item) };

static fcgi__exchange *blank(const fcgi_allocator *allocator) {
  fcgi__exchange *exchange = fcgi__realloc(allocator, NULL, sizeof *exchange);
  if (exchange)
    memset(exchange, 0, ZEROED);
  return exchange;
}

/* Its parameters keep their memory. */
static fcgi__exchange *blank_again(fcgi__exchange *exchange) {
  fcgi__buffer bytes = exchange->params.bytes;
  fcgi__buffer entries = exchange->params.entries;
  bytes.len = entries.len = 0;
  memset(exchange, 0, ZEROED);
  exchange->params.bytes = bytes;
  exchange->params.entries = entries;
  return exchange;
}

fcgi__exchange *fcgi__exchange_new(const fcgi_allocator *allocator,
                                   fcgi__exchange *spare, uint16_t id,
                                   uint16_t role, int keep, size_t *memory) {
  fcgi__exchange *exchange = spare ? blank_again(spare) : blank(allocator);
  if (!exchange)
    return NULL;
  exchange->id = id;
  exchange->role = role;
  exchange->keep = keep ? 1 : 0;
  exchange->body.promised = exchange->data.promised = -1;
  exchange->item_free = 1;
  exchange->memory = memory;
  return exchange;
}

void fcgi__exchange_free(fcgi__exchange *exchange,
                         const fcgi_allocator *allocator) {
  if (exchange->kept && atomic_fetch_sub(&exchange->holders, 1) == 0)
    return;
  fcgi__params_free(&exchange->params, allocator);
  fcgi__free(allocator, exchange);
}

/* FastCGI 1.0, 6.1: STDERR needs closing only if it was used, STDOUT always;
   a request that the protocol rejected has had no streams (5.5), save for the
   no to an authorizer. */
int fcgi__exchange_close_streams(fcgi__exchange *exchange,
                                 const fcgi_allocator *allocator) {
  int error = 0;
  if (exchange->protocol_status != FCGI_END_COMPLETE &&
      exchange->role != FCGI_ROLE_AUTHORIZER)
    return 0;
  if (exchange->stderr_used)
    error = fcgi__output_record(&exchange->queue, allocator, exchange,
                                FCGI_RECORD_STDERR, NULL, 0);
  if (error)
    return error;
  return fcgi__output_record(&exchange->queue, allocator, exchange,
                             FCGI_RECORD_STDOUT, NULL, 0);
}

static int put_end(fcgi__exchange *exchange, const fcgi_allocator *allocator) {
  uint32_t status = exchange->app_status;
  uint8_t body[8] = {(uint8_t)(status >> 24), (uint8_t)(status >> 16),
                     (uint8_t)(status >> 8), (uint8_t)status,
                     exchange->protocol_status};
  return fcgi__output_record(&exchange->queue, allocator, exchange,
                             FCGI_RECORD_END_REQUEST, body, sizeof body);
}

/* An end of STDOUT and END_REQUEST, which most requests end with, are one piece
   of 24 bytes. */
static int put_usual_ends(fcgi__exchange *exchange,
                          const fcgi_allocator *allocator) {
  uint8_t high = (uint8_t)(exchange->id >> 8), low = (uint8_t)exchange->id;
  uint32_t status = exchange->app_status;
  const uint8_t records[24] = {FCGI_WIRE_VERSION,
                               FCGI_RECORD_STDOUT,
                               high,
                               low,
                               [8] = FCGI_WIRE_VERSION,
                               FCGI_RECORD_END_REQUEST,
                               high,
                               low,
                               0,
                               8,
                               [16] = (uint8_t)(status >> 24),
                               (uint8_t)(status >> 16),
                               (uint8_t)(status >> 8),
                               (uint8_t)status,
                               FCGI_END_COMPLETE};
  return fcgi__output_records(&exchange->queue, allocator, exchange, records,
                              sizeof records);
}

int fcgi__exchange_put_ends(fcgi__exchange *exchange,
                            const fcgi_allocator *allocator) {
  int error = 0;
  if (!exchange->streams_closed && !exchange->stderr_used &&
      exchange->protocol_status == FCGI_END_COMPLETE)
    return put_usual_ends(exchange, allocator);
  if (!exchange->streams_closed)
    error = fcgi__exchange_close_streams(exchange, allocator);
  return error ? error : put_end(exchange, allocator);
}

#define HEAD(length, line)                                                     \
  "Content-Type: text/plain\r\nContent-Length: " length "\r\nStatus: " line    \
  "\r\n\r\n"
#define REFUSAL(status, length, line)                                          \
  { status, sizeof HEAD(length, line) - 1, HEAD(length, line) line "\n" }

static const struct refusal {
  int status;       /* Of HTTP. */
  size_t head_len;  /* The head alone, where the request was HEAD. */
  const char *text; /* Head and body. */
} refusals[] = {
    REFUSAL(400, "16", "400 Bad Request"),
    REFUSAL(431, "36", "431 Request Header Fields Too Large"),
    REFUSAL(503, "24", "503 Service Unavailable"),
};

const char *fcgi__exchange_refusal(const fcgi__exchange *exchange, int status,
                                   size_t *len) {
  size_t i = 0, last = sizeof refusals / sizeof *refusals - 1;
  while (i < last && refusals[i].status != status)
    i++;
  *len = exchange && exchange->bodiless ? refusals[i].head_len
                                        : strlen(refusals[i].text);
  return refusals[i].text;
}

int fcgi__exchange_refuse(fcgi__exchange *exchange,
                          const fcgi_allocator *allocator, int status) {
  size_t len;
  const char *text = fcgi__exchange_refusal(exchange, status, &len);
  return fcgi__output_write(&exchange->queue, allocator, exchange,
                            FCGI_RECORD_STDOUT, (const uint8_t *)text, len);
}
