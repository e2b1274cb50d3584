/* SPDX-License-Identifier: MIT */
#include "supervisor/pidfile.h"
#include "base/number.h"
#include "os/filename.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  PRIVATE = 0600, /* Until we hold the lock, or others could lock it first. */
  PUBLIC = 0644,  /* Afterwards: monitors read it. */
  ATTEMPTS = 20   /* At a file that others remove meanwhile. */
};

/* --- The lock ---------------------------------------------------------------
 */

#ifdef F_OFD_SETLK

/* A lock for writing needs a descriptor for writing, so nobody but the file's
   owner and root can hold one; anybody who reads it may hold one for reading.
 */
static int lock_it(int fd) {
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(fd, F_OFD_SETLK, &whole);
}

/* 1 when a supervisor holds it, and not just a reader. */
static int is_held(int fd) {
  struct flock reading = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
  return fcntl(fd, F_OFD_GETLK, &reading) < 0 || reading.l_type != F_UNLCK;
}

#else

static int lock_it(int fd) {
  return flock(fd, LOCK_EX | LOCK_NB);
}

static int is_held(int fd) {
  (void)fd;
  return 1;
}

#endif

/* --- The file ---------------------------------------------------------------
 */

static int close_with(int fd, int error) {
  close(fd);
  errno = error;
  return -1;
}

static int fail(const char *path, const char *reason, char *why,
                size_t why_len) {
  snprintf(why, why_len, "pid file %s: %s", path, reason);
  return -1;
}

/* The first line, "" where there is none. */
static void read_line(int fd, char *text, size_t room) {
  ssize_t len = pread(fd, text, room - 1, 0);
  text[len > 0 ? len : 0] = '\0';
  text[strcspn(text, "\n")] = '\0';
}

static int refuse_held(int fd, const char *path, char *why, size_t why_len) {
  char text[24];
  read_line(fd, text, sizeof text);
  snprintf(why, why_len,
           "pid file %s: another supervisor, pid %s, holds it; stop that one, "
           "or name another file",
           path, fcgi__number_is(text) ? text : "unknown");
  return -1;
}

/* 1 when the path is still this file's. */
static int is_at(int fd, const char *path) {
  struct stat ours, now;
  return fstat(fd, &ours) == 0 && lstat(path, &now) == 0 &&
         ours.st_dev == now.st_dev && ours.st_ino == now.st_ino;
}

static int open_it(const char *path) {
  return fcgi__filename_open(
      path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, PRIVATE);
}

/* What lies there may be anybody's: whoever owns it could write another number
   into it later. */
static const char *objection(int fd) {
  struct stat found;
  if (fstat(fd, &found) < 0)
    return strerror(errno);
  if (!S_ISREG(found.st_mode))
    return "it is not a regular file; name another one";
  if (geteuid() == 0 && found.st_uid != 0)
    return "it belongs to another user; remove it, or name another one";
  if (found.st_nlink > 1)
    return "it has a second name; remove it, or name another one";
  return NULL;
}

/* A reader's lock stays on the old file, which nobody needs any more. */
static int replace(int fd, const char *path, char *why, size_t why_len) {
  if (is_at(fd, path) && unlink(path) < 0 && errno != ENOENT)
    return fail(path,
                "a process that reads it holds a lock on it; remove it, or "
                "name another one",
                why, why_len);
  return 0;
}

/* 1 with the lock, 0 to try again, -1 with a complaint. */
static int try_lock(int fd, const char *path, char *why, size_t why_len) {
  const char *reason = objection(fd);
  if (reason)
    return fail(path, reason, why, why_len);
  if (lock_it(fd) == 0) {
    fchmod(fd, PUBLIC); /* From now on no reader can lock it. */
    return is_at(fd, path);
  }
  if (is_held(fd))
    return refuse_held(fd, path, why, why_len);
  return replace(fd, path, why, why_len);
}

int fcgi__pidfile_open(fcgi__pidfile *file, const char *path, char *why,
                       size_t why_len) {
  for (int i = 0; i < ATTEMPTS; i++) {
    int fd = open_it(path), locked;
    if (fd < 0)
      return fail(path, fcgi__filename_error(errno), why, why_len);
    locked = try_lock(fd, path, why, why_len);
    if (locked == 1) {
      *file = (fcgi__pidfile){.fd = fd, .path = path};
      return 0;
    }
    close_with(fd, errno);
    if (locked < 0)
      return -1;
  }
  return fail(path, "others remove it again and again", why, why_len);
}

/* One that runs meanwhile may hold it, and it is for the next one. */
int fcgi__pidfile_check(const char *path, char *why, size_t why_len) {
  int fd = fcgi__filename_open(
      path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, PRIVATE);
  int problem = fd < 0 ? errno : 0;
  const char *reason = fd < 0 ? NULL : objection(fd);
  if (fd >= 0)
    close(fd);
  if (problem == ENOENT)
    problem = fcgi__filename_check(path);
  if (problem)
    reason = fcgi__filename_error(problem);
  return reason ? fail(path, reason, why, why_len) : 0;
}

int fcgi__pidfile_is_one(int fd) {
  char text[24];
  struct stat found;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || fstat(fd, &found) < 0 ||
      !S_ISREG(found.st_mode) || found.st_size >= (off_t)sizeof text)
    return 0;
  read_line(fd, text, sizeof text);
  return found.st_size == 0 || fcgi__number_is(text);
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
  if (is_at(file->fd, file->path) && unlink(file->path) < 0 &&
      ftruncate(file->fd, 0) < 0)
    errno = 0; /* Nothing else is left to try. */
  fcgi__pidfile_leave(file);
}

void fcgi__pidfile_leave(fcgi__pidfile *file) {
  if (file->fd >= 0)
    close(file->fd);
  file->fd = -1;
}
