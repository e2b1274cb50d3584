/* SPDX-License-Identifier: MIT */
/* What others do wrong is counted by its kind and told in few lines. */
#include "server/server.h"
#include "support/serving.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char http[] = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
static const char tls[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

/* A server with a status, whose lines are kept. */
static void begin(serving *f) {
  lines_begin(&f->log, &f->config);
  f->config.status_path = "/status";
  serving_restart(f);
  serving_idle(f, 0); /* From its first wait on it counts. */
}

/* Serves until the client sees the end of its connection. */
static void serve_to_the_end(serving *f) {
  for (int i = 0; i < 10000; i++) {
    serving_idle(f, 1);
    if (serving_is_closed(f, 0))
      return;
  }
  fail_msg("the connection was not closed");
}

static void send_bytes(serving *f, const void *data, size_t len) {
  close(f->client);
  f->client = serving_connect(f);
  assert_int_equal(send(f->client, data, len, MSG_NOSIGNAL), len);
  serve_to_the_end(f);
}

static uint64_t counted(const serving *f, fcgi_metric value) {
  fcgi__board_slot *slot = atomic_load(&f->server->observer.slot);
  return atomic_load(&slot->counts.values[value]);
}

/* A client over TCP, instead. */
static int connect_tcp(serving *f) {
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  char address[64];
  assert_int_equal(fcgi_server_listen(f->server, "127.0.0.1:0"), 0);
  assert_int_equal(fcgi_server_address(f->server, 1, address, sizeof address),
                   0);
  to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
  close(f->client);
  int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
  return client;
}

/* Pretends that the pause after a line is over. */
static void pass_time(serving *f) {
  fcgi__troubles *all = &f->server->observer.troubles;
  pthread_mutex_lock(&all->lock);
  for (unsigned kind = 0; kind < FCGI__TROUBLES; kind++)
    for (unsigned i = 0; i <= FCGI__CAUSES; i++)
      all->kinds[kind].causes[i].quiet = 0;
  pthread_mutex_unlock(&all->lock);
}

/* What is told when the pause is over. */
static const char *told_later(serving *f) {
  pass_time(f);
  lines_forget(&f->log);
  fcgi__trouble_tell(&f->server->observer, fcgi__now());
  return lines_text(&f->log);
}

static void expect_broken(serving *f, const void *data, size_t len,
                          const char *what) {
  char expected[200];
  begin(f);
  send_bytes(f, data, len);
  snprintf(expected, sizeof expected,
           "closed the connection of process %ld of user %lu, from which came "
           "%s\n",
           (long)getpid(), (unsigned long)getuid(), what);
  assert_string_equal(lines_text(&f->log), expected);
  assert_int_equal(counted(f, FCGI_METRIC_PROTOCOL_ERRORS), 1);
}

static void test_strangers_are_named(void **state) {
  static const char post[] = "POST /x HTTP/1.0\r\n\r\n";
  static const char proxy[] = "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n";
  static const char other[] = "\x02\x01\x00\x01\x00\x08\x00\x00";
  serving *f = *state;
  expect_broken(f, http, sizeof http - 1,
                "an HTTP request; in nginx use fastcgi_pass, not proxy_pass");
  expect_broken(f, post, sizeof post - 1,
                "an HTTP request; in nginx use fastcgi_pass, not proxy_pass");
  expect_broken(f, tls, sizeof tls - 1, "TLS; FastCGI is spoken without it");
  expect_broken(f, proxy, sizeof proxy - 1,
                "a PROXY protocol header; switch that off");
  expect_broken(f, other, sizeof other - 1,
                "bytes that are no FastCGI: 02 01 00 01 00 08 00 00");
}

/* Once it has asked properly, its bytes may be a client's: they stay out. */
static void test_a_later_fault_is_named_without_bytes(void **state) {
  static const uint8_t wrong[] = {2, 1, 0, 1, 0, 8, 0, 0};
  serving *f = *state;
  begin(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  send(f->client, wrong, sizeof wrong, MSG_NOSIGNAL);
  serve_to_the_end(f);
  assert_non_null(strstr(lines_text(&f->log),
                         "from which came what breaks the FastCGI "
                         "protocol\n"));
}

static void test_a_flood_is_two_lines(void **state) {
  serving *f = *state;
  char rest[120];
  begin(f);
  for (int i = 0; i < 20; i++)
    send_bytes(f, http, sizeof http - 1);
  assert_int_equal(lines_count(&f->log, ""), 1);
  assert_int_equal(counted(f, FCGI_METRIC_PROTOCOL_ERRORS), 20);
  snprintf(rest, sizeof rest,
           "19 more connections that broke the protocol (an HTTP request from "
           "user %lu)\n",
           (unsigned long)getuid());
  assert_string_equal(told_later(f), rest);
  assert_string_equal(told_later(f), "");
}

/* What comes again and again hides nothing else, random bytes are one cause. */
static void test_each_cause_has_its_line(void **state) {
  serving *f = *state;
  begin(f);
  for (int i = 0; i < 3; i++)
    send_bytes(f, http, sizeof http - 1);
  send_bytes(f, tls, sizeof tls - 1);
  for (uint8_t i = 0; i < 3; i++)
    send_bytes(f, (const uint8_t[8]){0x7f, i}, 8);
  assert_int_equal(lines_count(&f->log, ""), 3);
  assert_int_equal(lines_count(&f->log, "an HTTP request"), 1);
  assert_int_equal(lines_count(&f->log, "TLS"), 1);
  assert_int_equal(lines_count(&f->log, "7f 00 00"), 1);
  told_later(f);
  assert_int_equal(lines_count(&f->log, ""), 2);
  assert_int_equal(lines_count(&f->log, "2 more "), 2);
  assert_int_equal(lines_count(&f->log, "(bytes that are no FastCGI from "), 1);
  assert_int_equal(counted(f, FCGI_METRIC_PROTOCOL_ERRORS), 7);
}

static void note(serving *f, unsigned cause) {
  char name[16];
  snprintf(name, sizeof name, "cause %u.", cause);
  fcgi__server_trouble(f->server, FCGI__TROUBLE_RESET, name, FCGI_LOG_INFO,
                       "one of %s", name);
}

static void test_many_causes_are_few_lines(void **state) {
  serving *f = *state;
  begin(f);
  for (unsigned i = 0; i < 2 * 1000; i++)
    note(f, i % 1000);
  assert_int_equal(lines_count(&f->log, ""), FCGI__CAUSES);
  assert_int_equal(lines_count(&f->log, "one of"), FCGI__CAUSES);
  told_later(f);
  assert_int_equal(lines_count(&f->log, ""), FCGI__CAUSES + 1);
  assert_int_equal(lines_count(&f->log, "1 more "), FCGI__CAUSES);
  assert_int_equal(lines_count(&f->log, "1984 more connections that were reset "
                                        "with requests open (of other causes)"),
                   1);
  assert_int_equal(counted(f, FCGI_METRIC_RESETS), 2000);
}

/* As many as are held come again before each telling; so does a further one,
   after them. */
static void test_each_of_many_causes_has_its_turn(void **state) {
  serving *f = *state;
  int rounds = 0;
  begin(f);
  do {
    assert_in_range(rounds++, 0, 3);
    lines_forget(&f->log);
    for (unsigned i = 0; i <= FCGI__CAUSES; i++)
      note(f, i);
    if (lines_count(&f->log, "one of cause 8."))
      return;
    told_later(f);
  } while (1);
}

/* Each of them is told or in the count of a rest, wherever it was held. */
static void test_none_is_lost_between_places(void **state) {
  serving *f = *state;
  unsigned told = 0, count;
  begin(f);
  for (unsigned i = 0; i < 3000; i++) {
    note(f, i * i % 23);
    told += lines_count(&f->log, "one of");
    lines_forget(&f->log);
    if (i % 100 != 99)
      continue;
    for (const char *at = told_later(f); *at; at = strchr(at, '\n') + 1)
      told += sscanf(at, "%u more ", &count) == 1 ? count : 0;
    lines_forget(&f->log);
  }
  for (int i = 0; i < 2; i++)
    for (const char *at = told_later(f); *at; at = strchr(at, '\n') + 1)
      told += sscanf(at, "%u more ", &count) == 1 ? count : 0;
  assert_int_equal(told, 3000);
}

/* The rest is told when the pause is over though nothing more happens, and at
   the end of the server. */
static void test_the_rest_is_always_told(void **state) {
  serving *f = *state;
  begin(f);
  send_bytes(f, http, sizeof http - 1);
  send_bytes(f, http, sizeof http - 1);
  assert_true(atomic_load(&f->server->next_sweep) <= fcgi__now() + 10000);
  pass_time(f);
  atomic_store(&f->server->next_sweep, 0);
  serving_idle(f, 10);
  assert_int_equal(lines_count(&f->log, "1 more connections that broke"), 1);
  pass_time(f);
  send_bytes(f, http, sizeof http - 1);
  send_bytes(f, http, sizeof http - 1);
  send_bytes(f, http, sizeof http - 1);
  lines_forget(&f->log);
  f->config.log_data = NULL;
  f->config.log = NULL;
  serving_restart(f);
  assert_int_equal(lines_count(&f->log, ""), 1);
  assert_int_equal(lines_count(&f->log, "2 more connections that broke"), 1);
}

/* The client has not read what it was sent: that makes its close a reset. */
static void close_unread(serving *f) {
  serving_idle(f, 10);
  close(f->client);
  f->client = -1;
  serving_idle(f, 10);
}

static void ask_for_values(serving *f) {
  static const uint8_t name[] = "\x0f\x00"
                                "FCGI_MPXS_CONNS";
  records_put(&f->text->sent, FCGI_RECORD_GET_VALUES, 0, name, sizeof name - 1,
              0);
}

static void test_a_reset_while_parameters_come(void **state) {
  serving *f = *state;
  begin(f);
  ask_for_values(f);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(&f->text->sent, 1, "REQUEST_METHOD", "GET");
  serving_send(f);
  close_unread(f);
  assert_int_equal(counted(f, FCGI_METRIC_RESETS), 1);
  assert_int_equal(lines_count(&f->log, "reset its connection"), 1);
}

/* What finds the reset may be a write, or the poller while nothing is read. */
static void test_a_reset_while_an_answer_goes_out(void **state) {
  serving *f = *state;
  char bytes[4096] = {0};
  begin(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_write(request, "a: b\r\n\r\n", 8), 8);
  assert_int_equal(fcgi_request_flush(request), 0);
  close(f->client);
  f->client = -1;
  while (fcgi_request_write(request, bytes, sizeof bytes) > 0)
    ;
  fcgi_request_end(request, 0);
  assert_int_equal(counted(f, FCGI_METRIC_RESETS), 1);
}

/* Sends of a body as much as anybody takes. */
static void fill_up(serving *f) {
  static const uint8_t record[8 + 32768] = {
      FCGI_WIRE_VERSION, FCGI_RECORD_STDIN, 0, 1, 32768 >> 8};
  while (send(f->client, record, sizeof record, MSG_DONTWAIT) > 0)
    serving_idle(f, 1);
}

static void test_a_reset_while_nothing_is_read(void **state) {
  const struct linger at_once = {.l_onoff = 1};
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  begin(f);
  f->client = connect_tcp(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fill_up(f);
  setsockopt(f->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(f->client);
  f->client = -1;
  for (int i = 0; i < 10000 && counted(f, FCGI_METRIC_RESETS) == 0; i++)
    serving_idle(f, 1);
  fcgi_request_end(request, 0);
  assert_int_equal(counted(f, FCGI_METRIC_RESETS), 1);
}

static void test_a_reset_without_a_request_is_none(void **state) {
  serving *f = *state;
  begin(f);
  ask_for_values(f);
  records_raw(&f->text->sent, "\1\1\0\1", 4);
  serving_send(f);
  close_unread(f);
  assert_int_equal(counted(f, FCGI_METRIC_RESETS), 0);
  assert_string_equal(lines_text(&f->log), "");
}

static void test_parameters_that_stop_coming(void **state) {
  serving *f = *state;
  f->config.header_timeout_ms = 20;
  begin(f);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  serving_send(f);
  serve_to_the_end(f);
  assert_non_null(
      strstr(lines_text(&f->log),
             "a request's parameters stopped coming from process "));
  assert_int_equal(counted(f, FCGI_METRIC_TIMEOUTS_HEADER), 1);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_strangers_are_named),
      SERVING_TEST(test_a_later_fault_is_named_without_bytes),
      SERVING_TEST(test_a_flood_is_two_lines),
      SERVING_TEST(test_each_cause_has_its_line),
      SERVING_TEST(test_many_causes_are_few_lines),
      SERVING_TEST(test_each_of_many_causes_has_its_turn),
      SERVING_TEST(test_none_is_lost_between_places),
      SERVING_TEST(test_the_rest_is_always_told),
      SERVING_TEST(test_a_reset_while_parameters_come),
      SERVING_TEST(test_a_reset_while_an_answer_goes_out),
      SERVING_TEST(test_a_reset_while_nothing_is_read),
      SERVING_TEST(test_a_reset_without_a_request_is_none),
      SERVING_TEST(test_parameters_that_stop_coming),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
