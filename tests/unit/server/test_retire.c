/* SPDX-License-Identifier: MIT */
/* A process that has served as many requests as it may. */
#include "server/server.h"
#include "server/service.h"
#include "support/serving.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char after[] = "FASTCGI_MAX_REQUESTS";
static const char jitter[] = "FASTCGI_MAX_REQUESTS_JITTER";

static int clear_environment(void **state) {
  unsetenv(after);
  unsetenv(jitter);
  unsetenv("NOTIFY_SOCKET");
  return serving_tear_down(state);
}

static void answer_one(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
}

/* The last one is answered, and then the process has nothing more to do. */
static void expect_end_after(serving *f, int requests) {
  fcgi_server_event event = {.size = sizeof event};
  for (int i = 0; i < requests; i++)
    answer_one(f);
  assert_int_equal(fcgi_server_next(f->server, &event, 5000), FCGI_ERR_CLOSED);
}

static void test_stops_after_so_many(void **state) {
  serving *f = *state;
  f->config.max_requests = 3;
  lines_begin(&f->log, &f->config);
  f->config.drain_silence_ms = 50;
  serving_restart(f);
  expect_end_after(f, 3);
  assert_string_equal(lines_text(&f->log),
                      "as many requests as a process may serve; stopping\n");
}

static void
test_environment_counts_where_the_program_says_nothing(void **state) {
  serving *f = *state;
  f->config.drain_silence_ms = 50;
  setenv(after, "2", 1);
  serving_restart(f);
  expect_end_after(f, 2);
  f->config.max_requests = 1;
  serving_restart(f);
  expect_end_after(f, 1);
}

static void test_wrong_environment_is_refused(void **state) {
  static const char *const wrong[] = {"x", "-1", "1x", "9223372036854775807"};
  serving *f = *state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    fcgi_server *server = NULL;
    char why[256], expected[256];
    setenv(after, wrong[i], 1);
    assert_int_equal(fcgi_server_new(&server, &f->config, why, sizeof why),
                     FCGI_ERR_INVALID);
    snprintf(expected, sizeof expected,
             "FASTCGI_MAX_REQUESTS=%s: must be a whole number from 1 up, "
             "or 0 for never",
             wrong[i]);
    assert_string_equal(why, expected);
  }
}

static void test_no_limit(void **state) {
  static const char *const none[] = {"", "0"};
  serving *f = *state;
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    setenv(after, none[i], 1);
    serving_restart(f);
    assert_int_equal(f->server->service.on, 0);
    answer_one(f);
    answer_one(f);
  }
}

static void test_jitter_spreads(void **state) {
  serving *f = *state;
  long long least = 1000, most = 0;
  f->config.max_requests = 100;
  setenv(jitter, "50", 1);
  for (int i = 0; i < 40; i++) {
    serving_restart(f);
    long long left = atomic_load(&f->server->service.left);
    assert_in_range(left, 100, 150);
    least = left < least ? left : least;
    most = left > most ? left : most;
    usleep(1000); /* The clock is what spreads. */
  }
  assert_true(most - least > 10);
  f->config.max_requests = f->config.max_requests_jitter = UINT64_MAX;
  serving_restart(f);
  assert_int_equal(f->server->service.on, 0);
}

/* A supervisor of ours starts another process first: it is asked once, and
   requests are served until it says stop. */
static void test_supervisor_is_asked(void **state) {
  serving *f = *state;
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  char text[64], address[32];
  int pair[2], box = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int len =
      snprintf(address, sizeof address, "@fastcgi-retire-%ld", (long)getpid());
  memcpy(name.sun_path + 1, address + 1, (size_t)len - 1);
  assert_int_equal(
      bind(box, (struct sockaddr *)&name,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
      0);
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
                   0);
  setenv("NOTIFY_SOCKET", address, 1);
  f->config.max_requests = 2;
  serving_restart(f);
  assert_int_equal(fcgi_server_hand_over(f->server, pair[0]), 0);
  for (int i = 0; i < 4; i++)
    answer_one(f);
  assert_int_equal(recv(box, text, sizeof text, MSG_DONTWAIT), 7);
  assert_memory_equal(text, "READY=1", 7);
  assert_int_equal(recv(box, text, sizeof text, MSG_DONTWAIT), 14);
  assert_memory_equal(text, "FASTCGI=RETIRE", 14);
  assert_int_equal(recv(box, text, sizeof text, MSG_DONTWAIT), -1);
  close(box);
  close(pair[0]);
  close(pair[1]);
}

/* With nobody there to ask it stops by itself. */
static void test_supervisor_that_is_gone(void **state) {
  serving *f = *state;
  int pair[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
                   0);
  setenv("NOTIFY_SOCKET", "@fastcgi-nobody-listens-here", 1);
  f->config.max_requests = 1;
  serving_restart(f);
  assert_int_equal(fcgi_server_hand_over(f->server, pair[0]), 0);
  expect_end_after(f, 1);
  close(pair[0]);
  close(pair[1]);
}

#define RETIRE_TEST(name)                                                      \
  cmocka_unit_test_prestate_setup_teardown(name, serving_set_up,               \
                                           clear_environment, kind)

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      RETIRE_TEST(test_stops_after_so_many),
      RETIRE_TEST(test_environment_counts_where_the_program_says_nothing),
      RETIRE_TEST(test_wrong_environment_is_refused),
      RETIRE_TEST(test_no_limit),
      RETIRE_TEST(test_jitter_spreads),
      RETIRE_TEST(test_supervisor_is_asked),
      RETIRE_TEST(test_supervisor_that_is_gone),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
