/* SPDX-License-Identifier: MIT */
/* poll(2) for many threads: one of them, the leader, polls; the others wait on
   a condition variable until they are needed. Edge-triggering is made from
   disarming what was reported. */
#include "os/poller_ops.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CROWDED_MS = 50 }; /* Between two looks at a set that cannot grow. */

#ifndef POLLRDHUP
#define POLLRDHUP 0 /* Elsewhere the peer's half-close shows as POLLIN. */
#endif

typedef struct watch {
  void *owner;           /* Whom reports go to. */
  unsigned short wanted; /* FCGI__POLL_*, as asked for. */
  unsigned short armed;  /* IN, OUT, HANGUP: what is reported next. */
  unsigned char used;    /* 1 while the descriptor is watched. */
  unsigned char polled;  /* 1 when the leader's poll(2) is about this very
                            watch, not one that had the number before. */
} watch;

typedef struct poll_poller {
  fcgi__poller base;      /* First: the operations and the allocator. */
  pthread_mutex_t lock;   /* Guards all below but the atomics. */
  pthread_cond_t changed; /* Leadership is free, or a wake is due. */
  watch *watches;         /* By descriptor. */
  int watch_count;        /* How many there is room for. */
  struct pollfd *set;     /* The leader's: what poll(2) is given. */
  int set_count;          /* How many there is room for. */
  int turn;               /* Where the search for reports begins. */
  int pipe_fds[2];        /* Wakes the leader. */
  int leading;            /* 1 while some thread is the leader. */
  int polling;            /* 1 while it is in poll(2). */
  int nudged;             /* 1 while a byte for it is in the pipe. */
  int followers;          /* Threads at the condition variable. */
  atomic_uint wakes;      /* Wakes that no thread has taken yet. */
  atomic_int woken_all;   /* 1 from fcgi__poller_wake_all on. */
} poll_poller;

/* A full pipe wakes just as well, so a failed write needs no care. errno is
   kept for the code that a signal handler interrupts. */
static void write_pipe(poll_poller *poller) {
  int saved = errno;
  if (write(poller->pipe_fds[1], "", 1) < 0)
    errno = saved;
}

/* Make the leader look at the watches anew. Locked. */
static void nudge(poll_poller *poller) {
  if (!poller->polling || poller->nudged)
    return;
  poller->nudged = 1;
  write_pipe(poller);
}

/* The watch of `fd`, or NULL. Locked. */
static watch *find(poll_poller *poller, int fd) {
  if (fd < 0 || fd >= poller->watch_count || !poller->watches[fd].used)
    return NULL;
  return &poller->watches[fd];
}

static int is_level(const watch *w) {
  return (w->wanted & FCGI__POLL_LEVEL) != 0;
}

static void arm(watch *w) {
  unsigned directions = w->wanted & (FCGI__POLL_IN | FCGI__POLL_OUT);
  /* poll(2) reports a hang-up unasked, for a level-triggered descriptor again
     and again, so one that nobody asks about is left out. */
  if (!is_level(w) || directions != 0)
    directions |= FCGI__POLL_HANGUP;
  w->armed = (unsigned short)directions;
}

/* Make room for a watch of `fd`. Locked. */
static int grow_watches(poll_poller *poller, int fd) {
  if (fd < poller->watch_count)
    return 0;
  int count = fd < 32 ? 64 : fd + fd / 2 + 1;
  watch *watches = fcgi__realloc(&poller->base.allocator, poller->watches,
                                 (size_t)count * sizeof *watches);
  if (watches == NULL)
    return FCGI_ERR_NOMEM;
  memset(watches + poller->watch_count, 0,
         (size_t)(count - poller->watch_count) * sizeof *watches);
  poller->watches = watches;
  poller->watch_count = count;
  return 0;
}

static int poll_add(fcgi__poller *base, int fd, unsigned events, void *owner) {
  poll_poller *poller = (poll_poller *)base;
  if (fd < 0) {
    errno = EBADF;
    return FCGI_ERR_SYSTEM;
  }
  pthread_mutex_lock(&poller->lock);
  int error = grow_watches(poller, fd);
  if (error == 0 && poller->watches[fd].used) {
    errno = EEXIST;
    error = FCGI_ERR_SYSTEM;
  }
  if (error == 0) {
    watch *w = &poller->watches[fd];
    *w = (watch){owner, (unsigned short)events, 0, 1, 0};
    arm(w);
    nudge(poller);
  }
  pthread_mutex_unlock(&poller->lock);
  return error;
}

