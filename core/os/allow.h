/* SPDX-License-Identifier: MIT */
/* Lists of addresses that may connect. */
#ifndef FCGI_OS_ALLOW_H
#define FCGI_OS_ALLOW_H

#include <fastcgi/alloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Addresses whose first `bits` are those of `bytes`. */
typedef struct fcgi__allow_block {
  int family;        /* AF_INET or AF_INET6. */
  unsigned bits;     /* 0 to 32, or to 128. */
  uint8_t bytes[16]; /* In network order. */
} fcgi__allow_block;

/* Zero-initialised it lets nobody in. */
typedef struct fcgi__allow {
  fcgi__allow_block *blocks; /* Any of them will do. */
  size_t count;              /* Number of blocks. */
} fcgi__allow;

/* Parse IPv4 and IPv6 addresses and CIDR blocks with commas between, blanks
   around them. 0; or FCGI_ERR_INVALID with the reason in `why`, or
   FCGI_ERR_NOMEM, and then `out` lets nobody in. */
int fcgi__allow_parse(fcgi__allow *out, const fcgi_allocator *allocator,
                      const char *text, char *why, size_t why_len);

/* Make the list of those who are in both: 0 or FCGI_ERR_NOMEM. */
int fcgi__allow_meet(fcgi__allow *out, const fcgi_allocator *allocator,
                     const fcgi__allow *a, const fcgi__allow *b);

/* Say in `why` that nobody is in both lists, given as texts. */
void fcgi__allow_disagree(const char *configured, const char *environment,
                          char *why, size_t why_len);

/* The list as fcgi__allow_parse takes it, to be freed; NULL without memory. */
char *fcgi__allow_text(const fcgi__allow *allow,
                       const fcgi_allocator *allocator);

/* 1 when the list has the address, whole; an IPv6 address that maps an IPv4
   one is that IPv4 address. 0 for other families. */
int fcgi__allow_has(const fcgi__allow *allow, const struct sockaddr *address);

void fcgi__allow_clear(fcgi__allow *allow, const fcgi_allocator *allocator);

/* 1 when only this machine can connect to a socket bound to the address. */
int fcgi__allow_is_loopback(const struct sockaddr *address);

#endif
