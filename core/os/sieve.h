/* SPDX-License-Identifier: MIT */
/* A list of addresses in the kernel: for programs that do not look themselves
   at who connects. */
#ifndef FCGI_OS_SIEVE_H
#define FCGI_OS_SIEVE_H

#include "os/allow.h"

/* Let nobody else reach a TCP socket, nor connections that are accepted from
   it: others get no answer at all. 0, or -1 with errno; without a system that
   can do it always 0. */
int fcgi__sieve_attach(int fd, const fcgi__allow *allow);

/* How many packets the kernel has dropped at this socket: those of others, and
   those that came while its queue was full. 0 where the system is silent. */
uint32_t fcgi__sieve_dropped(int fd);

/* Let everybody in again. */
void fcgi__sieve_detach(int fd);

#endif
