/* SPDX-License-Identifier: MIT */
#include "os/sieve.h"

#ifndef __linux__

int fcgi__sieve_attach(int fd, const fcgi__allow *allow) {
  (void)fd;
  (void)allow;
  return 0;
}

void fcgi__sieve_detach(int fd) {
  (void)fd;
}

uint32_t fcgi__sieve_dropped(int fd) {
  (void)fd;
  return 0;
}

#else

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>

/* A program of the classic packet filter. Who sends is read from the network's
   header, in front of what a TCP socket is given. */
enum {
  VERSION_AT = SKF_NET_OFF,   /* Its upper four bits: 4 or 6. */
  IPV4_AT = SKF_NET_OFF + 12, /* Where an IPv4 packet comes from. */
  IPV6_AT = SKF_NET_OFF + 8,  /* Where an IPv6 packet comes from. */
  FRAME = 8,                  /* Instructions beside those of blocks. */
  OF_IPV4 = 4,                /* For a block, at most. */
  OF_IPV6 = 13                /* For a block of IPv6, at most. */
};

typedef struct program {
  struct sock_filter code[BPF_MAXINSNS]; /* Its instructions. */
  unsigned len;                          /* Number of instructions. */
} program;

static void put(program *p, int code, uint32_t k) {
  p->code[p->len++] = (struct sock_filter){.code = (uint16_t)code, .k = k};
}

static void put_return(program *p, int let_in) {
  put(p, BPF_RET | BPF_K, let_in ? UINT32_MAX : 0);
}

static uint32_t word_at(const fcgi__allow_block *block, unsigned at) {
  uint32_t word;
  memcpy(&word, block->bytes + (size_t)4 * at, sizeof word);
  return ntohl(word);
}

/* Where the first `bits` of the loaded word are others, `rest` instructions
   are left out. */
static void compare(program *p, uint32_t word, unsigned bits, unsigned rest) {
  uint32_t mask = bits < 32 ? ~(UINT32_MAX >> bits) : UINT32_MAX;
  put(p, BPF_ALU | BPF_AND | BPF_K, mask);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, word & mask);
  p->code[p->len - 1].jf = (uint8_t)rest;
}

static void put_ipv4(program *p, const fcgi__allow_block *block) {
  put(p, BPF_MISC | BPF_TXA, 0);
  compare(p, word_at(block, 0), block->bits, 1);
  put_return(p, 1);
}

static void put_ipv6(program *p, const fcgi__allow_block *block) {
  unsigned words = (block->bits + 31) / 32;
  for (unsigned i = 0; i < words; i++) {
    unsigned bits = block->bits - 32 * i;
    put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)IPV6_AT + 4 * i);
    compare(p, word_at(block, i), bits < 32 ? bits : 32,
            3 * (words - i - 1) + 1);
  }
  put_return(p, 1);
}

static void put_blocks(program *p, const fcgi__allow *allow, int family) {
  for (size_t i = 0; i < allow->count; i++)
    if (allow->blocks[i].family == family)
      (family == AF_INET ? put_ipv4 : put_ipv6)(p, &allow->blocks[i]);
  put_return(p, 0);
}

static int fits(const fcgi__allow *allow) {
  size_t len = FRAME;
  for (size_t i = 0; i < allow->count; i++)
    len += allow->blocks[i].family == AF_INET ? OF_IPV4 : OF_IPV6;
  return len <= BPF_MAXINSNS;
}

static void translate(program *p, const fcgi__allow *allow) {
  struct sock_filter *jump;
  p->len = 0;
  put(p, BPF_LD | BPF_B | BPF_ABS, (uint32_t)VERSION_AT);
  put(p, BPF_ALU | BPF_RSH | BPF_K, 4);
  put(p, BPF_JMP | BPF_JEQ | BPF_K, 6);
  p->code[p->len - 1].jt = 1;
  jump = &p->code[p->len];
  put(p, BPF_JMP | BPF_JA, p->len);
  put_blocks(p, allow, AF_INET6);
  jump->k = p->len - (jump->k + 1);
  put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)IPV4_AT);
  put(p, BPF_MISC | BPF_TAX, 0);
  put_blocks(p, allow, AF_INET);
}

int fcgi__sieve_attach(int fd, const fcgi__allow *allow) {
  program *p;
  int result, saved;
  if (!fits(allow)) {
    errno = E2BIG;
    return -1;
  }
  p = malloc(sizeof *p);
  if (!p)
    return -1;
  translate(p, allow);
  result = setsockopt(
      fd, SOL_SOCKET, SO_ATTACH_FILTER,
      &(struct sock_fprog){.len = (unsigned short)p->len, .filter = p->code},
      sizeof(struct sock_fprog));
  saved = errno;
  free(p);
  errno = saved;
  return result;
}

void fcgi__sieve_detach(int fd) {
  const int unused = 0;
  setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

uint32_t fcgi__sieve_dropped(int fd) {
  uint32_t values[SK_MEMINFO_VARS] = {0};
  socklen_t len = sizeof values;
  return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, values, &len) == 0
             ? values[SK_MEMINFO_DROPS]
             : 0;
}

#endif
