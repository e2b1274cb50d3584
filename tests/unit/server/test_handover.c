/* SPDX-License-Identifier: MIT */
/* Connections that pass from a server that stops to another one. */
#include "server/server.h"
#include "support/serving.h"

#include <fastcgi/error.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer_1[] = "stdout_end 1\nend 1 app=0 status=0\n";

typedef struct passing {
  serving *f;         /* The server that stops, and the client. */
  fcgi_server *newer; /* The one that takes over. */
  int pair[2];        /* From the first to the second. */
} passing;

static void open_pair(passing *p, serving *f) {
  fcgi_server_config config = f->config;
  p->f = f;
  assert_int_equal(
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->pair), 0);
  assert_int_equal(fcgi_server_new(&p->newer, &config, NULL, 0), 0);
  assert_int_equal(fcgi_server_hand_over(f->server, p->pair[0]), 0);
  assert_int_equal(fcgi_server_take_over(p->newer, p->pair[1]), 0);
}

static void close_pair(passing *p) {
  fcgi_server_free(p->newer);
  close(p->pair[0]);
  close(p->pair[1]);
}

/* The first server stops at once, having nothing more to do. */
static void expect_passed(passing *p) {
  fcgi_server_event event = {.size = sizeof event};
  assert_int_equal(fcgi_server_next(p->f->server, &event, 2000),
                   FCGI_ERR_CLOSED);
}

static void expect_served_by_newer(passing *p) {
  fcgi_server_event event = {.size = sizeof event};
  assert_int_equal(fcgi_server_next(p->newer, &event, 2000), 1);
  assert_int_equal(event.type, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_end(event.request, 0), 0);
  serving_expect(p->f, answer_1);
}

static void ask(passing *p) {
  records_get(&p->f->text->sent, 1);
  serving_send(p->f);
}

static void answer_one(passing *p) {
  ask(p);
  fcgi_request_end(serving_take(p->f, FCGI_EVENT_REQUEST), 0);
  serving_expect(p->f, answer_1);
}

static void test_idle_connection_passes(void **state) {
  passing p;
  open_pair(&p, *state);
  answer_one(&p);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  expect_passed(&p);
  ask(&p);
  expect_served_by_newer(&p);
  close_pair(&p);
}

static void test_new_connection_passes(void **state) {
  passing p;
  open_pair(&p, *state);
  serving_idle(p.f, 10);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  expect_passed(&p);
  ask(&p);
  expect_served_by_newer(&p);
  close_pair(&p);
}

static void test_request_in_the_socket_passes_with_it(void **state) {
  passing p;
  open_pair(&p, *state);
  answer_one(&p);
  ask(&p);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  expect_passed(&p);
  expect_served_by_newer(&p);
  close_pair(&p);
}

/* Its threads may all be inside handlers: whoever is free gets it. */
static void test_what_comes_in_a_stop_passes_on_unread(void **state) {
  passing p;
  fcgi_server *third;
  fcgi_server_event event = {.size = sizeof event};
  open_pair(&p, *state);
  answer_one(&p);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  expect_passed(&p);
  ask(&p);
  assert_int_equal(fcgi_server_hand_over(p.newer, p.pair[0]), 0);
  fcgi_server_stop(p.newer, FCGI_STOP_GRACEFUL);
  assert_int_not_equal(fcgi_server_next(p.newer, &event, 0), 1);
  assert_int_equal(fcgi_server_new(&third, &p.f->config, NULL, 0), 0);
  assert_int_equal(fcgi_server_take_over(third, p.pair[1]), 0);
  assert_int_equal(fcgi_server_next(third, &event, 20000), 1);
  assert_int_equal(fcgi_request_end(event.request, 0), 0);
  serving_expect(p.f, answer_1);
  fcgi_server_free(third);
  close_pair(&p);
}

