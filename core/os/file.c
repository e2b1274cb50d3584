/* SPDX-License-Identifier: MIT */
/* Files that bodies are kept in and answers are sent from. */
#include "os/file.h"
#include "os/clock.h"
#include "os/filename.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fastcgi/request.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  ATTEMPTS = 100,      /* At a name for a temporary file. */
  BLOCK = 16384,       /* Bytes copied at once. */
  COPY_MOST = 64 << 20 /* What the kernel makes up as it is read is shorter. */
};

static ssize_t read_at(int fd, void *data, size_t len, uint64_t offset) {
  ssize_t got;
  do
    got = pread(fd, data, len, (off_t)offset);
  while (got < 0 && errno == EINTR);
  return got;
}

/* Files of /proc say that they are empty, those of /sys that they fill a
   page. */
static int is_size_true(int fd, uint64_t size) {
  char byte;
  return size > 0 ? read_at(fd, &byte, 1, size - 1) == 1
                  : read_at(fd, &byte, 1, 0) == 0;
}

int64_t fcgi_file_rest(int fd, uint64_t offset) {
  struct stat file;
  if (fstat(fd, &file) < 0)
    return FCGI_ERR_SYSTEM;
  if (!S_ISREG(file.st_mode))
    return FCGI_ERR_INVALID;
  if (!is_size_true(fd, (uint64_t)file.st_size))
    return FCGI_ERR_UNSUPPORTED;
  return (uint64_t)file.st_size > offset
             ? (int64_t)((uint64_t)file.st_size - offset)
             : 0;
}

static int write_all(int fd, const char *data, size_t len) {
  while (len > 0) {
    ssize_t done = write(fd, data, len);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return FCGI_ERR_SYSTEM;
    data += done;
    len -= (size_t)done;
  }
  return 0;
}

static int64_t copy_rest(int from, uint64_t offset, int to) {
  char block[BLOCK];
  int64_t done = 0;
  ssize_t got;
  while ((got = read_at(from, block, sizeof block, offset + (uint64_t)done)) >
         0) {
    if (done + got > COPY_MOST)
      return FCGI_ERR_LIMIT;
    if (write_all(to, block, (size_t)got))
      return FCGI_ERR_SYSTEM;
    done += got;
  }
  return got < 0 ? FCGI_ERR_SYSTEM : done;
}

/* The directory itself, by the rules for what lies in one. */
static int open_directory(const char *dir) {
  char path[PATH_MAX];
  const char *name;
  if (snprintf(path, sizeof path, "%s/.", dir) < (int)sizeof path)
    return fcgi__filename_directory(path, &name);
  errno = ENAMETOOLONG;
  return -1;
}

/* A name that nobody else has at this moment. */
static int make_named(int at) {
  for (int i = 0; i < ATTEMPTS; i++) {
    char name[64];
    int fd;
    snprintf(name, sizeof name, "fastcgi-%ld-%" PRIu64 "-%d", (long)getpid(),
             fcgi__now_us(), i);
    fd = openat(at, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
      unlinkat(at, name, 0);
    if (fd >= 0 || errno != EEXIST)
      return fd;
  }
  return -1;
}

int fcgi__file_temporary(const char *dir) {
  int at = open_directory(dir), fd = -1, saved;
  if (at < 0)
    return -1;
#ifdef O_TMPFILE
  fd = openat(at, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
#endif
  if (fd < 0)
    fd = make_named(at);
  saved = errno;
  close(at);
  errno = saved;
  return fd;
}

int fcgi__file_check_directory(const char *dir) {
  int at = open_directory(dir), problem = 0;
  if (at < 0)
    return errno;
  if (faccessat(at, ".", W_OK | X_OK, AT_EACCESS) < 0)
    problem = errno;
  close(at);
  return problem;
}

int64_t fcgi__file_copy(int fd, uint64_t offset, const char *dir, int *copy) {
  int64_t len;
  int saved;
  *copy = fcgi__file_temporary(dir);
  if (*copy < 0)
    return FCGI_ERR_SYSTEM;
  len = copy_rest(fd, offset, *copy);
  saved = errno;
  if (len < 0)
    close(*copy);
  errno = saved;
  return len;
}

int fcgi__file_has(int fd, uint64_t end) {
  struct stat file;
  char byte;
  if (fstat(fd, &file) < 0)
    return 0;
  return (uint64_t)file.st_size >= end || read_at(fd, &byte, 1, end - 1) == 1;
}

int fcgi__file_may_have(uint64_t end) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      end <= limit.rlim_cur)
    return 1;
  errno = EFBIG;
  return 0;
}
