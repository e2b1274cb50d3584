/* SPDX-License-Identifier: MIT */
#include "server/logfile.h"
#include "server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AGAIN_MS = 1000, MODE = 0640 };

static const int flags =
    O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

static int is_stderr(const fcgi__logfile *file) {
  return strcmp(file->path, "-") == 0;
}

/* O_NONBLOCK belongs to the description, which standard error shares with
   whoever started us: a pipe or a terminal gets another one, a regular file
   keeps the position that all of them write at. */
static int open_stderr(const struct stat *found) {
  int fd = -1;
  if (S_ISFIFO(found->st_mode) || S_ISCHR(found->st_mode))
    fd = open("/proc/self/fd/2", flags);
  return fd >= 0 ? fd : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

static int open_either(const fcgi__logfile *file) {
  struct stat found = {.st_mode = 0};
  if (!is_stderr(file))
    return open(file->path, flags | O_CREAT, MODE);
  return fstat(STDERR_FILENO, &found) == 0 ? open_stderr(&found) : -1;
}

static void take(fcgi__logfile *file, int fd) {
  struct stat found = {.st_mode = 0};
  fstat(fd, &found);
  file->fd = fd;
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
    close(file->fd);
  file->fd = -1;
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
  if (errno == EPIPE && !is_stderr(file)) {
    fcgi__logfile_close(file);
    errno = EPIPE;
  }
  return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}
