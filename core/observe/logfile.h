/* SPDX-License-Identifier: MIT */
/* Where the lines of a log go: a file, a pipe or an open descriptor, such as
   standard error. Nothing here waits for a reader, but for what `ask` says;
   only a disk can take its time. */
#ifndef FCGI_OBSERVE_LOGFILE_H
#define FCGI_OBSERVE_LOGFILE_H

#include <stddef.h>
#include <sys/types.h>

typedef struct fcgi__logfile {
  const char *path;      /* Lent; "-" is standard error, /dev/stdout and the
                            like are the descriptors that they name. */
  int fd;                /* -1: a pipe that nobody reads, or nothing yet. */
  unsigned char socket;  /* 1: the descriptor is a socket. */
  unsigned char ask;     /* 1: others write without O_NONBLOCK through the
                            same description, so poll(2) is asked first; where
                            one of them is quicker, the write waits. */
  unsigned char regular; /* 1: a file on a disk. */
  long long again;       /* When to look for a reader of a pipe again. */
  dev_t device;          /* The device of the file behind `fd`. */
  ino_t inode;           /* Its number on that device. */
} fcgi__logfile;

/* Open it: 0, or errno with `file` as it was. A pipe without a reader is fine:
   it is looked for again, at most once a second. */
int fcgi__logfile_open(fcgi__logfile *file);
void fcgi__logfile_close(fcgi__logfile *file);

/* Open it anew where its descriptor is something else by now: programs put
   their standard error elsewhere. */
void fcgi__logfile_follow(fcgi__logfile *file);

/* One write(2): the bytes taken, or -errno. -EAGAIN: it is full; -EPIPE and
   -ENXIO: nobody reads. SIGPIPE must be blocked, or be no matter. */
ptrdiff_t fcgi__logfile_write(fcgi__logfile *file, const char *data,
                              size_t len);

#endif
