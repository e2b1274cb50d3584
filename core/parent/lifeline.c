/* SPDX-License-Identifier: MIT */
#include "parent/lifeline.h"
#include "server/server.h"
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

int fcgi__lifeline_watch(fcgi_server *server, int fd) {
  fcgi__lifeline *lifeline = &server->lifeline;
  if (fd <= 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || !ends_by_sigterm())
    return 0;
  atomic_store(&lifeline->watched, fd);
  if (fcgi__poller_add(server->poller, fd, FCGI__POLL_IN | FCGI__POLL_LEVEL,
                       lifeline) == 0)
    return 1;
  atomic_store(&lifeline->watched, 0);
  return 0;
}

/* What was written stays in the pipe: another server of this process watches
   it too. */
void fcgi__lifeline_stop(fcgi_server *server) {
  int fd = atomic_exchange(&server->lifeline.watched, 0);
  if (fd == 0)
    return;
  fcgi__poller_remove(server->poller, fd);
  fcgi_server_stop(server, FCGI_STOP_GRACEFUL);
}
