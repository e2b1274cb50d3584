/* SPDX-License-Identifier: MIT */
/* A worker whose supervisor is gone ends, whatever its handlers do. */
#include "os/clock.h"
#include "parent/orphan.h"
#include "support/unit.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 200, LONG_MS = 60000 };

static const char *find_with(fcgi__orphan *orphan, long pid, long parent,
                             int lifeline) {
  char text[80];
  snprintf(text, sizeof text, "%ld:%ld:%d:%d", pid, parent, PATIENCE_MS,
           lifeline);
  return fcgi__orphan_find(orphan, text);
}

static void find(fcgi__orphan *orphan, long pid, long parent) {
  find_with(orphan, pid, parent, 0);
}

static void expect_none(const fcgi__orphan *orphan) {
  assert_int_equal(orphan->lifeline, 0);
  assert_false(fcgi__orphan_is_one(orphan));
}

static void test_who_is_not_meant_has_no_supervisor(void **state) {
  static const char *const wrong[] = {"", "x", "1:2:3", "1:2:3:4:5"};
  fcgi__orphan orphan = {.timer = 0};
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    fcgi__orphan_find(&orphan, wrong[i]);
  find(&orphan, (long)getpid() + 1, 1);
  find(&orphan, (long)getpid(), 0);
  expect_none(&orphan);
}

static void test_who_has_its_supervisor_is_none(void **state) {
  fcgi__orphan orphan = {.timer = 0};
  int ends[2];
  (void)state;
  assert_int_equal(pipe(ends), 0);
  assert_null(find_with(&orphan, (long)getpid(), (long)getppid(), ends[0]));
  assert_int_equal(orphan.lifeline, ends[0]);
  assert_false(fcgi__orphan_is_one(&orphan));
  close(ends[0]);
  close(ends[1]);
}

/* How a worker with this supervisor ends when its server is to stop, which is
   said again and again, and after how many ms. */
static int stop(int is_orphan, long long *ms) {
  long long began = fcgi__now(), most = is_orphan ? LONG_MS : 2 * PATIENCE_MS;
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    fcgi__orphan orphan = {.timer = 0};
    find(&orphan, (long)getpid(), (long)getppid() + is_orphan);
    while (fcgi__now() - began < most) {
      fcgi__orphan_stopping(&orphan);
      usleep(1000 * PATIENCE_MS / 8);
    }
    _exit(0);
  }
  assert_true(pid > 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  *ms = fcgi__now() - began;
  return status;
}

static void test_the_kernel_ends_an_orphan(void **state) {
#ifdef __linux__
  long long ms;
  int status = stop(1, &ms);
  (void)state;
  assert_true(WIFSIGNALED(status));
  assert_int_equal(WTERMSIG(status), SIGKILL);
  assert_in_range(ms, PATIENCE_MS, LONG_MS);
#else
  (void)state;
  skip();
#endif
}

static void test_nobody_ends_who_has_a_supervisor(void **state) {
  long long ms;
  (void)state;
  assert_int_equal(stop(0, &ms), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_who_is_not_meant_has_no_supervisor),
      cmocka_unit_test(test_who_has_its_supervisor_is_none),
      cmocka_unit_test(test_the_kernel_ends_an_orphan),
      cmocka_unit_test(test_nobody_ends_who_has_a_supervisor),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
