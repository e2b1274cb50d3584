/* SPDX-License-Identifier: MIT */
#include "supervisor/signals.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const int taken[] = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP, SIGUSR1,
                            SIGUSR2, SIGTTIN, SIGTTOU, SIGCHLD};

static void fill_set(sigset_t *set) {
  sigemptyset(set);
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
    sigaddset(set, taken[i]);
}

static void *wait_for_signals(void *data) {
  fcgi__signals *signals = data;
  sigset_t set;
  int number = 0;
  fill_set(&set);
  while (sigwait(&set, &number) == 0 && !atomic_load(&signals->over)) {
    unsigned char byte = (unsigned char)number;
    while (write(signals->out, &byte, 1) < 0 && errno == EINTR)
      ;
  }
  return NULL;
}

static int start_thread(fcgi__signals *signals) {
  sigset_t all, mask;
  int error;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &mask);
  error = pthread_create(&signals->thread, NULL, wait_for_signals, signals);
  pthread_sigmask(SIG_SETMASK, &mask, NULL);
  return error;
}

/* SIGPIPE is blocked too: a log that nobody reads any more is no reason to
   die. SIGCHLD that is ignored, which a program can inherit, would make the
   system collect the children itself. */
int fcgi__signals_start(fcgi__signals *signals) {
  sigset_t set;
  int ends[2], error;
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -1;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  signals->in = ends[0];
  signals->out = ends[1];
  atomic_init(&signals->over, 0);
  sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL},
            &signals->on_child);
  fill_set(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, &signals->before);
  error = start_thread(signals);
  if (!error)
    return 0;
  sigaction(SIGCHLD, &signals->on_child, NULL);
  pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
  close(ends[0]);
  close(ends[1]);
  errno = error;
  return -1;
}

int fcgi__signals_take(fcgi__signals *signals, sigset_t *came) {
  unsigned char bytes[64];
  ssize_t len;
  int result = -1;
  sigemptyset(came);
  while ((len = read(signals->in, bytes, sizeof bytes)) > 0) {
    for (ssize_t i = 0; i < len; i++)
      sigaddset(came, bytes[i]);
    result = 0;
  }
  return result;
}

/* One that came too late must not end the process when it is unblocked. */
static void forget_pending(void) {
  for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
    sigset_t pending, one;
    int number;
    sigemptyset(&one);
    sigaddset(&one, taken[i]);
    if (sigpending(&pending) == 0 && sigismember(&pending, taken[i]) == 1)
      sigwait(&one, &number);
  }
}

void fcgi__signals_stop(fcgi__signals *signals) {
  sigset_t came;
  atomic_store(&signals->over, 1);
  pthread_kill(signals->thread, SIGUSR1);
  fcgi__signals_take(signals, &came); /* It may wait for room. */
  pthread_join(signals->thread, NULL);
  forget_pending();
  sigaction(SIGCHLD, &signals->on_child, NULL);
  pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
  close(signals->in);
  close(signals->out);
}
