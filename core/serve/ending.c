/* SPDX-License-Identifier: MIT */
#include "serve/ending.h"
#include "os/clock.h"
#include "server/server.h"
#include <limits.h>
#include <signal.h>
#include <unistd.h>

enum {
  MERCY_MS = 500,  /* For handlers, after they were told to stop at once. */
  WRITING_MS = 50, /* For the line that says so. */
  SAME_MS = 100,   /* Two signals that are no further apart are one wish. */
  FAILED = 1       /* The exit status where no signal can end us. */
};

void fcgi__ending_init(fcgi__ending *ending, fcgi_server *server) {
  int most = server->config.graceful_timeout_ms;
  *ending = (fcgi__ending){.server = server, .most_ms = most, .due = LLONG_MAX};
}

/* Every other thread may be inside a handler: the stop is carried out here. */
static void stop(fcgi__ending *ending, fcgi_stop how, long long due) {
  ending->due = due;
  fcgi_server_stop(ending->server, how);
  fcgi__server_serve_waiting(ending->server, 0);
}

static void hurry(fcgi__ending *ending) {
  if (ending->hurried)
    return;
  ending->hurried = 1;
  stop(ending, FCGI_STOP_NOW, fcgi__now() + MERCY_MS);
}

/* A supervisor that is killed has several threads, and the kernel sends its
   workers the signal of a parent's death for each of them. */
static int is_same(const fcgi__ending *ending, int number, long long now) {
  return ending->number == number && now - ending->at < SAME_MS &&
         atomic_load(&ending->server->orphan.parent) > 0;
}

void fcgi__ending_signal(fcgi__ending *ending, int number) {
  long long now = fcgi__now();
  int again = ending->number != 0, most = ending->most_ms;
  if (is_same(ending, number, now)) {
    fcgi__orphan_stopping(&ending->server->orphan);
    return;
  }
  ending->number = number;
  ending->at = now;
  if (again || number == SIGQUIT) {
    hurry(ending);
    return;
  }
  stop(ending, FCGI_STOP_GRACEFUL, most > 0 ? now + most : LLONG_MAX);
}

int fcgi__ending_wait_ms(const fcgi__ending *ending) {
  long long left;
  if (ending->due == LLONG_MAX)
    return -1;
  left = ending->due - fcgi__now();
  return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* By the signal, so that whoever started us sees what ended us; SIGQUIT would
   leave a core. Nothing of the program's is run, such as what it gave to
   atexit(3): that could hang too. */
static _Noreturn void end(const fcgi__ending *ending) {
  int number = ending->number == SIGINT ? SIGINT : SIGTERM;
  sigset_t set;
  fcgi__server_log(ending->server, FCGI_LOG_WARNING,
                   "handlers do not return; the process ends without them");
  usleep(WRITING_MS * 1000);
  signal(number, SIG_DFL);
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  kill(getpid(), number);
  _exit(FAILED);
}

void fcgi__ending_tick(fcgi__ending *ending) {
  if (ending->due > fcgi__now())
    return;
  if (ending->hurried)
    end(ending);
  hurry(ending);
}
