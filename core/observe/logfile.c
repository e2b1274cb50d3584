/* SPDX-License-Identifier: MIT */
#include "observe/logfile.h"
#include "os/clock.h"
#include "os/filename.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AGAIN_MS = 1000, MODE = 0640 };

static const int flags =
    O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

/* The descriptor that a path stands for, or -1. Opening it by that path would
   be refused for a socket, and for the pipe or terminal of another user, such
   as whoever has started us before we became somebody else. */
static int descriptor_of(const char *path) {
  static const struct {
    const char *path; /* Or how it begins, where a number follows. */
    int fd;           /* -1: that number. */
  } names[] = {{"-", STDERR_FILENO},
               {"/dev/stderr", STDERR_FILENO},
               {"/dev/stdout", STDOUT_FILENO},
               {"/dev/fd/", -1},
               {"/proc/self/fd/", -1}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t len = strlen(names[i].path);
    const char *rest = path + len;
    if (names[i].fd >= 0 && strcmp(path, names[i].path) == 0)
      return names[i].fd;
    if (names[i].fd < 0 && strncmp(path, names[i].path, len) == 0 && *rest &&
        strlen(rest) < 9 && rest[strspn(rest, "0123456789")] == '\0')
      return atoi(rest);
  }
  return -1;
}

/* O_NONBLOCK belongs to the description, which a descriptor shares with whoever
   started us: a pipe or a terminal gets another one where it lets us, a regular
   file keeps the position that all of them write at. */
static int open_descriptor(int shared) {
  struct stat found;
  char path[32];
  int fd = -1;
  if (fstat(shared, &found) != 0)
    return -1;
  snprintf(path, sizeof path, "/proc/self/fd/%d", shared);
  if (S_ISFIFO(found.st_mode) || S_ISCHR(found.st_mode))
    fd = open(path, flags);
  if (fd < 0)
    fd = fcntl(shared, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  /* The line that says so must get out where no descriptor is left. */
  return fd < 0 && errno == EMFILE && shared <= STDERR_FILENO ? shared : fd;
}

/* Standard output and error are lent. */
static void close_own(int fd) {
  if (fd > STDERR_FILENO)
    close(fd);
}

static int open_either(const fcgi__logfile *file) {
  int shared = descriptor_of(file->path);
  return shared >= 0 ? open_descriptor(shared)
                     : fcgi__filename_open(file->path, flags | O_CREAT, MODE);
}

static void take(fcgi__logfile *file, int fd) {
  struct stat found = {.st_mode = 0};
  fstat(fd, &found);
  file->fd = fd;
  file->device = found.st_dev;
  file->inode = found.st_ino;
  file->socket = S_ISSOCK(found.st_mode);
  file->regular = S_ISREG(found.st_mode);
  file->ask =
      !file->socket && !file->regular && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static int is_pipe(const char *path) {
  struct stat found;
  return stat(path, &found) == 0 && S_ISFIFO(found.st_mode);
}

int fcgi__logfile_open(fcgi__logfile *file) {
  int fd = open_either(file);
  if (fd < 0 && !(errno == ENXIO && is_pipe(file->path)))
    return errno;
  fcgi__logfile_close(file);
  if (fd >= 0)
    take(file, fd);
  else
    file->again = fcgi__now() + AGAIN_MS;
  return 0;
}

void fcgi__logfile_close(fcgi__logfile *file) {
  if (file->fd >= 0)
    close_own(file->fd);
  file->fd = -1;
}

void fcgi__logfile_follow(fcgi__logfile *file) {
  struct stat now;
  if (fstat(descriptor_of(file->path), &now) == 0 && file->fd >= 0 &&
      now.st_dev == file->device && now.st_ino == file->inode)
    return;
  if (fcgi__logfile_open(file) != 0)
    fcgi__logfile_close(file);
}

static int is_full(int fd) {
  struct pollfd at = {.fd = fd, .events = POLLOUT};
  return poll(&at, 1, 0) == 0;
}

static ssize_t write_once(const fcgi__logfile *file, const char *data,
                          size_t len) {
  if (file->socket)
    return send(file->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (file->ask && is_full(file->fd)) {
    errno = EAGAIN;
    return -1;
  }
  if (file->ask && len > PIPE_BUF)
    len = PIPE_BUF; /* For more there need not be room. */
  return write(file->fd, data, len);
}

ptrdiff_t fcgi__logfile_write(fcgi__logfile *file, const char *data,
                              size_t len) {
  ssize_t done;
  if (file->fd < 0) {
    if (fcgi__now() < file->again)
      return -ENXIO;
    file->again = fcgi__now() + AGAIN_MS;
    if (fcgi__logfile_open(file) != 0 || file->fd < 0)
      return -ENXIO;
  }
  do
    done = write_once(file, data, len);
  while (done < 0 && errno == EINTR);
  if (done >= 0)
    return done;
  if (errno == EPIPE && descriptor_of(file->path) < 0) {
    fcgi__logfile_close(file);
    errno = EPIPE;
  }
  return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}
