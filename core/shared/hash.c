/* SPDX-License-Identifier: MIT */
#include "shared/hash.h"
#include "os/clock.h"
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/random.h>
#endif

static inline uint64_t rotate(uint64_t word, int bits) {
  return word << bits | word >> (64 - bits);
}

static inline void mix(uint64_t s[4]) {
  s[0] += s[1];
  s[1] = rotate(s[1], 13) ^ s[0];
  s[0] = rotate(s[0], 32);
  s[2] += s[3];
  s[3] = rotate(s[3], 16) ^ s[2];
  s[0] += s[3];
  s[3] = rotate(s[3], 21) ^ s[0];
  s[2] += s[1];
  s[1] = rotate(s[1], 17) ^ s[2];
  s[2] = rotate(s[2], 32);
}

static inline void take(uint64_t s[4], uint64_t word) {
  s[3] ^= word;
  mix(s);
  s[0] ^= word;
}

/* In the byte order of this machine: no other one sees it. */
uint64_t fcgi__shared_hash(const uint64_t seed[2], const void *data,
                           size_t len) {
  uint64_t s[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                   seed[0] ^ 0x6c7967656e657261u,
                   seed[1] ^ 0x7465646279746573u};
  const unsigned char *at = data;
  uint64_t word = 0;
  for (size_t left = len; left >= 8; left -= 8, at += 8) {
    memcpy(&word, at, 8);
    take(s, word);
  }
  word = (uint64_t)len << 56;
  memcpy(&word, at, len % 8);
  take(s, word);
  s[2] ^= 0xff;
  for (int i = 0; i < 3; i++)
    mix(s);
  return s[0] ^ s[1] ^ s[2] ^ s[3];
}

void fcgi__shared_seed(uint64_t seed[2]) {
#ifdef __linux__
  if (getrandom(seed, 16, 0) == 16)
    return;
#endif
  seed[0] = fcgi__now_us() * 0x9e3779b97f4a7c15u;
  seed[1] = (uint64_t)getpid() ^ (uint64_t)(uintptr_t)seed;
}