static int poll_change(fcgi__poller *base, int fd, unsigned events,
                       void *owner) {
  poll_poller *poller = (poll_poller *)base;
  pthread_mutex_lock(&poller->lock);
  watch *w = find(poller, fd);
  if (w != NULL) {
    w->owner = owner;
    w->wanted = (unsigned short)events;
    arm(w);
    nudge(poller);
  }
  pthread_mutex_unlock(&poller->lock);
  if (w != NULL)
    return 0;
  errno = ENOENT;
  return FCGI_ERR_SYSTEM;
}

static void poll_remove(fcgi__poller *base, int fd) {
  poll_poller *poller = (poll_poller *)base;
  pthread_mutex_lock(&poller->lock);
  watch *w = find(poller, fd);
  if (w != NULL) {
    *w = (watch){0};
    nudge(poller);
  }
  pthread_mutex_unlock(&poller->lock);
}

static void poll_rearm(fcgi__poller *base, int fd, unsigned events) {
  poll_poller *poller = (poll_poller *)base;
  pthread_mutex_lock(&poller->lock);
  watch *w = find(poller, fd);
  if (w != NULL && !is_level(w)) {
    w->wanted = (unsigned short)events;
    arm(w);
    nudge(poller);
  }
  pthread_mutex_unlock(&poller->lock);
}

/* Make room in the leader's set for every watch and the pipe. Locked. */
static int grow_set(poll_poller *poller) {
  int count = poller->watch_count + 1;
  if (count <= poller->set_count)
    return 0;
  struct pollfd *set = fcgi__realloc(&poller->base.allocator, poller->set,
                                     (size_t)count * sizeof *set);
  if (set == NULL)
    return FCGI_ERR_NOMEM;
  poller->set = set;
  poller->set_count = count;
  return 0;
}

static short to_poll(unsigned armed) {
  int wanted = 0;
  if (armed & FCGI__POLL_IN)
    wanted |= POLLIN | POLLRDHUP;
  if (armed & FCGI__POLL_OUT)
    wanted |= POLLOUT;
  return (short)wanted;
}

static unsigned from_poll(short events) {
  unsigned ready = 0;
  if (events & (POLLIN | POLLRDHUP))
    ready |= FCGI__POLL_IN;
  if (events & POLLOUT)
    ready |= FCGI__POLL_OUT;
  if (events & (POLLHUP | POLLERR | POLLNVAL))
    ready |= FCGI__POLL_IN | FCGI__POLL_HANGUP;
  if (events & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
    ready |= FCGI__POLL_END;
  return ready;
}

/* Write the pipe and every armed watch there is room for into the leader's
   set, which other threads leave alone while poll(2) reads it; returns how
   many. Locked. */
static int fill_set(poll_poller *poller) {
  int count = 0;
  poller->set[count++] = (struct pollfd){poller->pipe_fds[0], POLLIN, 0};
  for (int fd = 0; fd < poller->watch_count; fd++) {
    watch *w = &poller->watches[fd];
    w->polled = w->used && w->armed != 0 && count < poller->set_count;
    if (w->polled)
      poller->set[count++] = (struct pollfd){fd, to_poll(w->armed), 0};
  }
  return count;
}

/* Report what poll(2) says about one descriptor, if that is still wanted, and
   disarm it: 1 when `ready` was filled. Locked. */
static int report(poll_poller *poller, const struct pollfd *found,
                  fcgi__ready *ready) {
  watch *w = find(poller, found->fd);
  if (found->revents == 0 || w == NULL || !w->polled)
    return 0;
  unsigned events = from_poll(found->revents);
  /* A hang-up is news for a reader even while it is disarmed. */
  if ((events & FCGI__POLL_HANGUP) == 0)
    events &= w->armed | FCGI__POLL_END;
  if ((events & ~(unsigned)FCGI__POLL_END) == 0 || w->armed == 0)
    return 0;
  *ready = (fcgi__ready){w->owner, events};
  if (events & FCGI__POLL_HANGUP && !is_level(w))
    w->armed = 0;
  else if (!is_level(w))
    w->armed &= (unsigned short)~events;
  return 1;
}

/* Collect reports from the first `polled` of the set, beginning at another
   place each time so that none starves. The rest stays armed and is found by
   the next poll(2). Locked. */
static int collect(poll_poller *poller, int polled, fcgi__ready *ready,
                   int count) {
  int watches = polled - 1;
  int reported = 0;
  for (int i = 0; i < watches && reported < count; i++) {
    int at = (poller->turn + i) % watches;
    reported += report(poller, &poller->set[1 + at], &ready[reported]);
    if (reported == count)
      poller->turn = at + 1;
  }
  return reported;
}

static void drain_pipe(poll_poller *poller) {
  char bytes[64];
  while (read(poller->pipe_fds[0], bytes, sizeof bytes) == sizeof bytes)
    continue;
  poller->nudged = 0;
}

static struct timespec deadline_after(int timeout_ms) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  at.tv_sec += timeout_ms / 1000;
  at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
  if (at.tv_nsec >= 1000000000) {
    at.tv_sec++;
    at.tv_nsec -= 1000000000;
  }
  return at;
}

