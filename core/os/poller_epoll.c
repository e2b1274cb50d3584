/* SPDX-License-Identifier: MIT */
#include "os/poller_ops.h"

#include <fastcgi/error.h>

#ifdef __linux__

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH = 64 }; /* Reports taken from the kernel at once, at most. */

typedef struct epoll_poller {
  fcgi__poller base;    /* First: the operations and the allocator. */
  int epoll_fd;         /* The shared interest list. */
  int wake_fd;          /* An eventfd that counts wakes. */
  atomic_int woken_all; /* 1 from fcgi__poller_wake_all on. */
} epoll_poller;

/* What stays readable for ever: more than threads could ever read away. */
static const uint64_t endless = (uint64_t)1 << 32;

static uint32_t to_epoll(unsigned events) {
  uint32_t wanted = 0;
  if (events & FCGI__POLL_IN)
    wanted |= EPOLLIN;
  if (events & FCGI__POLL_OUT)
    wanted |= EPOLLOUT;
  /* The kernel refuses EPOLLRDHUP together with EPOLLEXCLUSIVE. */
  if (events & FCGI__POLL_ALONE)
    return wanted | EPOLLEXCLUSIVE;
  if (events & FCGI__POLL_LEVEL)
    return wanted;
  if (events & FCGI__POLL_IN)
    wanted |= EPOLLRDHUP;
  return wanted | EPOLLET;
}

static unsigned from_epoll(uint32_t events) {
  unsigned ready = 0;
  if (events & (EPOLLIN | EPOLLRDHUP))
    ready |= FCGI__POLL_IN;
  if (events & EPOLLOUT)
    ready |= FCGI__POLL_OUT;
  if (events & (EPOLLHUP | EPOLLERR))
    ready |= FCGI__POLL_IN | FCGI__POLL_HANGUP;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
    ready |= FCGI__POLL_END;
  return ready;
}

static int control(epoll_poller *poller, int operation, int fd, uint32_t events,
                   void *owner) {
  struct epoll_event event = {.events = events, .data.ptr = owner};
  if (epoll_ctl(poller->epoll_fd, operation, fd, &event) == 0)
    return 0;
  return errno == ENOMEM ? FCGI_ERR_NOMEM : FCGI_ERR_SYSTEM;
}

static int epoll_add(fcgi__poller *base, int fd, unsigned events, void *owner) {
  epoll_poller *poller = (epoll_poller *)base;
  return control(poller, EPOLL_CTL_ADD, fd, to_epoll(events), owner);
}

static void epoll_remove(fcgi__poller *base, int fd) {
  control((epoll_poller *)base, EPOLL_CTL_DEL, fd, 0, NULL);
}

static int epoll_change(fcgi__poller *base, int fd, unsigned events,
                        void *owner) {
  epoll_poller *poller = (epoll_poller *)base;
  if ((events & FCGI__POLL_ALONE) == 0)
    return control(poller, EPOLL_CTL_MOD, fd, to_epoll(events), owner);
  /* EPOLL_CTL_MOD does not know EPOLLEXCLUSIVE. */
  epoll_remove(base, fd);
  return epoll_add(base, fd, events, owner);
}

/* An edge-triggered descriptor needs no rearming. */
static void epoll_rearm(fcgi__poller *base, int fd, unsigned events) {
  (void)base;
  (void)fd;
  (void)events;
}

/* Take one wake away, so that it wakes no other thread. A neighbour may have
   been quicker, which is fine: this return is then one for nothing. */
static void take_wake(epoll_poller *poller) {
  uint64_t one;
  errno = 0; /* It is neither of those that tell more. */
  if (atomic_load(&poller->woken_all))
    return;
  if (read(poller->wake_fd, &one, sizeof one) < 0)
    return;
}

static int epoll_wait_ready(fcgi__poller *base, fcgi__ready *ready, int count,
                            int timeout_ms) {
  epoll_poller *poller = (epoll_poller *)base;
  struct epoll_event events[BATCH];
  int batch = count < BATCH ? count : BATCH;
  int found = epoll_wait(poller->epoll_fd, events, batch, timeout_ms);
  if (found < 0)
    return errno == EINTR ? 0 : FCGI_ERR_SYSTEM;
  if (found == 0)
    errno = ETIMEDOUT;
  int reported = 0;
  for (int i = 0; i < found; i++) {
    if (events[i].data.ptr == poller) {
      take_wake(poller);
      continue;
    }
    ready[reported].owner = events[i].data.ptr;
    ready[reported++].events = from_epoll(events[i].events);
  }
  return reported;
}

/* A full counter wakes just as well, so a failed write needs no care. errno is
   kept for the code that a signal handler interrupts. */
static void add_wakes(epoll_poller *poller, uint64_t wakes) {
  int saved = errno;
  if (write(poller->wake_fd, &wakes, sizeof wakes) < 0)
    errno = saved;
}

static void epoll_wake(fcgi__poller *base) {
  add_wakes((epoll_poller *)base, 1);
}

static void epoll_wake_all(fcgi__poller *base) {
  epoll_poller *poller = (epoll_poller *)base;
  atomic_store(&poller->woken_all, 1);
  /* A thread that looked at woken_all just before may still read one away. */
  add_wakes(poller, endless);
}

static int epoll_fd_of(const fcgi__poller *base) {
  return ((const epoll_poller *)base)->epoll_fd;
}

static void epoll_free(fcgi__poller *base) {
  epoll_poller *poller = (epoll_poller *)base;
  fcgi_allocator allocator = base->allocator;
  if (poller->epoll_fd >= 0)
    close(poller->epoll_fd);
  if (poller->wake_fd >= 0)
    close(poller->wake_fd);
  fcgi__free(&allocator, poller);
}

static int open_descriptors(epoll_poller *poller) {
  poller->wake_fd = -1;
  poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (poller->epoll_fd < 0)
    return errno == ENOSYS ? FCGI_ERR_UNSUPPORTED : FCGI_ERR_SYSTEM;
  poller->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
  if (poller->wake_fd < 0)
    return FCGI_ERR_SYSTEM;
  /* Level-triggered: a wake that no thread has taken yet stays visible. */
  return control(poller, EPOLL_CTL_ADD, poller->wake_fd, EPOLLIN, poller);
}

static const fcgi__poller_ops operations = {
    .free = epoll_free,
    .add = epoll_add,
    .change = epoll_change,
    .remove = epoll_remove,
    .rearm = epoll_rearm,
    .wait = epoll_wait_ready,
    .wake = epoll_wake,
    .wake_all = epoll_wake_all,
    .fd = epoll_fd_of,
};

int fcgi__poller_epoll_new(fcgi__poller **out,
                           const fcgi_allocator *allocator) {
  epoll_poller *poller = fcgi__calloc(allocator, sizeof *poller);
  if (poller == NULL)
    return FCGI_ERR_NOMEM;
  poller->base = (fcgi__poller){&operations, *allocator};
  int error = open_descriptors(poller);
  if (error < 0) {
    int saved = errno;
    epoll_free(&poller->base);
    errno = saved;
    return error;
  }
  *out = &poller->base;
  return 0;
}

#else

int fcgi__poller_epoll_new(fcgi__poller **out,
                           const fcgi_allocator *allocator) {
  (void)out;
  (void)allocator;
  return FCGI_ERR_UNSUPPORTED;
}

#endif
