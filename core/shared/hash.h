/* SPDX-License-Identifier: MIT */
#ifndef FCGI_SHARED_HASH_H
#define FCGI_SHARED_HASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-1-3: who does not know the seed cannot find keys that collide. */
uint64_t fcgi__shared_hash(const uint64_t seed[2], const void *data,
                           size_t len);

/* Fill a seed with what cannot be guessed. */
void fcgi__shared_seed(uint64_t seed[2]);

#endif
