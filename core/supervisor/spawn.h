/* SPDX-License-Identifier: MIT */
/* Starting a process: everything is prepared before fork(2), and between it and
   execve(2) only async-signal-safe functions are called. */
#ifndef FCGI_SUPERVISOR_SPAWN_H
#define FCGI_SUPERVISOR_SPAWN_H

#include "supervisor/environment.h"
#include <fcntl.h>
#include <stddef.h>
#include <sys/types.h>

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

enum {
  FCGI__PASSED_FIRST = 3, /* Where passed descriptors begin in the child. */
  FCGI__PASSED_FLOOR = 64 /* Those of ours are not below, so that copying one
                             never overwrites another. */
};

typedef struct fcgi__spawn {
  const char *path;                     /* Path of the program to execute. */
  const char *const *arguments;         /* Its argv, ended by NULL. */
  const fcgi__environment *environment; /* Its environment. */
  const int *passed;                    /* Descriptors that it gets as 3, 4
                                           and so on. */
  size_t passed_count;                  /* Number of `passed`. */
  int standard_input;                   /* Descriptor that it gets as 0; -1:
                                           that of this process. */
  int directory;                        /* Descriptor of the directory that
                                           it starts in, moved out of the way
                                           of `passed`; -1: the present one. */
  int is_worker; /* 1: a process group of its own, that hears when we die, and
                    that SIGHUP and SIGUSR1 do not end. */
} fcgi__spawn;

/* Start it: its process id once execve(2) has succeeded, or -1 with errno. */
pid_t fcgi__spawn_start(const fcgi__spawn *spawn);

/* Move a descriptor to where it can be passed from, with FD_CLOEXEC: its new
   number, or -1 with errno; the old one is closed in both cases. */
int fcgi__spawn_lift(int fd);

/* Find `name` as execvp(3) does: 0, or -1 with errno. */
int fcgi__spawn_find(const char *name, char *path, size_t len);

#endif
