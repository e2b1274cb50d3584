/* SPDX-License-Identifier: MIT */
/* Every test runs for epoll and for poll(2). */
#include "support/failing.h"
#include "support/polling.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What a closed connection is reported as. */
enum { CLOSED = FCGI__POLL_IN | FCGI__POLL_HANGUP | FCGI__POLL_END };

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void test_poller_reports_bytes(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  assert_int_equal(polling_wait(f, 0), 0);
  polling_send(f);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
}

static void test_poller_reports_bytes_that_came_before(void **state) {
  polling *f = *state;
  polling_send(f);
  polling_watch(f, FCGI__POLL_IN);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
}

static void test_poller_reports_room_only_when_asked(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  assert_int_equal(polling_wait(f, 0), 0);
  fcgi__poller_change(f->poller, f->near, FCGI__POLL_IN | FCGI__POLL_OUT, f);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_OUT);
}

static void test_poller_reports_an_edge_once(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  polling_send(f);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
  assert_int_equal(polling_wait(f, SHORT_MS), 0);
}

static void test_poller_reports_again_after_new_bytes(void **state) {
  polling *f = *state;
  char byte;
  polling_watch(f, FCGI__POLL_IN);
  for (int i = 0; i < 5; i++) {
    polling_send(f);
    assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
    assert_int_equal(recv(f->near, &byte, 1, 0), 1);
    assert_int_equal(recv(f->near, &byte, 1, 0), -1);
    fcgi__poller_rearm(f->poller, f->near, FCGI__POLL_IN);
  }
}

static void test_poller_rearm_finds_bytes_of_meanwhile(void **state) {
  polling *f = *state;
  char bytes[8];
  polling_watch(f, FCGI__POLL_IN);
  polling_send(f);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
  assert_int_equal(recv(f->near, bytes, sizeof bytes, 0), 1);
  polling_send(f);
  fcgi__poller_rearm(f->poller, f->near, FCGI__POLL_IN);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
}

static void test_poller_change_rearms(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  polling_send(f);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
  fcgi__poller_change(f->poller, f->near, FCGI__POLL_IN, f);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
}

static void test_poller_change_takes_interest_away(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  fcgi__poller_change(f->poller, f->near, 0, f);
  polling_send(f);
  assert_int_equal(polling_wait(f, SHORT_MS), 0);
}

static void test_poller_change_gives_a_new_owner(void **state) {
  polling *f = *state;
  int owner;
  fcgi__ready ready;
  polling_watch(f, FCGI__POLL_IN);
  fcgi__poller_change(f->poller, f->near, FCGI__POLL_IN, &owner);
  polling_send(f);
  assert_int_equal(fcgi__poller_wait(f->poller, &ready, 1, LONG_MS), 1);
  assert_ptr_equal(ready.owner, &owner);
}

static void test_poller_change_refuses_an_unknown_descriptor(void **state) {
  polling *f = *state;
  assert_int_equal(fcgi__poller_change(f->poller, f->near, FCGI__POLL_IN, f),
                   FCGI_ERR_SYSTEM);
  assert_int_equal(errno, ENOENT);
}

static void test_poller_add_refuses_a_descriptor_twice(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  assert_int_equal(fcgi__poller_add(f->poller, f->near, FCGI__POLL_IN, f),
                   FCGI_ERR_SYSTEM);
  assert_int_equal(errno, EEXIST);
}

static void test_poller_add_refuses_a_bad_descriptor(void **state) {
  polling *f = *state;
  errno = 0;
  assert_int_equal(fcgi__poller_add(f->poller, -1, FCGI__POLL_IN, f),
                   FCGI_ERR_SYSTEM);
  assert_int_equal(errno, EBADF);
}

static void test_poller_remove_silences(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  polling_send(f);
  fcgi__poller_remove(f->poller, f->near);
  assert_int_equal(polling_wait(f, SHORT_MS), 0);
}

static void test_poller_adds_again_after_remove(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  fcgi__poller_remove(f->poller, f->near);
  polling_watch(f, FCGI__POLL_IN);
  polling_send(f);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
}

