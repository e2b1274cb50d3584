/* SPDX-License-Identifier: MIT */
/* The queue of connections between workers. */
#include "parent/queue.h"
#include "support/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char variable[] = "FASTCGI_SHARE";

typedef struct scene {
  fcgi__queue queue; /* Under test. */
  int ends[2];       /* Its sockets, */
  int connection[2]; /* and one to put there. */
} scene;

static int set_up(void **state) {
  scene *s = calloc(1, sizeof *s);
  unsetenv(variable);
  fcgi__queue_init(&s->queue);
  *state = s;
  return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s->ends) ||
         socketpair(AF_UNIX, SOCK_STREAM, 0, s->connection);
}

static int tear_down(void **state) {
  scene *s = *state;
  for (int i = 0; i < 2; i++) {
    close(s->ends[i]);
    close(s->connection[i]);
  }
  unsetenv(variable);
  free(s);
  return 0;
}

static void begin(scene *s) {
  atomic_store(&s->queue.out, s->ends[0]);
  atomic_store(&s->queue.in, s->ends[1]);
}

static fcgi__queue_result put(scene *s, int64_t since) {
  const fcgi__queue_note note = {
      .since = since, .idle_due = 2 * since, .fresh = 1};
  return fcgi__queue_put(&s->queue, s->connection[0], &note);
}

static void test_without_one_nothing_is_given(void **state) {
  scene *s = *state;
  fcgi__queue_note note;
  int fd;
  assert_int_equal(put(s, 1), FCGI__QUEUE_STAYS);
  assert_true(fcgi__queue_take(&s->queue, &fd, &note) < 0);
  assert_int_equal(fd, -1);
  assert_int_equal(fcgi__queue_since(&s->queue), 0);
  assert_int_equal(fcgi__queue_length(&s->queue), 0);
  assert_true(fcgi__queue_is_shut(&s->queue));
}

static void expect_taken(scene *s, int64_t since) {
  fcgi__queue_note note;
  char byte = 0;
  int fd;
  assert_int_equal(fcgi__queue_take(&s->queue, &fd, &note), 1);
  assert_int_equal(note.since, since);
  assert_int_equal(note.idle_due, 2 * since);
  assert_int_equal(note.fresh, 1);
  assert_int_equal(note.shared, 0);
  assert_int_equal(write(fd, "x", 1), 1);
  assert_int_equal(read(s->connection[1], &byte, 1), 1);
  close(fd);
}

static void test_the_oldest_is_taken_first(void **state) {
  scene *s = *state;
  fcgi__queue_note note;
  int fd;
  begin(s);
  for (int64_t since = 1; since <= 3; since++) {
    assert_int_equal(put(s, since), FCGI__QUEUE_GIVEN);
    assert_int_equal(fcgi__queue_length(&s->queue), since);
    assert_int_equal(fcgi__queue_since(&s->queue), 1);
  }
  for (int64_t since = 1; since <= 3; since++) {
    assert_int_equal(fcgi__queue_since(&s->queue), since);
    expect_taken(s, since);
    assert_int_equal(fcgi__queue_length(&s->queue), 3 - since);
  }
  assert_true(fcgi__queue_take(&s->queue, &fd, &note) < 0);
  assert_int_equal(fcgi__queue_since(&s->queue), 0);
  assert_false(fcgi__queue_is_shut(&s->queue));
}

/* A queue that is full takes again once there is room. */
static void test_a_full_queue(void **state) {
  scene *s = *state;
  int count = 0;
  begin(s);
  while (put(s, 1) == FCGI__QUEUE_GIVEN)
    count++;
  assert_true(count > 0);
  assert_int_equal(put(s, 1), FCGI__QUEUE_FULL);
  while (count-- > 0)
    expect_taken(s, 1);
  assert_int_equal(put(s, 2), FCGI__QUEUE_GIVEN);
}

/* In a stop of all workers what is there is taken, and nothing comes. */
static void test_a_queue_that_is_shut(void **state) {
  scene *s = *state;
  fcgi__queue_note note;
  int fd;
  begin(s);
  assert_int_equal(put(s, 1), FCGI__QUEUE_GIVEN);
  shutdown(s->ends[0], SHUT_RDWR);
  assert_true(fcgi__queue_is_shut(&s->queue));
  assert_int_equal(put(s, 2), FCGI__QUEUE_STAYS);
  assert_int_equal(atomic_load(&s->queue.out), -1);
  expect_taken(s, 1);
  assert_int_equal(fcgi__queue_take(&s->queue, &fd, &note), 0);
}

static const char *inherit(scene *s, long pid, int out, int in) {
  char text[64];
  snprintf(text, sizeof text, "%ld:%d:%d", pid, out, in);
  setenv(variable, text, 1);
  return fcgi__queue_inherit(&s->queue);
}

static void expect_none(scene *s) {
  assert_int_equal(atomic_load(&s->queue.out), -1);
  assert_int_equal(atomic_load(&s->queue.in), -1);
}

static void test_a_wrong_variable_is_told(void **state) {
  static const char *const wrong[] = {"x", "1:2", "1:2:", "1:2:3:4"};
  scene *s = *state;
  assert_null(fcgi__queue_inherit(&s->queue));
  setenv(variable, "", 1);
  assert_null(fcgi__queue_inherit(&s->queue));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    setenv(variable, wrong[i], 1);
    assert_string_equal(fcgi__queue_inherit(&s->queue),
                        "it must be PID:OUT:IN");
  }
  assert_string_equal(inherit(s, (long)getpid(), s->ends[0], s->connection[0]),
                      "it names no pair of sockets");
  assert_string_equal(inherit(s, (long)getpid(), s->connection[0], s->ends[1]),
                      "it names no pair of sockets");
  expect_none(s);
}

static void test_another_process_is_meant(void **state) {
  scene *s = *state;
  assert_null(inherit(s, (long)getpid() + 1, s->ends[0], s->ends[1]));
  expect_none(s);
}

static void test_the_one_that_is_named(void **state) {
  scene *s = *state;
  assert_null(inherit(s, (long)getpid(), s->ends[0], s->ends[1]));
  assert_int_equal(atomic_load(&s->queue.out), s->ends[0]);
  assert_int_equal(atomic_load(&s->queue.in), s->ends[1]);
  for (int i = 0; i < 2; i++)
    assert_int_equal(fcntl(s->ends[i], F_GETFD), FD_CLOEXEC);
  assert_null(inherit(s, (long)getpid(), s->ends[1], s->ends[0]));
  assert_int_equal(atomic_load(&s->queue.out), s->ends[0]);
}

#define QUEUE_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      QUEUE_TEST(test_without_one_nothing_is_given),
      QUEUE_TEST(test_the_oldest_is_taken_first),
      QUEUE_TEST(test_a_full_queue),
      QUEUE_TEST(test_a_queue_that_is_shut),
      QUEUE_TEST(test_a_wrong_variable_is_told),
      QUEUE_TEST(test_another_process_is_meant),
      QUEUE_TEST(test_the_one_that_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
