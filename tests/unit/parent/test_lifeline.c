/* SPDX-License-Identifier: MIT */
/* The pipe on which a supervisor asks a worker to stop. */
#include "parent/lifeline.h"
#include "support/polling.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static int watch(polling *f, fcgi__lifeline *lifeline) {
  return fcgi__lifeline_watch(lifeline, f->poller, f->near);
}

static void test_a_program_that_leaves_sigterm_alone(void **state) {
  polling *f = *state;
  fcgi__lifeline lifeline = {.watched = 0};
  fcgi__ready ready = {.owner = NULL};
  assert_int_equal(fcgi__lifeline_watch(&lifeline, f->poller, 0), 0);
  assert_int_equal(fcgi__lifeline_watch(&lifeline, f->poller, -1), 0);
  assert_int_equal(fcgi__lifeline_leave(&lifeline, f->poller), 0);
  assert_int_equal(watch(f, &lifeline), 1);
  assert_true(fcntl(f->near, F_GETFD) & FD_CLOEXEC);
  assert_int_equal(fcgi__poller_wait(f->poller, &ready, 1, 0), 0);
  polling_send(f);
  for (int i = 0; i < 2; i++) { /* It is told until somebody leaves. */
    assert_int_equal(fcgi__poller_wait(f->poller, &ready, 1, 10000), 1);
    assert_ptr_equal(ready.owner, &lifeline);
  }
  assert_int_equal(fcgi__lifeline_leave(&lifeline, f->poller), 1);
  assert_int_equal(fcgi__poller_wait(f->poller, &ready, 1, 0), 0);
  assert_int_equal(fcgi__lifeline_leave(&lifeline, f->poller), 0);
}

static void do_nothing(int number) {
  (void)number;
}

static void do_nothing_with_more(int number, siginfo_t *about, void *context) {
  (void)number;
  (void)about;
  (void)context;
}

static void expect_unwatched(polling *f) {
  fcgi__lifeline lifeline = {.watched = 0};
  assert_int_equal(watch(f, &lifeline), 0);
  assert_int_equal(fcgi__lifeline_leave(&lifeline, f->poller), 0);
}

/* What it does then is its own. */
static void test_a_program_that_sees_to_sigterm(void **state) {
  const struct sigaction more = {.sa_sigaction = do_nothing_with_more,
                                 .sa_flags = SA_SIGINFO};
  sigset_t term;
  signal(SIGTERM, do_nothing);
  expect_unwatched(*state);
  signal(SIGTERM, SIG_IGN);
  expect_unwatched(*state);
  sigaction(SIGTERM, &more, NULL);
  expect_unwatched(*state);
  signal(SIGTERM, SIG_DFL);
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, NULL);
  expect_unwatched(*state);
  sigprocmask(SIG_UNBLOCK, &term, NULL);
}

static void test_one_that_cannot_be_watched(void **state) {
  polling *f = *state;
  fcgi__lifeline lifeline = {.watched = 0};
  polling_watch(f, FCGI__POLL_IN);
  assert_int_equal(watch(f, &lifeline), 0);
  assert_int_equal(fcgi__lifeline_leave(&lifeline, f->poller), 0);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      POLLING_TEST(test_a_program_that_leaves_sigterm_alone),
      POLLING_TEST(test_a_program_that_sees_to_sigterm),
      POLLING_TEST(test_one_that_cannot_be_watched),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return polling_run(run);
}
