/* SPDX-License-Identifier: MIT */
/* Loaded before the C library. Threads that the first one wakes by a broadcast
   go on waiting until the file exists that LATE_UNTIL names, like those that a
   busy machine has not run yet: what the first one does meanwhile, such as a
   fork, finds them inside pthread_cond_wait(3). With LATE_KEEPS, who waits for
   about half a second keeps the lock for so long: a child that is forked
   meanwhile finds it taken. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { WAITERS = 16, LOOK_US = 5000, LEAST_MS = 400, MOST_MS = 500 };

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

/* Since boot, or of the calendar. */
static clockid_t clock_of(const struct timespec *until) {
  return until->tv_sec < 1000000000 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

static long left_ms(const struct timespec *until) {
  struct timespec now;
  clock_gettime(clock_of(until), &now);
  return (until->tv_sec - now.tv_sec) * 1000 +
         (until->tv_nsec - now.tv_nsec) / 1000000;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *lock,
                           const struct timespec *until) {
  long ms = left_ms(until);
  if (!getenv("LATE_KEEPS") || ms < LEAST_MS || ms > MOST_MS)
    return pthread_cond_clockwait(condition, lock, clock_of(until), until);
  clock_nanosleep(clock_of(until), TIMER_ABSTIME, until, NULL);
  return ETIMEDOUT;
}
