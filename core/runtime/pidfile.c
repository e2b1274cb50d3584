/* SPDX-License-Identifier: MIT */
#include "runtime/pidfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int refuse_locked(int fd, const char *path, char *why, size_t why_len) {
  char text[24] = "";
  ssize_t len = pread(fd, text, sizeof text - 1, 0);
  text[len > 0 ? len : 0] = '\0';
  snprintf(why, why_len,
           "pid file %s: another supervisor, pid %ld, holds it; stop that one, "
           "or name another file",
           path, strtol(text, NULL, 10));
  close(fd);
  return -1;
}

int fcgi__pidfile_open(fcgi__pidfile *file, const char *path, char *why,
                       size_t why_len) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) {
    snprintf(why, why_len, "pid file %s: %s", path, strerror(errno));
    return -1;
  }
  if (flock(fd, LOCK_EX | LOCK_NB) < 0)
    return refuse_locked(fd, path, why, why_len);
  *file = (fcgi__pidfile){.fd = fd, .path = path};
  return 0;
}

void fcgi__pidfile_write(const fcgi__pidfile *file) {
  char text[24];
  int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  if (file->fd < 0)
    return;
  if (ftruncate(file->fd, 0) == 0)
    len -= (int)pwrite(file->fd, text, (size_t)len, 0);
}

void fcgi__pidfile_remove(fcgi__pidfile *file) {
  if (file->fd < 0)
    return;
  if (unlink(file->path) < 0 && ftruncate(file->fd, 0) < 0)
    errno = 0; /* Nothing else is left to try. */
  fcgi__pidfile_leave(file);
}

void fcgi__pidfile_leave(fcgi__pidfile *file) {
  if (file->fd >= 0)
    close(file->fd);
  file->fd = -1;
}
