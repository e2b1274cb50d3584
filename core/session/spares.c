/* SPDX-License-Identifier: MIT */
#include "session/spares.h"
#include "base/alloc.h"
#include <fastcgi/error.h>

enum {
  MOST_KEPT = 4096
}; /* Bytes of the texts and of the list of a request. */

int fcgi_spares_new(fcgi_spares **out, unsigned count,
                    const fcgi_allocator *allocator) {
  const fcgi_allocator given = fcgi__allocator(allocator);
  fcgi_spares *spares;
  if (count == 0 || (count & (count - 1)) || count > UINT16_MAX)
    return FCGI_ERR_INVALID;
  spares = fcgi__calloc(&given, sizeof *spares + count * sizeof *spares->slots);
  if (!spares)
    return FCGI_ERR_NOMEM;
  spares->allocator = given;
  spares->count = count;
  *out = spares;
  return 0;
}

void fcgi_spares_free(fcgi_spares *spares) {
  if (!spares)
    return;
  const fcgi_allocator allocator = spares->allocator;
  for (unsigned i = 0; i < spares->count; i++) {
    fcgi__exchange *exchange = atomic_load(&spares->slots[i].exchange);
    if (exchange)
      fcgi__exchange_free(exchange, &allocator);
  }
  fcgi__free(&allocator, spares);
}

/* Sessions lie apart, so their addresses spread over the slots. */
fcgi__spare *fcgi__spares_slot(fcgi_spares *spares, const void *session) {
  uint64_t where = (uint64_t)(uintptr_t)session * 0x9e3779b97f4a7c15u;
  return spares ? &spares->slots[(where >> 48) & (spares->count - 1)] : NULL;
}

fcgi__exchange *fcgi__spare_take(fcgi__spare *slot) {
  return atomic_exchange_explicit(&slot->exchange, NULL, memory_order_acquire);
}

static int is_small(const fcgi_params *params) {
  return params->bytes.cap <= MOST_KEPT && params->entries.cap <= MOST_KEPT &&
         params->joined.cap == 0;
}

void fcgi__spare_give(fcgi__spare *slot, fcgi__exchange *exchange,
                      const fcgi_allocator *allocator) {
  if (slot && !exchange->kept && is_small(&exchange->params))
    exchange = atomic_exchange_explicit(&slot->exchange, exchange,
                                        memory_order_acq_rel);
  if (exchange)
    fcgi__exchange_free(exchange, allocator);
}
