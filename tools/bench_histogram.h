/* SPDX-License-Identifier: MIT */
/* A log-linear histogram: 64 buckets a doubling, so that a value read from it
   is at most 1/64 too high. */
#ifndef FCGI_TOOLS_BENCH_HISTOGRAM_H
#define FCGI_TOOLS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
  BENCH_BUCKETS_A_DOUBLING = 64,
  BENCH_BUCKETS = 64 * 59
}; /* Any 64-bit value has its bucket. */

/* Zero-initialised is empty. */
typedef struct bench_histogram {
  uint64_t bucket[BENCH_BUCKETS]; /* Values counted. */
  uint64_t count, sum, max, min;  /* Of all values; `min` once count > 0. */
} bench_histogram;

void bench_histogram_add(bench_histogram *histogram, uint64_t value);

void bench_histogram_merge(bench_histogram *to, const bench_histogram *from);

/* The least bucket's end that `share` (0 to 1) of the values do not exceed;
   never above the greatest value. 0 when there is none. */
uint64_t bench_histogram_at(const bench_histogram *histogram, double share);

/* The greatest value that is counted in a bucket. */
uint64_t bench_histogram_last(unsigned bucket);

#endif
