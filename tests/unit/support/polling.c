/* SPDX-License-Identifier: MIT */
#include "support/polling.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int polling_set_up(void **state) {
  polling *f = calloc(1, sizeof *f);
  f->kind = *(const fcgi_poller_kind *)*state;
  fcgi_allocator allocator = fcgi__allocator(NULL);
  int fds[2];
  if (fcgi__poller_new(&f->poller, f->kind, &allocator) < 0 ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
    return -1;
  f->near = fds[0];
  f->far = fds[1];
  *state = f;
  return 0;
}

int polling_tear_down(void **state) {
  polling *f = *state;
  fcgi__poller_free(f->poller);
  close(f->near);
  close(f->far);
  free(f);
  return 0;
}

void polling_watch(polling *f, unsigned events) {
  assert_int_equal(fcgi__poller_add(f->poller, f->near, events, f), 0);
}

void polling_send(polling *f) {
  assert_int_equal(send(f->far, "x", 1, MSG_NOSIGNAL), 1);
}

unsigned polling_wait(polling *f, int timeout_ms) {
  fcgi__ready ready = {0};
  int found = fcgi__poller_wait(f->poller, &ready, 1, timeout_ms);
  assert_in_range(found, 0, 1);
  if (found == 1)
    assert_ptr_equal(ready.owner, f);
  return ready.events;
}

int polling_run(int (*run)(const char *group, void *kind)) {
  int failed = 0;
#ifdef __linux__
  fcgi_poller_kind with_epoll = FCGI_POLLER_EPOLL;
  failed += run("epoll", &with_epoll);
#endif
  fcgi_poller_kind with_poll = FCGI_POLLER_POLL;
  return failed + run("poll", &with_poll);
}