static void test_poller_half_close_is_input_and_end(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  shutdown(f->far, SHUT_WR);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN | FCGI__POLL_END);
}

/* One edge for both: who stops after the bytes never hears of the end. */
static void test_poller_end_shows_beside_bytes(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  polling_send(f);
  shutdown(f->far, SHUT_WR);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN | FCGI__POLL_END);
}

static void test_poller_close_is_input_and_hangup(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  close(f->far);
  assert_int_equal(polling_wait(f, LONG_MS), CLOSED);
  f->far = -1;
}

static void test_poller_close_is_seen_without_interest(void **state) {
  polling *f = *state;
  polling_watch(f, 0);
  close(f->far);
  assert_int_equal(polling_wait(f, LONG_MS), CLOSED);
  assert_int_equal(polling_wait(f, SHORT_MS), 0);
  f->far = -1;
}

static void test_poller_listener_reports_until_read(void **state) {
  polling *f = *state;
  char byte;
  polling_watch(f, FCGI__POLL_IN | FCGI__POLL_LISTENER);
  polling_send(f);
  for (int i = 0; i < 3; i++)
    assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
  assert_int_equal(recv(f->near, &byte, 1, 0), 1);
  assert_int_equal(polling_wait(f, SHORT_MS), 0);
}

static void test_poller_listener_reports_take_turns(void **state) {
  polling *f = *state;
  fcgi__ready first, second;
  polling_watch(f, FCGI__POLL_OUT | FCGI__POLL_LISTENER);
  assert_int_equal(fcgi__poller_add(f->poller, f->far,
                                    FCGI__POLL_OUT | FCGI__POLL_LISTENER,
                                    &f->far),
                   0);
  assert_int_equal(fcgi__poller_wait(f->poller, &first, 1, LONG_MS), 1);
  assert_int_equal(fcgi__poller_wait(f->poller, &second, 1, LONG_MS), 1);
  assert_ptr_not_equal(first.owner, second.owner);
}

static void test_poller_listener_can_be_paused(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN | FCGI__POLL_LISTENER);
  polling_send(f);
  assert_int_equal(
      fcgi__poller_change(f->poller, f->near, FCGI__POLL_LISTENER, f), 0);
  assert_int_equal(polling_wait(f, SHORT_MS), 0);
  assert_int_equal(fcgi__poller_change(f->poller, f->near,
                                       FCGI__POLL_IN | FCGI__POLL_LISTENER, f),
                   0);
  assert_int_equal(polling_wait(f, LONG_MS), FCGI__POLL_IN);
}

static void test_poller_waits_for_the_timeout(void **state) {
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  long long start = now_ms();
  assert_int_equal(polling_wait(f, 60), 0);
  assert_in_range(now_ms() - start, 59, LONG_MS);
}

static void test_poller_wake_is_kept_for_the_next(void **state) {
  polling *f = *state;
  fcgi__poller_wake(f->poller);
  assert_int_equal(polling_wait(f, -1), 0);
  long long start = now_ms();
  assert_int_equal(polling_wait(f, SHORT_MS), 0);
  assert_in_range(now_ms() - start, SHORT_MS - 1, LONG_MS);
}

static void test_poller_two_wakes_wake_twice(void **state) {
  polling *f = *state;
  fcgi__poller_wake(f->poller);
  fcgi__poller_wake(f->poller);
  assert_int_equal(polling_wait(f, -1), 0);
  assert_int_equal(polling_wait(f, -1), 0);
}

static void test_poller_wake_all_is_for_ever(void **state) {
  polling *f = *state;
  fcgi__poller_wake_all(f->poller);
  for (int i = 0; i < 100; i++)
    assert_int_equal(polling_wait(f, -1), 0);
}

