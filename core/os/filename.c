/* SPDX-License-Identifier: MIT */
#include "os/filename.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

enum {
  LINKS = 40,       /* As many as Linux follows. */
  LOCK_AGAIN = 10,  /* Milliseconds between two attempts at a lock. */
  LOCK_LOOKS = 200, /* How many of them. */
};

/* A path on its way, component by component. */
typedef struct walk {
  int at;              /* The directory that has been reached. */
  int links;           /* How many links have been followed. */
  char rest[PATH_MAX]; /* What is still to go. */
} walk;

static int close_with(int fd, int error) {
  close(fd);
  errno = error;
  return -1;
}

/* The directory may be removed by others, the descriptor stays good. */
static int open_directory(int at, const char *name) {
  return openat(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int move_to(walk *w, int fd) {
  if (fd < 0)
    return -1;
  if (w->at >= 0)
    close(w->at);
  w->at = fd;
  return 0;
}

static int begin(walk *w, const char *path) {
  w->at = -1;
  w->links = 0;
  if (strlen(path) >= sizeof w->rest) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(w->rest, path);
  return move_to(w, open_directory(AT_FDCWD, *path == '/' ? "/" : "."));
}

static int is_ours(uid_t owner) {
  return owner == 0 || owner == geteuid();
}

/* The links of /proc lead to open files, not to the names that they show. */
static int is_proc(int at) {
#ifdef __linux__
  struct statfs about;
  return fstatfs(at, &about) == 0 && about.f_type == PROC_SUPER_MAGIC;
#else
  (void)at;
  return 0;
#endif
}

/* What the link `name` says, if we may believe it: its length, or -1. */
static ssize_t read_link(int at, const char *name, char *target, size_t len) {
  struct stat about;
  ssize_t got = -1;
#ifdef __linux__
  int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), saved;
  if (fd < 0)
    return -1;
  at = fd;
  name = "";
  if (fstat(fd, &about) < 0)
    return close_with(fd, errno);
#else
  if (fstatat(at, name, &about, AT_SYMLINK_NOFOLLOW) < 0)
    return -1;
#endif
  errno = S_ISLNK(about.st_mode) ? ELOOP : ENOTDIR;
  if (S_ISLNK(about.st_mode) && is_ours(about.st_uid))
    got = readlinkat(at, name, target, len - 1);
#ifdef __linux__
  saved = errno;
  close(fd);
  errno = saved;
#endif
  target[got > 0 ? got : 0] = '\0';
  return got;
}

/* Put what the link `name` says in front of the rest. */
static int follow(walk *w, const char *name, const char *after) {
  char target[PATH_MAX], rest[PATH_MAX];
  if (read_link(w->at, name, target, sizeof target) < 0)
    return -1;
  errno = ELOOP;
  if (++w->links > LINKS)
    return -1;
  errno = ENAMETOOLONG;
  if (snprintf(rest, sizeof rest, "%s%s%s", target, *after ? "/" : "", after) >=
      (int)sizeof rest)
    return -1;
  strcpy(w->rest, rest);
  return *rest == '/' ? move_to(w, open_directory(AT_FDCWD, "/")) : 0;
}

/* One component further: a directory, or a link that is followed. */
static int step(walk *w, const char *name, const char *after) {
  int kind = is_proc(w->at) ? 0 : O_NOFOLLOW;
  int fd = openat(w->at, name, O_PATH | O_DIRECTORY | O_CLOEXEC | kind);
  if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
    return follow(w, name, after);
  memmove(w->rest, after, strlen(after) + 1);
  return move_to(w, fd);
}

/* To the directory of the last component, which is what `rest` then is. */
static int walk_on(walk *w) {
  for (;;) {
    char name[NAME_MAX + 1];
    const char *start = w->rest + strspn(w->rest, "/");
    size_t len = strcspn(start, "/");
    const char *after = start + len + strspn(start + len, "/");
    if (!*after) {
      memmove(w->rest, start, len + 1);
      w->rest[len] = '\0';
      return 0;
    }
    if (len >= sizeof name) {
      errno = ENAMETOOLONG;
      return -1;
    }
    memcpy(name, start, len);
    name[len] = '\0';
    if (step(w, name, after) < 0)
      return -1;
  }
}

static int walk_all(walk *w, const char *path) {
  if (begin(w, path) < 0)
    return -1;
  return walk_on(w) < 0 ? close_with(w->at, errno) : 0;
}

/* Whoever is not root can do no more than the owner of a link could. */
static int open_plainly(const char *path) {
  const char *slash = strrchr(path, '/');
  char directory[PATH_MAX];
  size_t len = slash == path ? 1 : slash ? (size_t)(slash - path) : 1;
  if (len >= sizeof directory) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(directory, slash ? path : ".", len);
  directory[len] = '\0';
  return open_directory(AT_FDCWD, directory);
}

int fcgi__filename_directory(const char *path, const char **name) {
  const char *slash = strrchr(path, '/');
  walk w;
  *name = slash ? slash + 1 : path;
  if (geteuid() != 0)
    return open_plainly(path);
  return walk_all(&w, path) < 0 ? -1 : w.at;
}

int fcgi__filename_lock(const char *path) {
  const char *name;
  int at = fcgi__filename_directory(path, &name), fd;
  if (at < 0)
    return -1;
  fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  close(at);
  for (int i = 0; fd >= 0 && i < LOCK_LOOKS; i++) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
      break;
    poll(NULL, 0, LOCK_AGAIN);
  }
  return fd;
}