static void test_open_request_is_finished_first(void **state) {
  passing p;
  open_pair(&p, *state);
  ask(&p);
  fcgi_request *request = serving_take(p.f, FCGI_EVENT_REQUEST);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  serving_idle(p.f, 20);
  fcgi_request_end(request, 0);
  serving_expect(p.f, answer_1);
  expect_passed(&p);
  ask(&p);
  expect_served_by_newer(&p);
  close_pair(&p);
}

/* A web server may abort a request whose end is on the way. */
static void test_late_record_does_not_hurt_the_newer(void **state) {
  passing p;
  open_pair(&p, *state);
  answer_one(&p);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  expect_passed(&p);
  records_abort(&p.f->text->sent, 1);
  ask(&p);
  expect_served_by_newer(&p);
  close_pair(&p);
}

static void test_half_a_record_waits_for_its_rest(void **state) {
  static const char header[8] = {1, FCGI_RECORD_STDIN, 0, 9};
  passing p;
  open_pair(&p, *state);
  answer_one(&p);
  records_raw(&p.f->text->sent, header, 5);
  serving_send(p.f);
  serving_idle(p.f, 20);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  serving_idle(p.f, 20);
  records_raw(&p.f->text->sent, header + 5, 3);
  serving_send(p.f);
  expect_passed(&p);
  ask(&p);
  expect_served_by_newer(&p);
  close_pair(&p);
}

/* Requests overlap all the time: the next one is left to the newer server. */
static void test_shared_connection_comes_to_rest(void **state) {
  passing p;
  open_pair(&p, *state);
  records_get(&p.f->text->sent, 2);
  serving_send(p.f);
  fcgi_request *second = serving_take(p.f, FCGI_EVENT_REQUEST);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  serving_idle(p.f, 20);
  ask(&p);
  serving_idle(p.f, 20);
  fcgi_request_end(second, 0);
  expect_passed(&p);
  serving_expect(p.f, "stdout_end 2\nend 2 app=0 status=0\n");
  expect_served_by_newer(&p);
  close_pair(&p);
}

/* But it does not wait for a slow handler without end. What it serves meanwhile
   does not make it close the connection. */
static void test_slow_handler_does_not_hold_others_up(void **state) {
  passing p;
  serving *f = *state;
  f->config.drain_silence_ms = 50;
  serving_restart(f);
  open_pair(&p, f);
  records_get(&f->text->sent, 2);
  serving_send(f);
  fcgi_request *slow = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  serving_idle(f, 10);
  answer_one(&p);
  fcgi_request_end(slow, 0);
  expect_passed(&p);
  serving_expect(f, "stdout_end 2\nend 2 app=0 status=0\n");
  ask(&p);
  expect_served_by_newer(&p);
  close_pair(&p);
}

static void test_without_receiver_it_closes(void **state) {
  passing p;
  serving *f = *state;
  f->config.drain_silence_ms = 50;
  serving_restart(f);
  open_pair(&p, f);
  answer_one(&p);
  fcgi_server_free(p.newer);
  close(p.pair[1]);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  expect_passed(&p);
  assert_true(serving_is_closed(f, 1000));
  close(p.pair[0]);
}

static void test_end_of_the_carrier_is_no_fault(void **state) {
  passing p;
  fcgi_server_event event = {.size = sizeof event};
  open_pair(&p, *state);
  shutdown(p.pair[0], SHUT_RDWR);
  for (int i = 0; i < 3; i++)
    assert_int_equal(fcgi_server_next(p.newer, &event, 10), 0);
  close_pair(&p);
}

enum { MANY = 600 };

