/* SPDX-License-Identifier: MIT */
#include "supervisor/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

int fcgi__spawn_lift(int fd) {
  int lifted = fcntl(fd, F_DUPFD_CLOEXEC, FCGI__PASSED_FLOOR), saved = errno;
  close(fd);
  errno = saved;
  return lifted;
}

static int is_program(const char *path) {
  struct stat about;
  if (stat(path, &about) < 0)
    return 0;
  if (!S_ISREG(about.st_mode)) {
    errno = EACCES;
    return 0;
  }
  return access(path, X_OK) == 0;
}

int fcgi__spawn_find(const char *name, char *path, size_t len) {
  const char *at = getenv("PATH");
  int reason = ENOENT;
  if (strchr(name, '/')) {
    snprintf(path, len, "%s", name);
    return is_program(path) ? 0 : -1;
  }
  for (at = at ? at : "/usr/bin:/bin"; at; at = strchr(at, ':')) {
    at += *at == ':';
    int part = (int)strcspn(at, ":");
    snprintf(path, len, "%.*s%s%s", part, at, part ? "/" : "./", name);
    if (is_program(path))
      return 0;
    if (errno == EACCES)
      reason = EACCES;
  }
  errno = reason;
  return -1;
}

static void reset_signals(int ignored_too) {
  const struct sigaction normal = {.sa_handler = SIG_DFL};
  const struct sigaction ignored = {.sa_handler = SIG_IGN};
  sigset_t none;
  for (int number = 1; number < NSIG; number++)
    sigaction(number, &normal, NULL);
  if (ignored_too) {
    sigaction(SIGHUP, &ignored, NULL);
    sigaction(SIGUSR1, &ignored, NULL);
  }
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A group of its own: Ctrl-C reaches the supervisor alone, which then stops its
   workers as it should; and what a worker leaves behind can be found. */
static void set_apart(pid_t parent) {
  setpgid(0, 0);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
  if (getppid() != parent)
    _exit(0);
}

static void pass_descriptors(const fcgi__spawn *spawn) {
  for (size_t i = 0; i < spawn->passed_count; i++)
    dup2(spawn->passed[i], FCGI__PASSED_FIRST + (int)i);
  if (spawn->standard_input >= 0)
    dup2(spawn->standard_input, STDIN_FILENO);
}

static _Noreturn void become(const fcgi__spawn *spawn, pid_t parent,
                             int report) {
  union {
    const char *const *from; /* As we keep them. */
    char *const *to;         /* As execve(2) declares them, and does not
                                write. */
  } arguments = {.from = spawn->arguments};
  int error;
  if (spawn->is_worker)
    set_apart(parent);
  pass_descriptors(spawn);
  fcgi__environment_stamp(spawn->environment, getpid());
  reset_signals(spawn->is_worker);
  if (spawn->directory < 0 || fchdir(spawn->directory) == 0)
    execve(spawn->path, arguments.to, spawn->environment->list);
  error = errno;
  while (write(report, &error, sizeof error) < 0 && errno == EINTR)
    ;
  _exit(127);
}

/* The report's other end closes when execve(2) has succeeded. */
static pid_t await_execve(pid_t pid, int report) {
  int error = 0;
  ssize_t len;
  do
    len = read(report, &error, sizeof error);
  while (len < 0 && errno == EINTR);
  close(report);
  if (len != (ssize_t)sizeof error)
    return pid;
  waitpid(pid, NULL, 0);
  errno = error;
  return -1;
}

static pid_t with_errno(int error, int fd, int other) {
  if (fd >= 0)
    close(fd);
  if (other >= 0)
    close(other);
  errno = error;
  return -1;
}

pid_t fcgi__spawn_start(const fcgi__spawn *spawn) {
  pid_t parent = getpid(), pid;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -1;
  ends[1] = fcgi__spawn_lift(ends[1]);
  if (ends[1] < 0)
    return with_errno(errno, ends[0], -1);
  pid = fork();
  if (pid < 0)
    return with_errno(errno, ends[0], ends[1]);
  if (pid == 0)
    become(spawn, parent, ends[1]);
  close(ends[1]);
  return await_execve(pid, ends[0]);
}