/* Milliseconds until `deadline`, rounded up, 0 when it has passed; -1 when
   there is none. */
static int remaining_ms(const struct timespec *deadline) {
  if (deadline == NULL)
    return -1;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  long long left = (long long)(deadline->tv_sec - now.tv_sec) * 1000000000 +
                   (deadline->tv_nsec - now.tv_nsec);
  return left <= 0 ? 0 : (int)((left + 999999) / 1000000);
}

/* 1 when a wake is due to the calling thread, which takes it. Locked. */
static int take_wake(poll_poller *poller) {
  if (atomic_load(&poller->woken_all))
    return 1;
  if (atomic_load(&poller->wakes) == 0)
    return 0;
  atomic_fetch_sub(&poller->wakes, 1); /* Only here, locked. */
  return 1;
}

/* One poll(2): how many reports, or an error; `*again` is 1 when it returned
   only to see a changed set. Locked, but for the system call itself. */
static int poll_once(poll_poller *poller, fcgi__ready *ready, int count,
                     int timeout_ms, int *again) {
  *again = 0;
  /* Without memory those that fit go on, and soon the others may. */
  if (grow_set(poller) < 0 && (timeout_ms < 0 || timeout_ms > CROWDED_MS))
    timeout_ms = CROWDED_MS;
  int polled = fill_set(poller);
  poller->polling = 1;
  pthread_mutex_unlock(&poller->lock);
  int found = poll(poller->set, (nfds_t)polled, timeout_ms);
  int failure = errno;
  pthread_mutex_lock(&poller->lock);
  poller->polling = 0;
  if (found < 0) {
    errno = failure;
    return failure == EINTR ? 0 : FCGI_ERR_SYSTEM;
  }
  errno = found == 0 ? ETIMEDOUT : 0;
  if (poller->set[0].revents != 0)
    drain_pipe(poller);
  int reported = collect(poller, polled, ready, count);
  *again = found > 0 && reported == 0;
  return reported;
}

/* Poll until there is something to return. Locked. */
static int lead(poll_poller *poller, fcgi__ready *ready, int count,
                const struct timespec *deadline) {
  int again;
  int result;
  poller->leading = 1;
  do {
    result = poll_once(poller, ready, count, remaining_ms(deadline), &again);
  } while (again && !take_wake(poller));
  poller->leading = 0;
  return result;
}

/* Wait for leadership or a wake: 0, or ETIMEDOUT. Locked. */
static int follow(poll_poller *poller, const struct timespec *deadline) {
  int result;
  poller->followers++;
  if (deadline == NULL)
    result = pthread_cond_wait(&poller->changed, &poller->lock);
  else
    result = pthread_cond_timedwait(&poller->changed, &poller->lock, deadline);
  poller->followers--;
  return result;
}

/* Leave nothing behind undone: whoever leaves a wait may have been the thread
   that more than one signal was meant for. Locked. */
