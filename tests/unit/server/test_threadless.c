/* SPDX-License-Identifier: MIT */
/* A system that gives no threads: the server serves without, and says so. */
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNSURE = 77, NOBODY = 65534 };

/* Such a process, which says what was logged in its exit status. */
typedef struct told {
  int logs;  /* 1: that the logs have no thread. */
  int spare; /* 1: that status and time limits have none. */
  int more;  /* Anything else. */
} told;

static void *nothing(void *data) {
  return data;
}

/* The limit on processes is not for root. */
static int give_no_threads(void) {
  const struct rlimit none = {0, 0};
  pthread_t thread;
  if ((getuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0) ||
      setrlimit(RLIMIT_NPROC, &none) != 0)
    return 0;
  return pthread_create(&thread, NULL, nothing, NULL) != 0;
}

static void take_line(fcgi_log_level level, const char *line, void *data) {
  told *t = data;
  if (strstr(line, "cannot start a thread for the logs"))
    t->logs = level == FCGI_LOG_WARNING;
  else if (strstr(line, "cannot start a thread: "))
    t->spare = level == FCGI_LOG_ERROR;
  else
    t->more++;
}

/* Exit status: 0 when it is as it should be. */
static int serve(int with_logs) {
  told t = {0};
  fcgi_server_config config = {.size = sizeof config,
                               .log = take_line,
                               .log_data = &t,
                               .status_path = with_logs ? NULL : "/status",
                               .access_logfile =
                                   with_logs ? "/dev/null" : NULL};
  fcgi_server_event event = {.size = sizeof event};
  fcgi_server *server;
  if (!give_no_threads())
    return UNSURE;
  if (fcgi_server_new(&server, &config, NULL, 0) ||
      fcgi_server_listen(server, "127.0.0.1:0") ||
      fcgi_server_next(server, &event, 0) != 0)
    return 1;
  fcgi_server_free(server);
  if (t.more)
    return 2;
  return t.logs == with_logs && t.spare == 1 ? 0 : 3;
}

static void serve_in_a_process(int with_logs) {
  int status = -1;
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0)
    _exit(serve(with_logs));
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  if (WEXITSTATUS(status) == UNSURE)
    skip(); /* Here threads have no limit. */
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_it_says_that_logs_are_waited_for(void **state) {
  (void)state;
  serve_in_a_process(1);
}

static void test_it_says_that_limits_wait(void **state) {
  (void)state;
  serve_in_a_process(0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_it_says_that_logs_are_waited_for),
      cmocka_unit_test(test_it_says_that_limits_wait),
  };
  return cmocka_run_group_tests_name("server.threadless", tests, NULL, NULL);
}