static void test_poller_wake_leaves_reports_alone(void **state) {
  polling *f = *state;
  fcgi__ready ready[4];
  polling_watch(f, FCGI__POLL_IN);
  polling_send(f);
  fcgi__poller_wake(f->poller);
  int found = 0;
  for (int i = 0; i < 3 && found == 0; i++)
    found = fcgi__poller_wait(f->poller, ready, 4, SHORT_MS);
  assert_int_equal(found, 1);
  assert_ptr_equal(ready[0].owner, f);
}

static void test_poller_fd_is_readable_when_ready(void **state) {
  polling *f = *state;
  int fd = fcgi__poller_fd(f->poller);
  if (f->kind == FCGI_POLLER_POLL) {
    assert_int_equal(fd, FCGI_ERR_UNSUPPORTED);
    return;
  }
  struct pollfd set = {fd, POLLIN, 0};
  polling_watch(f, FCGI__POLL_IN);
  assert_int_equal(poll(&set, 1, 0), 0);
  polling_send(f);
  assert_int_equal(poll(&set, 1, LONG_MS), 1);
}

static void test_poller_new_without_memory_fails(void **state) {
  polling *f = *state;
  failing memory = {.until_failure = 0};
  fcgi_allocator allocator = failing_allocator(&memory);
  fcgi__poller *poller = NULL;
  assert_int_equal(fcgi__poller_new(&poller, f->kind, &allocator),
                   FCGI_ERR_NOMEM);
  assert_int_equal(memory.live, 0);
}

static void test_poller_free_returns_all_memory(void **state) {
  polling *f = *state;
  failing memory = {.until_failure = -1};
  fcgi_allocator allocator = failing_allocator(&memory);
  fcgi__poller *poller = NULL;
  fcgi__ready ready;
  assert_int_equal(fcgi__poller_new(&poller, f->kind, &allocator), 0);
  assert_int_equal(fcgi__poller_add(poller, f->near, FCGI__POLL_IN, f), 0);
  assert_int_equal(fcgi__poller_wait(poller, &ready, 1, 0), 0);
  fcgi__poller_free(poller);
  assert_int_equal(memory.live, 0);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      POLLING_TEST(test_poller_reports_bytes),
      POLLING_TEST(test_poller_reports_bytes_that_came_before),
      POLLING_TEST(test_poller_reports_room_only_when_asked),
      POLLING_TEST(test_poller_reports_an_edge_once),
      POLLING_TEST(test_poller_reports_again_after_new_bytes),
      POLLING_TEST(test_poller_rearm_finds_bytes_of_meanwhile),
      POLLING_TEST(test_poller_change_rearms),
      POLLING_TEST(test_poller_change_takes_interest_away),
      POLLING_TEST(test_poller_change_gives_a_new_owner),
      POLLING_TEST(test_poller_change_refuses_an_unknown_descriptor),
      POLLING_TEST(test_poller_add_refuses_a_descriptor_twice),
      POLLING_TEST(test_poller_add_refuses_a_bad_descriptor),
      POLLING_TEST(test_poller_remove_silences),
      POLLING_TEST(test_poller_adds_again_after_remove),
      POLLING_TEST(test_poller_half_close_is_input_and_end),
      POLLING_TEST(test_poller_end_shows_beside_bytes),
      POLLING_TEST(test_poller_close_is_input_and_hangup),
      POLLING_TEST(test_poller_close_is_seen_without_interest),
      POLLING_TEST(test_poller_listener_reports_until_read),
      POLLING_TEST(test_poller_listener_reports_take_turns),
      POLLING_TEST(test_poller_listener_can_be_paused),
      POLLING_TEST(test_poller_waits_for_the_timeout),
      POLLING_TEST(test_poller_wake_is_kept_for_the_next),
      POLLING_TEST(test_poller_two_wakes_wake_twice),
      POLLING_TEST(test_poller_wake_all_is_for_ever),
      POLLING_TEST(test_poller_wake_leaves_reports_alone),
      POLLING_TEST(test_poller_fd_is_readable_when_ready),
      POLLING_TEST(test_poller_new_without_memory_fails),
      POLLING_TEST(test_poller_free_returns_all_memory),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return polling_run(run);
}
