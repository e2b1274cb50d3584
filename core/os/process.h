/* SPDX-License-Identifier: MIT */
/* Which process an object belongs to. A child of fork(2) has copies of memory
   and descriptors, behind which stand the parent's sockets: to use them would
   answer, reset or unwatch what the parent serves. */
#ifndef FCGI_OS_PROCESS_H
#define FCGI_OS_PROCESS_H

#include <sys/types.h>
#include <unistd.h>

typedef struct fcgi__process {
  const volatile int *mark; /* On a page that the kernel empties in a child;
                               NULL where it knows no such pages. */
  pid_t pid;                /* Then this is asked for, by a system call. */
} fcgi__process;

/* The object is this process's. */
void fcgi__process_init(fcgi__process *process);
/* It is freed. */
void fcgi__process_clear(fcgi__process *process);

/* 1: this process was forked from the object's. Async-signal-safe. */
static inline int fcgi__process_is_other(const fcgi__process *process) {
  return process->mark ? *process->mark == 0 : process->pid != getpid();
}

#endif
