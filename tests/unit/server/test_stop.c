/* SPDX-License-Identifier: MIT */
/* Stopping, descriptors running out, and children of a fork. */
#include "os/poller.h"
#include "support/serving.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long cpu_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void ignore_line(fcgi_log_level level, const char *line, void *data) {
  (void)level;
  (void)line;
  (void)data;
}

static void expect_stopped(serving *f, int ms) {
  fcgi_server_event event = {.size = sizeof event};
  assert_int_equal(fcgi_server_next(f->server, &event, ms), FCGI_ERR_CLOSED);
}

static void expect_answered(serving *f) {
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
  assert_true(serving_is_closed(f, 1000));
}

static void stop_now(fcgi_log_level level, const char *line, void *data) {
  serving *f = data;
  (void)level;
  if (strstr(line, "body stopped coming"))
    fcgi_server_stop(f->server, FCGI_STOP_NOW);
}

/* The stop comes between the end of their time and their answers. No program
   has them, so that they are freed with the connection. */
static void test_requests_whose_time_is_over_are_dropped(void **state) {
  serving *f = *state;
  f->config.log = stop_now;
  f->config.log_data = f;
  f->config.io_timeout_ms = 20;
  serving_restart(f);
  for (uint16_t id = 1; id <= 3; id++) {
    records_open(&f->text->sent, id);
    records_stdin(&f->text->sent, id, "half");
  }
  serving_send(f);
  expect_stopped(f, 10000);
}

/* The web server has connected, and its request is on the way. */
static void test_new_connection_is_served(void **state) {
  serving *f = *state;
  serving_idle(f, 10);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  serving_idle(f, 10);
  records_get(&f->text->sent, 1);
  serving_send(f);
  expect_answered(f);
  expect_stopped(f, 1000);
}

static void test_connection_not_yet_accepted_is_served(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  expect_answered(f);
  expect_stopped(f, 1000);
}

static void test_request_not_yet_read_is_served(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  expect_answered(f);
  expect_stopped(f, 1000);
}

static void test_silent_connection_delays_a_stop_little(void **state) {
  serving *f = *state;
  f->config.drain_silence_ms = 50;
  serving_restart(f);
  serving_idle(f, 10);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  expect_stopped(f, 500);
  assert_true(serving_is_closed(f, 0));
}

/* Let no further descriptor be opened; returns the limit before. */
static struct rlimit use_up_files(void) {
  struct rlimit before, now;
  int next = dup(0);
  close(next);
  getrlimit(RLIMIT_NOFILE, &before);
  now = before;
  now.rlim_cur = (rlim_t)next;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
  return before;
}

static void serving_sleeps(serving *f, int ms) {
  long from = cpu_ms();
  serving_idle(f, ms);
  assert_in_range(cpu_ms() - from, 0, ms / 2);
}

static void test_lack_of_files_is_survived(void **state) {
  serving *f = *state;
  f->config.log = ignore_line;
  serving_restart(f);
  serving_idle(f, 10);
  int first = f->client;
  f->client = serving_connect(f);
  struct rlimit before = use_up_files();
  serving_sleeps(f, 250);
  setrlimit(RLIMIT_NOFILE, &before);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
  close(first);
}

static void test_stop_while_files_are_lacking_costs_no_time(void **state) {
  serving *f = *state;
  f->config.log = ignore_line;
  serving_restart(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  int second = serving_connect(f);
  struct rlimit before = use_up_files();
  serving_idle(f, 20);
  setrlimit(RLIMIT_NOFILE, &before);
  close(second);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  serving_idle(f, 20);
  serving_sleeps(f, 250);
  fcgi_request_end(request, 0);
  expect_stopped(f, 1000);
}

static void test_child_leaves_the_socket_alone(void **state) {
  serving *f = *state;
  char directory[] = "/tmp/fastcgi-unit-XXXXXX", address[80];
  struct stat found;
  int status = 0;
  assert_non_null(mkdtemp(directory));
  snprintf(address, sizeof address, "unix:%s/socket", directory);
  assert_int_equal(fcgi_server_listen(f->server, address), 0);
  pid_t child = fork();
  if (child == 0) {
    fcgi_server_free(f->server);
    _exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(stat(address + 5, &found), 0);
  fcgi_server_free(f->server);
  f->server = NULL;
  assert_int_equal(stat(address + 5, &found), -1);
  rmdir(directory);
}

static fcgi__poller *woken; /* What the handler wakes. */

static void wake(int number) {
  (void)number;
  fcgi__poller_wake(woken);
}

/* fcgi_server_stop is for signal handlers too, which may come at any moment
   of the poller's own work. */
static void test_signal_may_wake_a_poller_at_work(void **state) {
  serving *f = *state;
  const fcgi_allocator *allocator = &f->config.allocator;
  const struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};
  struct sigaction action = {.sa_handler = wake, .sa_flags = SA_RESTART};
  struct sigaction before;
  const fcgi_allocator libc = fcgi__allocator(allocator);
  fcgi__ready ready;
  assert_int_equal(fcgi__poller_new(&woken, f->kind, &libc), 0);
  sigaction(SIGALRM, &action, &before);
  setitimer(ITIMER_REAL, &often, NULL);
  assert_int_equal(fcgi__poller_add(woken, f->client, FCGI__POLL_IN, f), 0);
  for (int i = 0; i < 100000; i++)
    fcgi__poller_change(woken, f->client, FCGI__POLL_IN, f);
  setitimer(ITIMER_REAL, &never, NULL);
  assert_int_equal(fcgi__poller_wait(woken, &ready, 1, 5000), 0);
  sigaction(SIGALRM, &before, NULL);
  fcgi__poller_free(woken);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_requests_whose_time_is_over_are_dropped),
      SERVING_TEST(test_new_connection_is_served),
      SERVING_TEST(test_connection_not_yet_accepted_is_served),
      SERVING_TEST(test_request_not_yet_read_is_served),
      SERVING_TEST(test_silent_connection_delays_a_stop_little),
      SERVING_TEST(test_lack_of_files_is_survived),
      SERVING_TEST(test_stop_while_files_are_lacking_costs_no_time),
      SERVING_TEST(test_child_leaves_the_socket_alone),
      SERVING_TEST(test_signal_may_wake_a_poller_at_work),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
