/* SPDX-License-Identifier: MIT */
/* One attempt to listen, and what is said when it fails. */
#ifndef FCGI_OS_OPENING_H
#define FCGI_OS_OPENING_H

#include "os/listener.h"
#include <stddef.h>

typedef struct fcgi__opening {
  const char *text;                    /* The address as it was given. */
  const fcgi__listen_options *options; /* The caller's. */
  char *why;                           /* Where the complaint goes. */
  size_t why_len;                      /* Its room. */
} fcgi__opening;

/* Write the complaint; returns `code` and keeps errno. */
__attribute__((format(printf, 3, 4))) int
fcgi__opening_refuse(const fcgi__opening *o, int code, const char *format, ...);

/* Complain about errno, which is kept: FCGI_ERR_SYSTEM. */
int fcgi__opening_fail(const fcgi__opening *o, const char *what);

/* A new socket: its descriptor, or a negative error with a complaint. */
int fcgi__opening_socket(const fcgi__opening *o, int family);

/* Bind `fd` to the path `address`, in place of a socket there that nobody
   listens on: 0 with `out` filled, or a negative error with a complaint. It has
   its mode and owner whatever happens to the name meanwhile. */
int fcgi__socket_file_bind(fcgi__socket_file *out, const fcgi__opening *o,
                           int fd, const fcgi__address *address);

/* Whether it could be bound, as far as that can be said without: 0, or a
   negative error with a complaint. */
int fcgi__socket_file_check(const fcgi__opening *o,
                            const fcgi__address *address);

#endif
