/* SPDX-License-Identifier: MIT */
/* Loaded before the C library. Threads that the first one wakes by a broadcast
   go on waiting until the file exists that LATE_UNTIL names, like those that a
   busy machine has not run yet: what the first one does meanwhile, such as a
   fork, finds them inside pthread_cond_wait(3). */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { WAITERS = 16, LOOK_US = 5000 };

/* As many signals as a broadcast wakes threads. */
static void wake(pthread_cond_t *condition) {
  for (int i = 0; i < WAITERS; i++)
    pthread_cond_signal(condition);
}

static void *wake_late(void *condition) {
  const char *file = getenv("LATE_UNTIL");
  while (access(file, F_OK) != 0)
    usleep(LOOK_US);
  wake(condition);
  return NULL;
}

static void start_late(pthread_cond_t *condition) {
  sigset_t all, before;
  pthread_t thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  if (pthread_create(&thread, NULL, wake_late, condition) == 0)
    pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int pthread_cond_broadcast(pthread_cond_t *condition) {
  if (getenv("LATE_UNTIL") && gettid() == getpid())
    start_late(condition);
  else
    wake(condition);
  return 0;
}
