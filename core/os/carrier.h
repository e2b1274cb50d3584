/* SPDX-License-Identifier: MIT */
/* A socket on which connections pass from one process to another (SCM_RIGHTS):
   SOCK_SEQPACKET of AF_UNIX. Each message carries one connection, or the wish
   that whoever takes it looks at the listeners. No call waits. */
#ifndef FCGI_OS_CARRIER_H
#define FCGI_OS_CARRIER_H

/* 1: `fd` is such a socket. */
int fcgi__carrier_is_one(int fd);

/* Send the connection `fd`, which stays the caller's: 0, or -1 with errno. */
int fcgi__carrier_send(int out, int fd);

/* Send a wish to look. */
void fcgi__carrier_look(int out);

/* Take one message: 1, with its connection in `*fd`, or -1 there for a wish to
   look or for what is no message of ours, whose descriptors are closed. 0: none
   will ever come. Negative: none is there now. */
int fcgi__carrier_receive(int in, int *fd);

#endif
