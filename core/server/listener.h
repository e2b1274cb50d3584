/* SPDX-License-Identifier: MIT */
/* Listening sockets: made, or inherited. */
#ifndef FCGI_SERVER_LISTENER_H
#define FCGI_SERVER_LISTENER_H

#include "server/address.h"
#include "server/allow.h"
#include <stddef.h>
#include <sys/types.h>

typedef struct fcgi__listener {
  int fd;                /* Non-blocking only if we made it (see below). */
  int own;               /* 1: ours to close. An inherited one is not ours. */
  int family;            /* AF_UNIX, AF_INET, AF_INET6. */
  char unlink_path[108]; /* The unix socket we made, "" otherwise. */
  dev_t device;          /* Its identity, so that nobody else's file of the */
  ino_t inode;           /* same name is removed. */
  pid_t maker;           /* The process that made it, not one forked later. */
} fcgi__listener;

typedef struct fcgi__listen_options {
  int backlog;              /* listen(2). */
  unsigned mode;            /* Mode of a unix socket. */
  int loopback_only;        /* 1: refuse what other machines can reach. */
  const fcgi__allow *allow; /* Who may reach a TCP socket that is made, in the
                               kernel; NULL: that is not asked there. */
} fcgi__listen_options;

/* Open `address`; NULL means every inherited listener. Fills at most `max`
   listeners and returns how many (at least 1), or a negative error with one
   line in `why`: what happened, the address, what to do. FCGI_ERR_INVALID for
   a bad address, FCGI_ERR_SYSTEM with errno otherwise. */
int fcgi__listener_open(fcgi__listener *out, size_t max, const char *address,
                        const fcgi__listen_options *options, char *why,
                        size_t why_len);

/* Say in `why` what is wrong with an address that is to be opened: 0, or a
   negative error. Opens nothing. */
int fcgi__listener_check(const char *address,
                         const fcgi__listen_options *options, char *why,
                         size_t why_len);

/* 1 when `address` NULL has something to open. */
int fcgi__listener_is_inherited(void);

/* Stop listening, if it is ours, and remove the socket file; the descriptor's
   number stays taken, by a copy of `instead`, until it is closed. */
void fcgi__listener_retire(fcgi__listener *listener, int instead);

/* Close what is ours and remove the socket file if it is still the one we
   made. */
void fcgi__listener_close(fcgi__listener *listener);

#endif
