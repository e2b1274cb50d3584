/* SPDX-License-Identifier: MIT */
/* A socket on which connections pass from one process to another (SCM_RIGHTS):
   SOCK_SEQPACKET of AF_UNIX. Each message carries one connection, or the wish
   that whoever takes it looks at the listeners. No call waits. */
#ifndef FCGI_OS_CARRIER_H
#define FCGI_OS_CARRIER_H

#include <stddef.h>

enum { FCGI__CARRIER_NOTE = 64 }; /* Bytes of a note, at most. */

/* 1: `fd` is such a socket. */
int fcgi__carrier_is_one(int fd);

/* Send the connection `fd`, which stays the caller's: 0, or -1 with errno. */
int fcgi__carrier_send(int out, int fd);

/* The same with a note of `len` bytes for whoever takes it. */
int fcgi__carrier_send_noted(int out, int fd, const void *note, size_t len);

/* Send a wish to look. */
void fcgi__carrier_look(int out);

/* Take one message: 1, with its connection in `*fd`, or -1 there for a wish to
   look or for what is no message of ours, whose descriptors are closed. 0: none
   will ever come. Negative: none is there now. */
int fcgi__carrier_receive(int in, int *fd);

/* The same, and its note: as many of the `len` bytes as it has; zeroes follow.
   The second only looks at the note of the next message, which stays: 1 when
   there is one. */
int fcgi__carrier_receive_noted(int in, int *fd, void *note, size_t len);
int fcgi__carrier_look_ahead(int in, void *note, size_t len);

/* How many bytes all messages have that lie there; -1: nobody knows. */
int fcgi__carrier_bytes(int in);

/* 1: the other end was shut, so that nothing more comes. */
int fcgi__carrier_is_shut(int in);

#endif
