/* SPDX-License-Identifier: MIT */
/* The file with our process id. A lock on it tells a second supervisor that
   the first one lives, whatever number stands there. */
#ifndef FCGI_SUPERVISOR_PIDFILE_H
#define FCGI_SUPERVISOR_PIDFILE_H

#include <stddef.h>

typedef struct fcgi__pidfile {
  int fd;           /* Descriptor of the file, which is locked; -1: there is
                       none. */
  const char *path; /* Path of the file, lent by the configuration. */
} fcgi__pidfile;

/* Make and lock the file: 0, or -1 with one line in `why`. */
int fcgi__pidfile_open(fcgi__pidfile *file, const char *path, char *why,
                       size_t why_len);

/* Whether it could be made, as far as that can be said without, and whoever
   holds it: 0, or -1 with one line in `why`. */
int fcgi__pidfile_check(const char *path, char *why, size_t why_len);

/* 1: `fd`, which another process of ours has passed on, may be written to as
   one: a file with a process id, or nothing, in it. */
int fcgi__pidfile_is_one(int fd);

/* Write our process id. */
void fcgi__pidfile_write(const fcgi__pidfile *file);

/* Remove it; where the directory is no longer ours to change, empty it. */
void fcgi__pidfile_remove(fcgi__pidfile *file);

/* Close it and leave it as it is: a successor holds it too. */
void fcgi__pidfile_leave(fcgi__pidfile *file);

#endif
