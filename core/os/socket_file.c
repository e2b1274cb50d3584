/* SPDX-License-Identifier: MIT */
/* Sockets in the file system. What is done to one is done to a descriptor of
   it: whoever owns the directory may give its name to another file at any
   moment. The mode is not made by umask(2), which the whole process shares. */
#include "os/filename.h"
#include "os/opening.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/sockios.h>
#endif

#if defined __linux__ && !defined SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0) /* linux/un.h, which clashes. */
#endif

enum {
  NAME = 300,      /* Bytes of a name that is not used for long. */
  AGAIN_MS = 5,    /* Between two looks for a name that is gone. */
  MOST_LOOKS = 40, /* Of them. */
};

/* One socket while it gets its name. */
typedef struct binding {
  const fcgi__opening *o;       /* Whose complaint it is. */
  const fcgi__address *address; /* The path. */
  fcgi__socket_file *file;      /* What is found out. */
  int fd;                       /* The socket. */
  struct timespec begun;        /* Before it was bound. */
} binding;

static int is_file(const fcgi__socket_file *file, const struct stat *about) {
  return S_ISSOCK(about->st_mode) && about->st_dev == file->device &&
         about->st_ino == file->inode;
}

int fcgi__socket_file_is_there(const fcgi__socket_file *file) {
  struct stat now;
  return file->name[0] &&
         fstatat(file->directory, file->name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
         is_file(file, &now);
}

/* Another starter that took it for a stale one gives it back at once. */
int fcgi__socket_file_stays(const fcgi__socket_file *file) {
  for (int i = 0; i < MOST_LOOKS; i++) {
    if (fcgi__socket_file_is_there(file))
      return 1;
    poll(NULL, 0, AGAIN_MS);
  }
  return 0;
}

void fcgi__socket_file_leave(fcgi__socket_file *file) {
  if (file->name[0])
    close(file->directory);
  *file = (fcgi__socket_file){.directory = -1};
}

void fcgi__socket_file_remove(fcgi__socket_file *file) {
  if (file->maker == getpid() && fcgi__socket_file_is_there(file))
    unlinkat(file->directory, file->name, 0);
  fcgi__socket_file_leave(file);
}

/* --- Which file it is ------------------------------------------------------
 */

#ifdef __linux__

/* Linux tells the administrator of the network which file a socket is bound to.
   For anybody else it is a socket of ours that is no older than the call. */
static void begin(int fd, struct timespec *begun) {
  struct timespec first;
  clock_gettime(CLOCK_REALTIME_COARSE, &first);
  *begun = first;
  if (ioctl(fd, SIOCUNIXFILE) >= 0 || errno == ENOENT)
    return;
  /* Times of files are those of this clock: a file that was there before has an
     earlier one than the next. */
  for (int i = 0; i < MOST_LOOKS && begun->tv_sec == first.tv_sec &&
                  begun->tv_nsec == first.tv_nsec;
       i++) {
    poll(NULL, 0, 1);
    clock_gettime(CLOCK_REALTIME_COARSE, begun);
  }
}

static int is_young(int pin, const struct timespec *begun) {
  struct statx about;
  if (statx(pin, "", AT_EMPTY_PATH, STATX_BTIME, &about) < 0 ||
      !(about.stx_mask & STATX_BTIME))
    return 1;
  return about.stx_btime.tv_sec > begun->tv_sec ||
         (about.stx_btime.tv_sec == begun->tv_sec &&
          about.stx_btime.tv_nsec >= (unsigned)begun->tv_nsec);
}

static int is_new(int pin, const struct timespec *begun) {
  struct stat found;
  return fstat(pin, &found) == 0 && S_ISSOCK(found.st_mode) &&
         (!begun || (found.st_uid == geteuid() && is_young(pin, begun)));
}

/* A descriptor of the file that `fd` is bound to, which stays that whatever
   becomes of its name; -1 with errno. */
static int open_pin(const fcgi__socket_file *file, int fd,
                    const struct timespec *begun) {
  int pin = ioctl(fd, SIOCUNIXFILE);
  if (pin >= 0) {
    fcntl(pin, F_SETFD, FD_CLOEXEC);
    return pin;
  }
  pin = openat(file->directory, file->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (pin < 0 || is_new(pin, begun))
    return pin;
  close(pin);
  errno = ENOENT;
  return -1;
}

static int set_mode(const fcgi__socket_file *file, int pin, mode_t mode) {
  char path[32];
  (void)file;
  snprintf(path, sizeof path, "/proc/self/fd/%d", pin);
  return chmod(path, mode);
}

static int set_owner(const fcgi__socket_file *file, int pin, uid_t user,
                     gid_t group) {
  (void)file;
  return fchownat(pin, "", user, group, AT_EMPTY_PATH);
}

static int look_at(const fcgi__socket_file *file, int pin, struct stat *out) {
  (void)file;
  return fstat(pin, out);
}

static int pin_name(const fcgi__socket_file *file) {
  return openat(file->directory, file->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Connect to exactly this file. */
static int connect_pin(int pin, int fd, const fcgi__address *address) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  if (access("/proc/self/fd", F_OK) < 0)
    return connect(fd, &address->sockaddr.any, address->len);
  snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d", pin);
  return connect(fd, (struct sockaddr *)&un, sizeof un);
}

#else

static void begin(int fd, struct timespec *begun) {
  (void)fd;
  *begun = (struct timespec){0};
}

/* There is no descriptor of a socket's file: a copy of the directory's stands
   for it, and links are not followed. */
static int pin_name(const fcgi__socket_file *file) {
  struct stat found;
  return fstatat(file->directory, file->name, &found, AT_SYMLINK_NOFOLLOW) < 0
             ? -1
             : fcntl(file->directory, F_DUPFD_CLOEXEC, 3);
}

static int open_pin(const fcgi__socket_file *file, int fd,
                    const struct timespec *begun) {
  (void)fd;
  (void)begun;
  return pin_name(file);
}

static int set_mode(const fcgi__socket_file *file, int pin, mode_t mode) {
  return fchmodat(pin, file->name, mode, AT_SYMLINK_NOFOLLOW);
}

static int set_owner(const fcgi__socket_file *file, int pin, uid_t user,
                     gid_t group) {
  return fchownat(pin, file->name, user, group, AT_SYMLINK_NOFOLLOW);
}

static int look_at(const fcgi__socket_file *file, int pin, struct stat *out) {
  return fstatat(pin, file->name, out, AT_SYMLINK_NOFOLLOW);
}

static int connect_pin(int pin, int fd, const fcgi__address *address) {
  (void)pin;
  return connect(fd, &address->sockaddr.any, address->len);
}

#endif

static void note(fcgi__socket_file *file, const struct stat *found) {
  file->device = found->st_dev;
  file->inode = found->st_ino;
}

int fcgi__socket_file_adopt(fcgi__socket_file *out, int fd, int directory) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  socklen_t len = sizeof un - 1;
  struct stat found;
  const char *slash;
  int pin = -1;
  *out = (fcgi__socket_file){.directory = directory, .maker = getpid()};
  if (getsockname(fd, (struct sockaddr *)&un, &len) == 0) {
    slash = strrchr(un.sun_path, '/');
    strcpy(out->name, slash ? slash + 1 : un.sun_path);
    pin = open_pin(out, fd, NULL);
  }
  if (pin >= 0 && look_at(out, pin, &found) == 0)
    note(out, &found);
  else
    out->inode = 0;
  if (pin >= 0)
    close(pin);
  return out->inode ? 0 : -1;
}

/* --- A socket that nobody listens on ---------------------------------------
 */

/* Complain about a file that is in the way and stays. */
static int refuse_taken(const fcgi__opening *o, const char *reason) {
  errno = EADDRINUSE;
  return fcgi__opening_refuse(o, FCGI_ERR_SYSTEM, "%s", reason);
}

static int refuse_other(const fcgi__opening *o) {
  return refuse_taken(o, "the path exists and is not a socket; choose another "
                         "path, or remove it yourself");
}

static int refuse_race(const fcgi__opening *o) {
  return refuse_taken(o, "another server is starting on this path");
}

/* What connecting to the file gives: 0 or an errno. A full backlog gives
   EAGAIN: somebody is there. */
static int probe(const binding *b, int pin) {
  int fd = fcgi__opening_socket(b->o, AF_UNIX), result = 0;
  if (fd < 0)
    return errno;
  if (connect_pin(pin, fd, b->address) < 0)
    result = errno;
  close(fd);
  return result;
}

/* 0 when nobody listens; else a complaint. */
static int check_stale(const binding *b, int pin) {
  int result = probe(b, pin);
  if (result == ECONNREFUSED) {
    /* Another server may just be between its bind(2) and its listen(2). */
    poll(NULL, 0, 50);
    result = probe(b, pin);
  }
  if (result == ECONNREFUSED)
    return 0;
  if (result == EACCES)
    return refuse_taken(b->o, "the socket exists and belongs to somebody "
                              "else; choose another path");
  return refuse_taken(b->o, "address in use by a running server; stop it or "
                            "choose another path");
}

static int move(int directory, const char *from, const char *to) {
#ifdef RENAME_NOREPLACE
  if (renameat2(directory, from, directory, to, RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL && errno != ENOSYS)
    return -1;
#endif
  return renameat(directory, from, directory, to);
}

/* Another starter may have put its own socket there meanwhile. So what has the
   name is moved out of the way, is looked at again, and goes back if it is not
   the one that was stale, or is not stale any more. */
static int take_away(const binding *b, int pin, const struct stat *stale) {
  const fcgi__socket_file *file = b->file;
  char aside[NAME];
  struct stat moved;
  snprintf(aside, sizeof aside, "%s.%ld.stale", file->name, (long)getpid());
  if (move(file->directory, file->name, aside) < 0)
    return errno == ENOENT ? 0
                           : fcgi__opening_fail(b->o, "cannot remove the stale "
                                                      "socket");
  if (fstatat(file->directory, aside, &moved, AT_SYMLINK_NOFOLLOW) == 0 &&
      moved.st_dev == stale->st_dev && moved.st_ino == stale->st_ino &&
      probe(b, pin) == ECONNREFUSED)
    return unlinkat(file->directory, aside, 0) == 0
               ? 0
               : fcgi__opening_fail(b->o, "cannot remove the stale socket");
  move(file->directory, aside, file->name);
  return refuse_race(b->o);
}

/* Remove the socket at the path that nobody listens on any more: 0, or an
   error when it is anything else. */
static int remove_stale(const binding *b) {
  struct stat stale;
  int pin = pin_name(b->file), error;
  if (pin < 0)
    return errno == ENOENT
               ? 0
               : fcgi__opening_fail(b->o, "cannot look at the path");
  if (look_at(b->file, pin, &stale) < 0)
    error = fcgi__opening_fail(b->o, "cannot look at the path");
  else if (!S_ISSOCK(stale.st_mode))
    error = refuse_other(b->o);
  else if ((error = check_stale(b, pin)) == 0)
    error = take_away(b, pin, &stale);
  int saved = errno;
  close(pin);
  errno = saved;
  return error;
}

/* --- A new one --------------------------------------------------------------
 */

/* Say which directory or right is missing. */
static int explain(const fcgi__opening *o, const char *path) {
  const char *slash = strrchr(path, '/');
  int len = slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path);
  const char *directory = slash == NULL ? "." : path;
  switch (errno) {
  case ENOENT:
    return fcgi__opening_refuse(o, FCGI_ERR_SYSTEM,
                                "the directory %.*s does not exist; create it "
                                "or choose another path",
                                len, directory);
  case ENOTDIR:
    return fcgi__opening_refuse(o, FCGI_ERR_SYSTEM,
                                "%.*s is not a directory; choose another path",
                                len, directory);
  case EACCES:
  case EPERM:
    return fcgi__opening_refuse(o, FCGI_ERR_SYSTEM,
                                "permission denied: this user cannot write to "
                                "the directory %.*s",
                                len, directory);
  case ELOOP:
    return fcgi__opening_refuse(o, FCGI_ERR_SYSTEM, "%s",
                                fcgi__filename_error(ELOOP));
  default:
    return fcgi__opening_fail(o, "cannot make the socket");
  }
}

static int make(const binding *b) {
  return bind(b->fd, &b->address->sockaddr.any, b->address->len);
}

static int make_instead(const binding *b) {
  int error;
  if (make(b) == 0)
    return 0;
  if (errno != EADDRINUSE)
    return explain(b->o, b->address->sockaddr.un.sun_path);
  error = remove_stale(b);
  if (error < 0)
    return error;
  if (make(b) == 0)
    return 0;
  return errno == EADDRINUSE ? refuse_race(b->o)
                             : explain(b->o, b->address->sockaddr.un.sun_path);
}

/* The umask and the lists of the directory may have taken bits away. */
static int settle(const binding *b, int pin) {
  const fcgi__listen_options *options = b->o->options;
  struct stat found;
  if (look_at(b->file, pin, &found) < 0)
    return fcgi__opening_fail(b->o, "cannot look at the socket");
  note(b->file, &found);
  if (options->has_owner &&
      set_owner(b->file, pin, options->user, options->group) < 0)
    return fcgi__opening_fail(b->o, "cannot give it to its user or group");
  if ((found.st_mode & 07777) != options->mode &&
      set_mode(b->file, pin, options->mode) < 0)
    return fcgi__opening_fail(b->o, "cannot set the socket's mode");
  return 0;
}

/* A file that is there but is not the one that was bound. */
static int settle_pinned(const binding *b) {
  int pin = open_pin(b->file, b->fd, &b->begun), error, saved;
  for (int i = 0; pin < 0 && i < MOST_LOOKS; i++) {
    poll(NULL, 0, AGAIN_MS);
    pin = open_pin(b->file, b->fd, &b->begun);
  }
  if (pin < 0)
    return refuse_race(b->o);
  error = settle(b, pin);
  saved = errno;
  close(pin);
  errno = saved;
  return error;
}

static int open_directory(const binding *b) {
  const char *path = b->address->sockaddr.un.sun_path, *name;
  b->file->directory = fcgi__filename_directory(path, &name);
  if (b->file->directory < 0)
    return explain(b->o, path);
  strcpy(b->file->name, name);
  return 0;
}

int fcgi__socket_file_check(const fcgi__opening *o,
                            const fcgi__address *address) {
  const char *path = address->sockaddr.un.sun_path, *name;
  int at = fcgi__filename_directory(path, &name), error = 0;
  struct stat found;
  if (at < 0)
    return explain(o, path);
  if (fstatat(at, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
      !S_ISSOCK(found.st_mode))
    error = refuse_other(o);
  else if (faccessat(at, ".", W_OK | X_OK, AT_EACCESS) < 0)
    error = explain(o, path);
  close(at);
  return error;
}

int fcgi__socket_file_bind(fcgi__socket_file *out, const fcgi__opening *o,
                           int fd, const fcgi__address *address) {
  binding b = {.o = o, .address = address, .file = out, .fd = fd};
  int error;
  *out = (fcgi__socket_file){.directory = -1, .maker = getpid()};
  /* bind(2) makes the file with this mode less the umask, so that it is never
     open to more users than it should, not even for a moment. */
  if (fchmod(fd, o->options->mode) < 0)
    return fcgi__opening_fail(o, "cannot set the socket's mode");
  error = open_directory(&b);
  if (error < 0)
    return error;
  begin(fd, &b.begun);
  error = make_instead(&b);
  if (error == 0)
    error = settle_pinned(&b);
  if (error < 0) {
    int saved = errno;
    fcgi__socket_file_remove(out);
    errno = saved;
  }
  return error;
}
