/* SPDX-License-Identifier: MIT */
/* Each test runs a child process that inherits listeners the way a supervisor
   hands them on; the child's exit status is its verdict. */
#include "os/listener.h"
#include "support/unit.h"

#include <arpa/inet.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child finds at descriptor 0 and from 3 on. */
typedef struct inheritance {
  int standard_input; /* 1: a listener at descriptor 0. */
  int passed;         /* Listeners from descriptor 3 on. */
  const char *pid;    /* LISTEN_PID; NULL is unset, "me" the child's own. */
  const char *count;  /* LISTEN_FDS; NULL is unset. */
} inheritance;

/* What the child's opening gave, sent to the test. */
typedef struct outcome {
  int result;                  /* Of fcgi__listener_open. */
  fcgi__listener listeners[4]; /* The listeners opened. */
  int cloexec, nonblocking;    /* Of the first one. */
  int still_listening;         /* 1: it is, after fcgi__listener_close. */
  char why[256];               /* The complaint. */
} outcome;

static int foreign_listener(void) {
  struct sockaddr_in name = {.sin_family = AF_INET};
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(fd, (struct sockaddr *)&name, sizeof name) < 0 || listen(fd, 8) < 0)
    _exit(1);
  return fd;
}

/* Put a new listener at `fd`, without FD_CLOEXEC. */
static void place_listener(int fd) {
  int made = foreign_listener();
  if (made == fd)
    return;
  dup2(made, fd);
  close(made);
}

static void arrange(const inheritance *given) {
  char pid[32];
  snprintf(pid, sizeof pid, "%ld", (long)getpid());
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
  if (given->pid != NULL)
    setenv("LISTEN_PID", strcmp(given->pid, "me") ? given->pid : pid, 1);
  if (given->count != NULL)
    setenv("LISTEN_FDS", given->count, 1);
  close(0);
  if (given->standard_input)
    place_listener(0);
  for (int i = 0; i < given->passed; i++)
    place_listener(3 + i);
}

static void observe(outcome *seen) {
  const fcgi__listen_options options = {.backlog = 16, .mode = 0660};
  socklen_t len = sizeof seen->still_listening;
  seen->result = fcgi__listener_open(seen->listeners, 4, NULL, &options,
                                     seen->why, sizeof seen->why);
  if (seen->result < 1)
    return;
  int fd = seen->listeners[0].fd;
  seen->cloexec = (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
  seen->nonblocking = (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
  fcgi__listener copy = seen->listeners[0];
  fcgi__listener_close(&copy);
  getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &seen->still_listening, &len);
}

/* Open what is inherited in a child and hand its outcome back. */
static outcome inherit(inheritance given) {
  enum { REPORT_FD = 100 };
  outcome seen = {0};
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    dup2(fds[1], REPORT_FD);
    for (int fd = 3; fd < REPORT_FD; fd++)
      close(fd);
    arrange(&given);
    observe(&seen);
    _exit(write(REPORT_FD, &seen, sizeof seen) != sizeof seen);
  }
  close(fds[1]);
  ssize_t got = read(fds[0], &seen, sizeof seen);
  close(fds[0]);
  int status = -1;
  waitpid(child, &status, 0);
  assert_int_equal(got, sizeof seen);
  assert_int_equal(status, 0);
  return seen;
}

static void assert_nothing_inherited(inheritance given) {
  outcome seen = inherit(given);
  assert_int_equal(seen.result, FCGI_ERR_INVALID);
  assert_non_null(strstr(seen.why, "no listener inherited: give an address"));
}

static void test_inherited_takes_what_systemd_passes(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){.passed = 1, .pid = "me", .count = "1"});
  assert_int_equal(seen.result, 1);
  assert_int_equal(seen.listeners[0].fd, 3);
  assert_int_equal(seen.listeners[0].own, 0);
  assert_int_equal(seen.listeners[0].family, AF_INET);
}

static void test_inherited_takes_every_descriptor_passed(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){.passed = 3, .pid = "me", .count = "3"});
  assert_int_equal(seen.result, 3);
  for (int i = 0; i < 3; i++)
    assert_int_equal(seen.listeners[i].fd, 3 + i);
}

