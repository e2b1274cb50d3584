/* SPDX-License-Identifier: MIT */
#include "bench_histogram.h"

enum { SUB_BITS = 6, SUBS = 1 << SUB_BITS };

/* Values below 64 have a bucket each; above, the 6 bits after the highest
   one choose within a doubling. */
static unsigned bucket_of(uint64_t value) {
  unsigned shift;
  if (value < SUBS)
    return (unsigned)value;
  shift = 63 - SUB_BITS - (unsigned)__builtin_clzll(value);
  return (shift + 1) * SUBS + (unsigned)(value >> shift) - SUBS;
}

uint64_t bench_histogram_last(unsigned bucket) {
  unsigned shift;
  if (bucket < SUBS)
    return bucket;
  shift = bucket / SUBS - 1;
  return ((uint64_t)(bucket % SUBS + SUBS) << shift) + ((1ull << shift) - 1);
}

void bench_histogram_add(bench_histogram *histogram, uint64_t value) {
  histogram->bucket[bucket_of(value)]++;
  if (histogram->count++ == 0 || value < histogram->min)
    histogram->min = value;
  histogram->sum += value;
  if (value > histogram->max)
    histogram->max = value;
}

void bench_histogram_merge(bench_histogram *to, const bench_histogram *from) {
  if (from->count == 0)
    return;
  if (to->count == 0 || from->min < to->min)
    to->min = from->min;
  if (from->max > to->max)
    to->max = from->max;
  to->count += from->count;
  to->sum += from->sum;
  for (unsigned i = 0; i < BENCH_BUCKETS; i++)
    to->bucket[i] += from->bucket[i];
}

uint64_t bench_histogram_at(const bench_histogram *histogram, double share) {
  uint64_t seen = 0, rank = (uint64_t)(share * (double)histogram->count);
  if (histogram->count == 0)
    return 0;
  rank += (double)rank < share * (double)histogram->count || rank == 0;
  for (unsigned i = 0; i < BENCH_BUCKETS; i++) {
    seen += histogram->bucket[i];
    if (seen >= rank) {
      uint64_t last = bench_histogram_last(i);
      return last < histogram->max ? last : histogram->max;
    }
  }
  return histogram->max;
}