/* More than the carrier socket holds: they wait for room. */
static void test_many_connections_pass(void **state) {
  passing p;
  fcgi_server_event event = {.size = sizeof event};
  int clients[MANY];
  char byte;
  open_pair(&p, *state);
  for (int i = 0; i < MANY; i++)
    clients[i] = serving_connect(p.f);
  for (int i = 0; i < MANY; i++)
    serving_idle(p.f, 0);
  fcgi_server_stop(p.f->server, FCGI_STOP_GRACEFUL);
  for (int i = 0; i < 10000; i++) {
    assert_int_equal(fcgi_server_next(p.newer, &event, 0), 0);
    if (fcgi_server_next(p.f->server, &event, 1) == FCGI_ERR_CLOSED)
      break;
  }
  expect_passed(&p);
  ask(&p);
  while (fcgi_server_next(p.newer, &event, 2000) == 0)
    ;
  fcgi_request_end(event.request, 0);
  for (int i = 0; i < MANY; i++) {
    assert_int_equal(recv(clients[i], &byte, 1, MSG_DONTWAIT), -1);
    close(clients[i]);
  }
  close_pair(&p);
}

static void test_wrong_socket_is_refused(void **state) {
  serving *f = *state;
  assert_int_equal(fcgi_server_hand_over(f->server, f->client),
                   FCGI_ERR_INVALID);
  assert_non_null(strstr(fcgi_server_message(f->server), "SOCK_SEQPACKET"));
  assert_int_equal(fcgi_server_take_over(f->server, -1), FCGI_ERR_INVALID);
}

/* Tells of a variable: nothing is taken from it, and the server serves. */
static void expect_ignored(serving *f, const char *text, const char *line) {
  setenv("FASTCGI_HANDOVER", text, 1);
  lines_forget(&f->log);
  serving_restart(f);
  assert_int_equal(fcgi__handover_inherit(f->server), 0);
  unsetenv("FASTCGI_HANDOVER");
  assert_int_equal(atomic_load(&f->server->handover.out), -1);
  assert_int_equal(atomic_load(&f->server->handover.in), -1);
  assert_int_equal(lines_count(&f->log, ""), *line ? 1 : 0);
  assert_int_equal(lines_count(&f->log, line), *line ? 1 : 0);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  serving_expect(f, answer_1);
}

static void expect_numbers_ignored(serving *f, int first, int second) {
  char text[80];
  snprintf(text, sizeof text, "%ld:%d:%d", (long)getpid(), first, second);
  expect_ignored(f, text, "connections are closed at a stop instead");
}

static void test_wrong_variable_is_ignored(void **state) {
  static const char *const wrong[] = {
      "x",      "1",       "1:2",    "1:2:3:4", ":::",    "1:2:",
      "1:2:x",  "-1:2:3",  " 1:2:3", "1:2:3 ",  "1:-2:3", "1:2:99999999999",
      "+1:2:3", "0x1:2:3", "1;2;3"};
  serving *f = *state;
  lines_begin(&f->log, &f->config);
  int pair[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
                   0);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    expect_ignored(f, wrong[i], "is ignored: it must be PID:OUT:IN");
  expect_ignored(f, "", "");
  expect_ignored(f, "1:2:3", ""); /* Another process's. */
  expect_numbers_ignored(f, 1000000, 1000001);
  expect_numbers_ignored(f, null, null);
  expect_numbers_ignored(f, pair[0], null);
  expect_numbers_ignored(f, null, pair[1]);
  assert_int_equal(fcntl(null, F_GETFD), FD_CLOEXEC);
  close(null);
  close(pair[0]);
  close(pair[1]);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_idle_connection_passes),
      SERVING_TEST(test_new_connection_passes),
      SERVING_TEST(test_request_in_the_socket_passes_with_it),
      SERVING_TEST(test_what_comes_in_a_stop_passes_on_unread),
      SERVING_TEST(test_open_request_is_finished_first),
      SERVING_TEST(test_late_record_does_not_hurt_the_newer),
      SERVING_TEST(test_half_a_record_waits_for_its_rest),
      SERVING_TEST(test_shared_connection_comes_to_rest),
      SERVING_TEST(test_slow_handler_does_not_hold_others_up),
      SERVING_TEST(test_without_receiver_it_closes),
      SERVING_TEST(test_end_of_the_carrier_is_no_fault),
      SERVING_TEST(test_many_connections_pass),
      SERVING_TEST(test_wrong_socket_is_refused),
      SERVING_TEST(test_wrong_variable_is_ignored),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
