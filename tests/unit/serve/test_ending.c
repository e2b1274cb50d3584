/* SPDX-License-Identifier: MIT */
/* When a process that does not stop ends, as its signals have it. */
#include "os/clock.h"
#include "serve/ending.h"
#include "server/server.h"
#include "support/serving.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

enum { GRACEFUL_MS = 600000, MERCY_MS = 500 };

static fcgi__ending begin(serving *f, int graceful_ms) {
  fcgi__ending ending;
  f->config.graceful_timeout_ms = graceful_ms;
  serving_restart(f);
  fcgi__ending_init(&ending, f->server);
  ending.most_ms = graceful_ms;
  assert_int_equal(fcgi__ending_wait_ms(&ending), -1);
  return ending;
}

/* The next step is due within `most`, and not as soon as a hurried one is where
   that is more. */
static void expect_due(const fcgi__ending *ending, int most) {
  int left = fcgi__ending_wait_ms(ending);
  assert_in_range(left, most > MERCY_MS ? MERCY_MS + 1 : 0, most);
  assert_int_equal(ending->hurried, most <= MERCY_MS);
}

static void test_signals_and_their_ends(void **state) {
  static const struct {
    int signals[3];
    int most;
  } cases[] = {
      {{SIGTERM}, GRACEFUL_MS},       {{SIGINT}, GRACEFUL_MS},
      {{SIGQUIT}, MERCY_MS},          {{SIGTERM, SIGTERM}, MERCY_MS},
      {{SIGTERM, SIGINT}, MERCY_MS},  {{SIGINT, SIGTERM}, MERCY_MS},
      {{SIGTERM, SIGQUIT}, MERCY_MS}, {{SIGQUIT, SIGTERM, SIGTERM}, MERCY_MS}};
  serving *f = *state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fcgi__ending ending = begin(f, GRACEFUL_MS);
    for (int j = 0; j < 3 && cases[i].signals[j]; j++)
      fcgi__ending_signal(&ending, cases[i].signals[j]);
    expect_due(&ending, cases[i].most);
  }
}

/* Whoever asks again and again does not put the end off. */
static void test_more_signals_put_nothing_off(void **state) {
  serving *f = *state;
  fcgi__ending ending = begin(f, GRACEFUL_MS);
  long long due;
  fcgi__ending_signal(&ending, SIGQUIT);
  due = ending.due;
  usleep(20000);
  fcgi__ending_signal(&ending, SIGTERM);
  fcgi__ending_signal(&ending, SIGQUIT);
  assert_int_equal(ending.due, due);
}

static void test_a_graceful_stop_without_end(void **state) {
  serving *f = *state;
  fcgi__ending ending = begin(f, 0);
  fcgi__ending_signal(&ending, SIGTERM);
  assert_int_equal(fcgi__ending_wait_ms(&ending), -1);
  fcgi__ending_tick(&ending);
  assert_false(ending.hurried);
  fcgi__ending_signal(&ending, SIGTERM);
  expect_due(&ending, MERCY_MS);
}

static void test_the_end_of_a_graceful_stop(void **state) {
  serving *f = *state;
  fcgi__ending ending = begin(f, GRACEFUL_MS);
  fcgi__ending_signal(&ending, SIGTERM);
  fcgi__ending_tick(&ending);
  expect_due(&ending, GRACEFUL_MS);
  ending.due = fcgi__now() - 1;
  assert_int_equal(fcgi__ending_wait_ms(&ending), 0);
  fcgi__ending_tick(&ending);
  expect_due(&ending, MERCY_MS);
}

/* The kernel may tell several times that a supervisor was killed. */
static void test_signals_at_once_of_a_supervisor_are_one(void **state) {
  serving *f = *state;
  fcgi__ending ending = begin(f, GRACEFUL_MS);
  atomic_store(&f->server->orphan.parent, (long)getppid());
  fcgi__ending_signal(&ending, SIGTERM);
  ending.at = fcgi__now() + GRACEFUL_MS; /* However slow this machine is. */
  fcgi__ending_signal(&ending, SIGTERM);
  expect_due(&ending, GRACEFUL_MS);
  ending.at = fcgi__now() - 1000;
  fcgi__ending_signal(&ending, SIGTERM);
  expect_due(&ending, MERCY_MS);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_signals_and_their_ends),
      SERVING_TEST(test_more_signals_put_nothing_off),
      SERVING_TEST(test_a_graceful_stop_without_end),
      SERVING_TEST(test_the_end_of_a_graceful_stop),
      SERVING_TEST(test_signals_at_once_of_a_supervisor_are_one),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
