/* SPDX-License-Identifier: MIT */
/* The environment of a process that is about to be started. Its process id,
   which some variables hold, is not known before fork(2), and afterwards no
   memory may be allocated: the place for it is kept free. */
#ifndef FCGI_SUPERVISOR_ENVIRONMENT_H
#define FCGI_SUPERVISOR_ENVIRONMENT_H

#include <stddef.h>
#include <sys/types.h>

enum { FCGI__PLACES = 8, FCGI__PID_DIGITS = 10 };

typedef struct fcgi__environment {
  char **list;                /* The variables, ended by NULL, as execve(2)
                                 takes them; owned. */
  size_t count;               /* Number of variables. */
  size_t room;                /* Number of variables that `list` has room
                                 for. */
  char *places[FCGI__PLACES]; /* Places in the texts that FCGI__PID_DIGITS
                                 digits are written to. */
  size_t place_count;         /* Number of `places`. */
} fcgi__environment;

/* A copy of ours without the variables that tell one process about another. */
int fcgi__environment_copy(fcgi__environment *out);

/* Set `name` to the text; replaces what there is. 0, or -1 without memory. */
__attribute__((format(printf, 3, 4))) int
fcgi__environment_set(fcgi__environment *e, const char *name,
                      const char *format, ...);

/* Set `name` to the process id and then `rest`, "" or ":" and more. */
int fcgi__environment_set_pid(fcgi__environment *e, const char *name,
                              const char *rest);

/* Write the process id into its places. Async-signal-safe. */
void fcgi__environment_stamp(const fcgi__environment *e, pid_t pid);

void fcgi__environment_free(fcgi__environment *e);

#endif