static void hand_over(poll_poller *poller) {
  if (atomic_load(&poller->woken_all))
    pthread_cond_broadcast(&poller->changed);
  else if (poller->followers > 0 &&
           (!poller->leading || atomic_load(&poller->wakes) > 0))
    pthread_cond_signal(&poller->changed);
  else if (atomic_load(&poller->wakes) > 0)
    nudge(poller);
}

static int poll_wait(fcgi__poller *base, fcgi__ready *ready, int count,
                     int timeout_ms) {
  poll_poller *poller = (poll_poller *)base;
  struct timespec at;
  const struct timespec *deadline = NULL;
  if (timeout_ms >= 0) {
    at = deadline_after(timeout_ms);
    deadline = &at;
  }
  int result = 0;
  int timed_out = 0;
  errno = 0;
  pthread_mutex_lock(&poller->lock);
  while (!take_wake(poller)) {
    if (!poller->leading) {
      result = lead(poller, ready, count, deadline);
      break;
    }
    if (timed_out) {
      errno = EBUSY;
      break;
    }
    timed_out = follow(poller, deadline) == ETIMEDOUT;
  }
  hand_over(poller);
  pthread_mutex_unlock(&poller->lock);
  return result;
}

/* A signal handler may neither lock nor signal the condition variable: the
   leader does it on its way out. Where there are followers there is a leader,
   or one of them is about to look at what is due. */
static void poll_wake(fcgi__poller *base) {
  poll_poller *poller = (poll_poller *)base;
  atomic_fetch_add(&poller->wakes, 1);
  write_pipe(poller);
}

static void poll_wake_all(fcgi__poller *base) {
  poll_poller *poller = (poll_poller *)base;
  atomic_store(&poller->woken_all, 1);
  write_pipe(poller);
}

static int poll_fd(const fcgi__poller *base) {
  (void)base;
  return FCGI_ERR_UNSUPPORTED;
}

static void poll_free(fcgi__poller *base) {
  poll_poller *poller = (poll_poller *)base;
  fcgi_allocator allocator = base->allocator;
  close(poller->pipe_fds[0]);
  close(poller->pipe_fds[1]);
  pthread_cond_destroy(&poller->changed);
  pthread_mutex_destroy(&poller->lock);
  fcgi__free(&allocator, poller->watches);
  fcgi__free(&allocator, poller->set);
  fcgi__free(&allocator, poller);
}

static const fcgi__poller_ops operations = {
    .free = poll_free,
    .add = poll_add,
    .change = poll_change,
    .remove = poll_remove,
    .rearm = poll_rearm,
    .wait = poll_wait,
    .wake = poll_wake,
    .wake_all = poll_wake_all,
    .fd = poll_fd,
};

/* pipe2(2) is not everywhere; nothing forks between these calls here. */
static int open_pipe(int fds[2]) {
  if (pipe(fds) < 0)
    return FCGI_ERR_SYSTEM;
  for (int i = 0; i < 2; i++) {
    if (fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(fds[i], F_SETFL, O_NONBLOCK) < 0) {
      close(fds[0]);
      close(fds[1]);
      return FCGI_ERR_SYSTEM;
    }
  }
  return 0;
}

static int init_threads(poll_poller *poller) {
  pthread_condattr_t attributes;
  int error = pthread_condattr_init(&attributes);
  if (error == 0) {
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(&poller->changed, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  if (error == 0) {
    error = pthread_mutex_init(&poller->lock, NULL);
    if (error != 0)
      pthread_cond_destroy(&poller->changed);
  }
  errno = error;
  return error == 0 ? 0 : FCGI_ERR_SYSTEM;
}

int fcgi__poller_poll_new(fcgi__poller **out, const fcgi_allocator *allocator) {
  poll_poller *poller = fcgi__calloc(allocator, sizeof *poller);
  if (poller == NULL)
    return FCGI_ERR_NOMEM;
  poller->base = (fcgi__poller){&operations, *allocator};
  int error = open_pipe(poller->pipe_fds);
  if (error < 0) {
    fcgi__free(allocator, poller);
    return error;
  }
  error = grow_set(poller);
  if (error == 0)
    error = init_threads(poller);
  if (error < 0) {
    close(poller->pipe_fds[0]);
    close(poller->pipe_fds[1]);
    fcgi__free(allocator, poller->set);
    fcgi__free(allocator, poller);
    return error;
  }
  *out = &poller->base;
  return 0;
}