/* Whoever owns the directory can give a file of ours another name in it. */
static int refuse_linked(int at, int fd) {
  struct stat file, directory;
  if (fstat(fd, &file) == 0 && fstat(at, &directory) == 0 &&
      (!S_ISREG(file.st_mode) || file.st_nlink == 1 ||
       (is_ours(directory.st_uid) && !(directory.st_mode & S_IWOTH))))
    return fd;
  return close_with(fd, EMLINK);
}

/* The last component, whose links are followed as those before it. */
static int open_last(walk *w, int flags, mode_t mode) {
  char name[PATH_MAX];
  for (;;) {
    int kind = is_proc(w->at) ? 0 : O_NOFOLLOW;
    int fd = openat(w->at, w->rest, flags | kind, mode);
    if (fd >= 0 || errno != ELOOP)
      return fd < 0 ? fd : refuse_linked(w->at, fd);
    strcpy(name, w->rest);
    if (follow(w, name, "") < 0 || walk_on(w) < 0)
      return -1;
  }
}

int fcgi__filename_open(const char *path, int flags, mode_t mode) {
  walk w;
  int fd, saved;
  if (geteuid() != 0)
    return open(path, flags, mode);
  if (walk_all(&w, path) < 0)
    return -1;
  fd = open_last(&w, flags, mode);
  saved = errno;
  close(w.at);
  errno = saved;
  return fd;
}

static int check_at(int at, const char *name) {
  struct stat found;
  int mode = W_OK;
  if (fstatat(at, name, &found, 0) == 0)
    return S_ISDIR(found.st_mode)                      ? EISDIR
           : faccessat(at, name, mode, AT_EACCESS) < 0 ? errno
                                                       : 0;
  if (errno != ENOENT)
    return errno;
  return faccessat(at, ".", mode | X_OK, AT_EACCESS) < 0 ? errno : 0;
}

int fcgi__filename_check(const char *path) {
  const char *name;
  int at = fcgi__filename_directory(path, &name), problem;
  if (at < 0)
    return errno;
  problem = *name ? check_at(at, name) : EISDIR;
  close(at);
  return problem;
}

const char *fcgi__filename_error(int error) {
  switch (error) {
  case ELOOP:
    return "a symbolic link of another user's, or too many, are on the way, "
           "and root does not follow them";
  case EMLINK:
    return "the file has a second name, and its directory belongs to another "
           "user";
  default:
    return strerror(error);
  }
}
