/* SPDX-License-Identifier: MIT */
#include "supervisor/signals.h"
#include "support/unit.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

static int came_within(fcgi__signals *signals, int ms, sigset_t *came) {
  struct pollfd ready = {.fd = signals->in, .events = POLLIN};
  poll(&ready, 1, ms);
  return fcgi__signals_take(signals, came) == 0;
}

static void test_signals_come_as_a_set(void **state) {
  static const int numbers[] = {SIGHUP, SIGTERM, SIGUSR2, SIGCHLD};
  fcgi__signals signals;
  sigset_t came;
  (void)state;
  assert_int_equal(fcgi__signals_start(&signals), 0);
  assert_int_equal(fcgi__signals_take(&signals, &came), -1);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    kill(getpid(), numbers[i]);
    assert_true(came_within(&signals, 5000, &came));
    for (size_t j = 0; j < sizeof numbers / sizeof *numbers; j++)
      assert_int_equal(sigismember(&came, numbers[j]), i == j);
  }
  fcgi__signals_stop(&signals);
}

static void test_mask_is_put_back(void **state) {
  fcgi__signals signals;
  sigset_t before, after;
  (void)state;
  sigprocmask(SIG_SETMASK, NULL, &before);
  assert_int_equal(fcgi__signals_start(&signals), 0);
  sigprocmask(SIG_SETMASK, NULL, &after);
  assert_true(sigismember(&after, SIGTERM));
  assert_true(sigismember(&after, SIGPIPE));
  fcgi__signals_stop(&signals);
  sigprocmask(SIG_SETMASK, NULL, &after);
  for (int number = 1; number < NSIG; number++)
    assert_int_equal(sigismember(&after, number), sigismember(&before, number));
}

/* Whoever started the program may have left it ignored. */
static void
test_ends_of_children_are_seen_though_they_were_ignored(void **state) {
  fcgi__signals signals;
  struct sigaction after;
  sigset_t came;
  int status = 0;
  (void)state;
  signal(SIGCHLD, SIG_IGN);
  assert_int_equal(fcgi__signals_start(&signals), 0);
  pid_t pid = fork();
  if (pid == 0)
    _exit(7);
  assert_true(came_within(&signals, 5000, &came));
  assert_true(sigismember(&came, SIGCHLD));
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(WEXITSTATUS(status), 7);
  fcgi__signals_stop(&signals);
  sigaction(SIGCHLD, NULL, &after);
  assert_ptr_equal(after.sa_handler, SIG_IGN);
  signal(SIGCHLD, SIG_DFL);
}

static void test_storm_blocks_nobody(void **state) {
  fcgi__signals signals;
  sigset_t came;
  (void)state;
  assert_int_equal(fcgi__signals_start(&signals), 0);
  for (int i = 0; i < 100000; i++)
    kill(getpid(), i & 1 ? SIGHUP : SIGUSR1);
  assert_true(came_within(&signals, 5000, &came));
  fcgi__signals_take(&signals, &came);
  fcgi__signals_stop(&signals);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_signals_come_as_a_set),
      cmocka_unit_test(test_mask_is_put_back),
      cmocka_unit_test(test_ends_of_children_are_seen_though_they_were_ignored),
      cmocka_unit_test(test_storm_blocks_nobody),
  };
  return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
