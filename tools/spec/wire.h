/* SPDX-License-Identifier: MIT */
/* The web server's end of one connection. Every wait is bounded. */
#ifndef FCGI_SPEC_WIRE_H
#define FCGI_SPEC_WIRE_H

#include "talk.h"

/* Zero-initialise it, `fd` as -1; wire_close it. */
typedef struct wire {
  int fd;         /* The socket; -1 when there is none. */
  int timeout_ms; /* The longest that one wait lasts. */
  int ended;      /* 1: the application has closed the connection. */
  int stuck;      /* 1: it did not take what was sent to it. */
  size_t total;   /* Bytes received. */
  bytes in;       /* Bytes of a record that has not come whole. */
  talk said;      /* What the application has said. */
} wire;

/* Connect to unix:/path, unix:@name, host:port, [v6]:port or :port: 0, or -1
   with the reason, without the address, in `problem`. */
int wire_connect(wire *w, const char *address, bytes *problem);
void wire_close(wire *w);

/* Send it all, reading meanwhile. The end of the connection is no failure:
   `ended` and `stuck` tell. */
void wire_send(wire *w, const void *data, size_t len);

/* Wait for more from the application until `deadline`: 1 when something came,
   0 when it closed, broke a rule, or time is over. */
int wire_receive(wire *w, long deadline);

/* Milliseconds of a clock that never goes back, and the end of one wait. */
long wire_now(void);
long wire_deadline(const wire *w);

/* Nothing more will be sent. */
void wire_half_close(wire *w);
/* wire_close will reset the connection. */
void wire_reset(wire *w);

#endif
