/* SPDX-License-Identifier: MIT */
#include "parent/orphan.h"
#include "base/number.h"
#include "server/server.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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
    long value[2];    /* Likewise: when. */
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

void fcgi__orphan_find(fcgi_server *server) {
  fcgi__orphan *orphan = &server->orphan;
  const char *text = server->starter.supervisor;
  int said[4]; /* Our process id, our parent's, milliseconds, the pipe. */
  if (fcgi__number_list(text, said, 4) < 0 || said[0] != getpid() ||
      said[1] == 0)
    return;
  orphan->lifeline = said[3];
  if (make_timer(&orphan->timer) < 0)
    return;
  orphan->patience_ms = said[2];
  atomic_store(&orphan->parent, (long)said[1]);
}

int fcgi__orphan_is_one(const fcgi_server *server) {
  long parent = atomic_load(&server->orphan.parent);
  return parent > 0 && (long)getppid() != parent;
}

void fcgi__orphan_stopping(const fcgi_server *server) {
  if (fcgi__orphan_is_one(server))
    start_timer(server->orphan.timer, server->orphan.patience_ms);
}

/* Another thread may be about to use them: the numbers stay taken. */
void fcgi__orphan_let_go(fcgi_server *server) {
  int nothing;
  if (!fcgi__orphan_is_one(server))
    return;
  atomic_store(&server->handover.out, -1);
  nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0)
    return;
  for (size_t i = 0; i < server->listener_count; i++)
    if (!server->listeners[i].own)
      dup3(nothing, server->listeners[i].fd, O_CLOEXEC);
  close(nothing);
}
