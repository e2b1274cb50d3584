/* SPDX-License-Identifier: MIT */
#include "session/exchange.h"
#include <fastcgi/error.h>
#include <string.h>

fcgi__exchange *fcgi__exchange_new(const fcgi_allocator *allocator, uint16_t id,
                                   uint16_t role, int keep, int lean) {
  size_t size = lean ? offsetof(fcgi__exchange, item) : sizeof(fcgi__exchange);
  fcgi__exchange *exchange = fcgi__realloc(allocator, NULL, size);
  if (!exchange)
    return NULL;
  /* The inline storage needs no zeroing. */
  memset(exchange, 0, lean ? size : offsetof(fcgi__exchange, bytes));
  exchange->id = id;
  exchange->role = role;
  exchange->keep = keep ? 1 : 0;
  exchange->body.promised = exchange->data.promised = -1;
  exchange->item_free = lean ? 0 : 1;
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
  if (exchange->protocol_status != FCGI_STATUS_COMPLETE &&
      exchange->role != FCGI_ROLE_AUTHORIZER)
    return 0;
  if (exchange->stderr_used)
    error = fcgi__queue_record(&exchange->queue, allocator, exchange,
                               FCGI_RECORD_STDERR, NULL, 0);
  if (error)
    return error;
  return fcgi__queue_record(&exchange->queue, allocator, exchange,
                            FCGI_RECORD_STDOUT, NULL, 0);
}

int fcgi__exchange_put_end(fcgi__exchange *exchange,
                           const fcgi_allocator *allocator) {
  uint32_t status = exchange->app_status;
  uint8_t body[8] = {(uint8_t)(status >> 24), (uint8_t)(status >> 16),
                     (uint8_t)(status >> 8), (uint8_t)status,
                     exchange->protocol_status};
  return fcgi__queue_record(&exchange->queue, allocator, exchange,
                            FCGI_RECORD_END_REQUEST, body, sizeof body);
}

static const struct refusal {
  int status;       /* Of HTTP. */
  const char *head; /* With the empty line. */
  const char *body; /* Left out where the request was HEAD. */
} refusals[] = {
    {400,
     "Content-Type: text/plain\r\nContent-Length: 16\r\n"
     "Status: 400 Bad Request\r\n\r\n",
     "400 Bad Request\n"},
    {431,
     "Content-Type: text/plain\r\nContent-Length: 36\r\n"
     "Status: 431 Request Header Fields Too Large\r\n\r\n",
     "431 Request Header Fields Too Large\n"},
    {503,
     "Content-Type: text/plain\r\nContent-Length: 24\r\n"
     "Status: 503 Service Unavailable\r\n\r\n",
     "503 Service Unavailable\n"},
};

static const struct refusal *refusal_of(int status) {
  size_t i = 0, last = sizeof refusals / sizeof *refusals - 1;
  while (i < last && refusals[i].status != status)
    i++;
  return &refusals[i];
}

static int put_text(fcgi__exchange *exchange, const fcgi_allocator *allocator,
                    const char *text) {
  return fcgi__queue_write(&exchange->queue, allocator, exchange,
                           FCGI_RECORD_STDOUT, (const uint8_t *)text,
                           strlen(text));
}

int fcgi__exchange_refuse(fcgi__exchange *exchange,
                          const fcgi_allocator *allocator, int status) {
  const struct refusal *refusal = refusal_of(status);
  int error = put_text(exchange, allocator, refusal->head);
  if (!error && !exchange->bodiless)
    error = put_text(exchange, allocator, refusal->body);
  return error;
}
