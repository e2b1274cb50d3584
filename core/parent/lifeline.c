/* SPDX-License-Identifier: MIT */
#include "parent/lifeline.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

/* Whoever blocks it has something that waits for it. */
static int ends_by_sigterm(void) {
  struct sigaction action;
  sigset_t blocked;
  return sigaction(SIGTERM, NULL, &action) == 0 &&
         !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL &&
         pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0 &&
         sigismember(&blocked, SIGTERM) == 0;
}

int fcgi__lifeline_watch(fcgi__lifeline *lifeline, fcgi__poller *poller,
                         int fd) {
  if (fd <= 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || !ends_by_sigterm())
    return 0;
  atomic_store(&lifeline->watched, fd);
  if (fcgi__poller_add(poller, fd, FCGI__POLL_IN | FCGI__POLL_LEVEL,
                       lifeline) == 0)
    return 1;
  atomic_store(&lifeline->watched, 0);
  return 0;
}

/* What was written stays in the pipe: another server of this process watches
   it too. */
int fcgi__lifeline_leave(fcgi__lifeline *lifeline, fcgi__poller *poller) {
  int fd = atomic_exchange(&lifeline->watched, 0);
  if (fd == 0)
    return 0;
  fcgi__poller_remove(poller, fd);
  return 1;
}
