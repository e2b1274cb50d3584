/* SPDX-License-Identifier: MIT */
#include "session/exchange.h"
#include <fastcgi/error.h>
#include <string.h>

fcgi__exchange *fcgi__exchange_new(const fcgi_allocator *allocator, uint16_t id,
                                   uint16_t role, int keep, size_t *memory) {
  fcgi__exchange *exchange = fcgi__realloc(allocator, NULL, sizeof *exchange);
  if (!exchange)
    return NULL;
  /* The inline storage needs no zeroing. */
  memset(exchange, 0, offsetof(fcgi__exchange, bytes));
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
  fcgi__params_clear(&exchange->params, allocator);
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

int fcgi__exchange_put_end(fcgi__exchange *exchange,
                           const fcgi_allocator *allocator) {
  uint32_t status = exchange->app_status;
  uint8_t body[8] = {(uint8_t)(status >> 24), (uint8_t)(status >> 16),
                     (uint8_t)(status >> 8), (uint8_t)status,
                     exchange->protocol_status};
  return fcgi__output_record(&exchange->queue, allocator, exchange,
                             FCGI_RECORD_END_REQUEST, body, sizeof body);
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
