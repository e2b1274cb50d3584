/* SPDX-License-Identifier: MIT */
/* Processes that are started, and the environment that they find. */
#include "supervisor/spawn.h"
#include "support/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4096 };

/* Run a shell script as a worker: its process id, and what it prints to
   descriptor 3. */
static pid_t run_script(const char *script,
                        const fcgi__environment *environment, char *printed) {
  const char *arguments[] = {"sh", "-c", script, NULL};
  fcgi__spawn how = {.path = "/bin/sh",
                     .arguments = arguments,
                     .environment = environment,
                     .passed_count = 1,
                     .standard_input = -1,
                     .directory = -1,
                     .is_worker = 1};
  int ends[2], status;
  size_t len = 0;
  ssize_t got;
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  ends[1] = fcgi__spawn_lift(ends[1]);
  how.passed = &ends[1];
  pid_t pid = fcgi__spawn_start(&how);
  assert_true(pid > 0);
  close(ends[1]);
  while ((got = read(ends[0], printed + len, MOST - 1 - len)) > 0)
    len += (size_t)got;
  printed[len] = '\0';
  close(ends[0]);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return pid;
}

static void test_process_id_stands_in_the_environment(void **state) {
  fcgi__environment e;
  char printed[MOST], expected[128];
  (void)state;
  assert_int_equal(fcgi__environment_copy(&e), 0);
  assert_int_equal(fcgi__environment_set_pid(&e, "LISTEN_PID", ""), 0);
  assert_int_equal(fcgi__environment_set_pid(&e, "FASTCGI_HANDOVER", ":4:5"),
                   0);
  pid_t pid =
      run_script("echo $$ $LISTEN_PID $FASTCGI_HANDOVER >&3", &e, printed);
  snprintf(expected, sizeof expected, "%ld %ld %010ld:4:5\n", (long)pid,
           (long)pid, (long)pid);
  assert_string_equal(printed, expected);
  fcgi__environment_free(&e);
}

static void test_what_is_meant_for_us_is_not_passed_on(void **state) {
  fcgi__environment e;
  char printed[MOST];
  (void)state;
  setenv("LISTEN_FDS", "7", 1);
  setenv("WATCHDOG_PID", "7", 1);
  setenv("UNIT_KEPT", "kept", 1);
  assert_int_equal(fcgi__environment_copy(&e), 0);
  unsetenv("LISTEN_FDS");
  unsetenv("WATCHDOG_PID");
  assert_int_equal(fcgi__environment_set(&e, "UNIT_NEW", "%d", 1), 0);
  assert_int_equal(fcgi__environment_set(&e, "UNIT_NEW", "%d", 22), 0);
  run_script("echo ${LISTEN_FDS-none} ${WATCHDOG_PID-none} $UNIT_KEPT "
             "$UNIT_NEW >&3",
             &e, printed);
  assert_string_equal(printed, "none none kept 22\n");
  fcgi__environment_free(&e);
}

/* Blocked and ignored signals of ours are not a worker's. */
static void test_signals_are_as_after_a_login(void **state) {
  fcgi__environment e;
  char printed[MOST];
  sigset_t blocked, before;
  (void)state;
  signal(SIGPIPE, SIG_IGN);
  sigfillset(&blocked);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  assert_int_equal(fcgi__environment_copy(&e), 0);
  run_script("grep -E '^Sig(Blk|Ign)' /proc/self/status >&3", &e, printed);
  sigprocmask(SIG_SETMASK, &before, NULL);
  signal(SIGPIPE, SIG_DFL);
  assert_string_equal(printed, "SigBlk:\t0000000000000000\n"
                               "SigIgn:\t0000000000000201\n");
  fcgi__environment_free(&e);
}

static void test_failed_execve_gives_errno_and_no_child(void **state) {
  const char *arguments[] = {"nothing", NULL};
  fcgi__environment e;
  fcgi__spawn how = {.path = "/nonexistent/nothing",
                     .arguments = arguments,
                     .environment = &e,
                     .standard_input = -1,
                     .directory = -1};
  (void)state;
  assert_int_equal(fcgi__environment_copy(&e), 0);
  errno = 0;
  assert_int_equal(fcgi__spawn_start(&how), -1);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
  assert_int_equal(errno, ECHILD);
  fcgi__environment_free(&e);
}

static void test_programs_are_found_by_path(void **state) {
  char path[256], *before = strdup(getenv("PATH"));
  (void)state;
  setenv("PATH", "/nonexistent:/bin:/usr/bin", 1);
  assert_int_equal(fcgi__spawn_find("sh", path, sizeof path), 0);
  assert_string_equal(path, "/bin/sh");
  assert_int_equal(fcgi__spawn_find("/bin/sh", path, sizeof path), 0);
  errno = 0;
  assert_int_equal(fcgi__spawn_find("no-such-program", path, sizeof path), -1);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(fcgi__spawn_find("/etc/passwd", path, sizeof path), -1);
  assert_int_equal(errno, EACCES);
  assert_int_equal(fcgi__spawn_find("/bin", path, sizeof path), -1);
  setenv("PATH", before, 1);
  free(before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_process_id_stands_in_the_environment),
      cmocka_unit_test(test_what_is_meant_for_us_is_not_passed_on),
      cmocka_unit_test(test_signals_are_as_after_a_login),
      cmocka_unit_test(test_failed_execve_gives_errno_and_no_child),
      cmocka_unit_test(test_programs_are_found_by_path),
  };
  return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
