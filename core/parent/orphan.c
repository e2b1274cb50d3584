/* SPDX-License-Identifier: MIT */
#include "parent/orphan.h"
#include "base/number.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#if defined(__linux__) && defined(SYS_timer_create) &&                         \
    defined(SYS_timer_settime)

/* SIGKILL needs no handler, and comes to a thread that never returns. The C
   library has these calls in a library of their own on older systems. */
static int make_timer(int *out) {
  struct sigevent how = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
  return (int)syscall(SYS_timer_create, CLOCK_MONOTONIC, &how, out);
}

static void start_timer(int timer, int ms) {
  const struct {
    long interval[2]; /* Seconds and nanoseconds: once only. */
    long value[2];    /* When it fires, the same way. */
  } when = {{0, 0}, {ms / 1000, (long)(ms % 1000) * 1000000 + 1}};
  syscall(SYS_timer_settime, timer, 0, &when, NULL);
}

#else

static int make_timer(int *out) {
  (void)out;
  return -1;
}

static void start_timer(int timer, int ms) {
  (void)timer;
  (void)ms;
}

#endif

/* What stands between may have closed it, and something else be there now. */
static int is_lifeline(int fd) {
  struct stat found;
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY &&
         fstat(fd, &found) == 0 && S_ISFIFO(found.st_mode);
}

const char *fcgi__orphan_find(fcgi__orphan *orphan, const char *text) {
  int said[4]; /* Our process id, our parent's, milliseconds, the pipe. */
  int hears;
  if (!*text)
    return NULL;
  if (fcgi__number_list(text, said, 4) < 0)
    return "it is not PID:PARENT:MS:LIFELINE";
  if (said[0] != getpid())
    return NULL;
  if (said[1] == 0)
    return "it names no parent";
  hears = said[3] == 0 || is_lifeline(said[3]);
  orphan->lifeline = hears ? said[3] : 0;
  if (make_timer(&orphan->timer) == 0) {
    orphan->patience_ms = said[2];
    atomic_store(&orphan->parent, (long)said[1]);
  }
  return hears ? NULL : "its last number is no pipe that can be read";
}

int fcgi__orphan_is_one(const fcgi__orphan *orphan) {
  long parent = atomic_load(&orphan->parent);
  return parent > 0 && (long)getppid() != parent;
}

void fcgi__orphan_stopping(fcgi__orphan *orphan) {
  if (fcgi__orphan_is_one(orphan) && !atomic_exchange(&orphan->timed, 1))
    start_timer(orphan->timer, orphan->patience_ms);
}