static void test_inherited_takes_no_more_than_fit(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){.passed = 6, .pid = "me", .count = "6"});
  assert_int_equal(seen.result, 4);
}

static void test_inherited_prefers_systemd_to_descriptor_0(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){
      .standard_input = 1, .passed = 1, .pid = "me", .count = "1"});
  assert_int_equal(seen.result, 1);
  assert_int_equal(seen.listeners[0].fd, 3);
}

static void test_inherited_takes_descriptor_0(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){.standard_input = 1});
  assert_int_equal(seen.result, 1);
  assert_true(seen.listeners[0].fd > 2); /* /dev/null is at 0 now. */
  assert_int_equal(seen.listeners[0].own, 0);
}

static void test_inherited_ignores_anothers_listen_pid(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){
      .standard_input = 1, .passed = 1, .pid = "1", .count = "1"});
  assert_int_equal(seen.result, 1);
  assert_true(seen.listeners[0].fd > 3);
}

/* Nothing is inherited, and the line says what the variables have. */
static void assert_said(inheritance given, const char *reason) {
  outcome seen = inherit(given);
  assert_int_equal(seen.result, FCGI_ERR_INVALID);
  if (!strstr(seen.why, reason))
    fail_msg("\"%s\" is not in \"%s\"", reason, seen.why);
}

static void test_inherited_says_which_variable_is_malformed(void **state) {
  static const char *const counts[] = {
      "1x", "-1", "", "0", " 1", "0x1", "99999999999999999999"};
  (void)state;
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    char reason[64];
    snprintf(reason, sizeof reason, "LISTEN_FDS=\"%s\" is no number",
             counts[i]);
    assert_said((inheritance){.passed = 1, .pid = "me", .count = counts[i]},
                reason);
  }
  assert_said((inheritance){.pid = "", .count = "1"}, "LISTEN_PID=\"\" names");
  assert_said((inheritance){.passed = 1, .count = "1"}, "without LISTEN_PID");
}

static void test_inherited_names_the_other_process(void **state) {
  (void)state;
  assert_said((inheritance){.passed = 1, .pid = "1", .count = "1"},
              "LISTEN_PID=\"1\" names another process, and this is ");
}

static void test_inherited_explains_that_there_is_none(void **state) {
  (void)state;
  assert_nothing_inherited((inheritance){0});
}

static void test_inherited_refuses_what_does_not_listen(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){.pid = "me", .count = "1"});
  assert_int_equal(seen.result, FCGI_ERR_INVALID);
  assert_non_null(strstr(seen.why, "descriptor 3: it is not open"));
}

static void test_inherited_is_made_nonblocking(void **state) {
  (void)state;
  outcome passed =
      inherit((inheritance){.passed = 1, .pid = "me", .count = "1"});
  outcome standard = inherit((inheritance){.standard_input = 1});
  assert_true(passed.nonblocking);
  assert_true(standard.nonblocking);
}

static void test_inherited_is_not_passed_on_to_children(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){.passed = 1, .pid = "me", .count = "1"});
  assert_true(seen.cloexec);
}

static void test_inherited_outlives_close(void **state) {
  (void)state;
  outcome seen = inherit((inheritance){.passed = 1, .pid = "me", .count = "1"});
  assert_true(seen.still_listening);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_inherited_takes_what_systemd_passes),
      cmocka_unit_test(test_inherited_takes_every_descriptor_passed),
      cmocka_unit_test(test_inherited_takes_no_more_than_fit),
      cmocka_unit_test(test_inherited_prefers_systemd_to_descriptor_0),
      cmocka_unit_test(test_inherited_takes_descriptor_0),
      cmocka_unit_test(test_inherited_ignores_anothers_listen_pid),
      cmocka_unit_test(test_inherited_says_which_variable_is_malformed),
      cmocka_unit_test(test_inherited_names_the_other_process),
      cmocka_unit_test(test_inherited_explains_that_there_is_none),
      cmocka_unit_test(test_inherited_refuses_what_does_not_listen),
      cmocka_unit_test(test_inherited_is_made_nonblocking),
      cmocka_unit_test(test_inherited_is_not_passed_on_to_children),
      cmocka_unit_test(test_inherited_outlives_close),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
