/* SPDX-License-Identifier: MIT */
/* A program that a CGI server starts, with every kind of descriptor. */
#include "support/cgi_programs.h"
#include "support/gateway.h"
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLO                                                                  \
  "Content-Type: text/plain\nContent-Length: 6\nStatus: 200 OK\n\nHello\n"
#define ECHOED(body)   "Content-Type: text/plain\nStatus: 200 OK\n\n" body
#define VARIABLES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LENGTH(text)   VARIABLES("CONTENT_LENGTH=" text)

enum { MIB = 1024 * 1024 };

#define PROGRAM(how, callback)                                                 \
  .program = (how), .data = &(fcgi_callback) {                                 \
    callback                                                                   \
  }

static const char failed_page[] =
    "Content-Type: text/plain\nContent-Length: 26\n"
    "Status: 500 Internal Server Error\n\n500 Internal Server Error\n";

static void test_environment_becomes_the_parameters(void **state) {
  (void)state;
  gateway_expect(
      &(gateway){PROGRAM(program_serve, handle_list),
                 .environment =
                     VARIABLES("QUERY_STRING=a=b&c", "EMPTY=", "no variable",
                               "=x", "", "HTTP_PROXY=evil", "HTTP_X_TEST=1")},
      ECHOED("GATEWAY_INTERFACE=CGI/1.1\nREQUEST_METHOD=POST\nPATH=/bin\n"
             "QUERY_STRING=a=b&c\nEMPTY=\nHTTP_X_TEST=1\n"));
}

static void test_body_ends_at_its_length(void **state) {
  (void)state;
  gateway_expect(&(gateway){PROGRAM(program_stream, handle_echo),
                            .body = "abcdef", .keep_in = 1,
                            .environment = LENGTH("4")},
                 ECHOED("abcd"));
  gateway_expect(&(gateway){PROGRAM(program_serve, handle_echo),
                            .body = "abcdef", .keep_in = 1,
                            .environment = LENGTH("4")},
                 ECHOED("abcd"));
}

static void test_body_without_length_is_not_read(void **state) {
  (void)state;
  gateway_expect(&(gateway){PROGRAM(program_stream, handle_echo),
                            .body = "abcdef", .keep_in = 1},
                 ECHOED(""));
  gateway_expect(&(gateway){PROGRAM(program_stream, handle_echo),
                            .body = "abcdef", .keep_in = 1,
                            .environment = LENGTH("")},
                 ECHOED(""));
}

/* As Apache sends it: without a length, and then the end. */
static void test_chunked_body_ends_with_the_input(void **state) {
  (void)state;
  gateway_expect(
      &(gateway){PROGRAM(program_stream, handle_echo), .body = "abcdef",
                 .environment = VARIABLES("HTTP_TRANSFER_ENCODING=chunked")},
      ECHOED("abcdef"));
  gateway_expect(
      &(gateway){PROGRAM(program_stream, handle_echo), .body = "abcdef",
                 .keep_in = 1,
                 .environment = VARIABLES("HTTP_TRANSFER_ENCODING=chunked",
                                          "CONTENT_LENGTH=3")},
      ECHOED("abc"));
}

static void test_body_cut_short_is_noticed(void **state) {
  (void)state;
  gateway_expect(&(gateway){PROGRAM(program_stream, handle_echo),
                            .in = GATEWAY_NULL, .environment = LENGTH("10")},
                 failed_page);
  gateway_expect(&(gateway){PROGRAM(program_stream, handle_echo),
                            .in = GATEWAY_CLOSED, .environment = LENGTH("10")},
                 failed_page);
}

static void test_bad_length_is_refused(void **state) {
  static const char *const bad[] = {"CONTENT_LENGTH=1x", "CONTENT_LENGTH=-2",
                                    "CONTENT_LENGTH=+1",
                                    "CONTENT_LENGTH=9223372036854775808"};
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    gateway g = {PROGRAM(program_serve, handle_hello), .body = "abc",
                 .keep_in = 1, .environment = VARIABLES(bad[i])};
    gateway_start(&g);
    gateway_answer answer = gateway_finish(&g);
    assert_non_null(strstr(answer.out, "Status: 400 Bad Request\r\n"));
    assert_int_equal(answer.status, 0);
    free(answer.out);
  }
}

static void test_too_many_variables_are_refused(void **state) {
  static char large[300 * 1024] = "LARGE=";
  (void)state;
  memset(large + 6, 'x', sizeof large - 7);
  gateway g = {PROGRAM(program_serve, handle_hello),
               .environment = VARIABLES(large)};
  gateway_start(&g);
  gateway_answer answer = gateway_finish(&g);
  assert_non_null(strstr(answer.out, "Status: 431 "));
  assert_int_equal(answer.status, 0);
  free(answer.out);
}

static void test_why_nothing_can_be_answered(void **state) {
  enum { LARGE = 17 * MIB };
  static const char name[] = "LARGE=";
  char *large = malloc(LARGE);
  (void)state;
  memset(large, 'x', LARGE);
  memcpy(large, name, sizeof name - 1);
  large[LARGE - 1] = '\0';
  gateway g = {PROGRAM(program_serve, handle_hello),
               .environment = VARIABLES(large)};
  gateway_start(&g);
  gateway_answer answer = gateway_finish(&g);
  assert_non_null(
      strstr(answer.err,
             "cannot answer the CGI request: the environment is too large\n"));
  assert_int_equal(answer.status, 1);
  free(answer.out);
  free(large);
}

static void test_every_kind_of_descriptor(void **state) {
  (void)state;
  for (int in = GATEWAY_PIPE; in <= GATEWAY_FILE; in++)
    for (int out = GATEWAY_PIPE; out <= GATEWAY_FILE; out++)
      gateway_expect(&(gateway){PROGRAM(program_stream, handle_echo),
                                .in = (gateway_kind)in,
                                .out = (gateway_kind)out, .body = "abcdef",
                                .environment = LENGTH("6")},
                     ECHOED("abcdef"));
  for (int in = GATEWAY_PIPE; in <= GATEWAY_CLOSED; in++)
    gateway_expect(&(gateway){PROGRAM(program_serve, handle_hello),
                              .in = (gateway_kind)in},
                   HELLO);
  gateway_expect(
      &(gateway){PROGRAM(program_serve, handle_hello), .out = GATEWAY_NULL},
      "");
  gateway_expect(
      &(gateway){PROGRAM(program_serve, handle_hello), .out = GATEWAY_CLOSED},
      "");
  gateway_expect(&(gateway){PROGRAM(program_serve, handle_hello),
                            .out = GATEWAY_CLOSED, .in = GATEWAY_CLOSED},
                 "");
}

static void test_every_way_to_serve(void **state) {
  (void)state;
  gateway_expect(&(gateway){PROGRAM(program_threads, handle_hello)}, HELLO);
  gateway_expect(&(gateway){PROGRAM(program_with_poll, handle_hello)}, HELLO);
  gateway_expect(&(gateway){.program = program_pull_once}, HELLO);
#ifdef __linux__
  gateway_expect(&(gateway){.program = program_foreign_loop}, HELLO);
#endif
}

static void test_failure_is_a_page(void **state) {
  (void)state;
  gateway_expect(&(gateway){PROGRAM(program_serve, handle_fail)}, failed_page);
}

static void test_big_answer(void **state) {
  (void)state;
  for (int out = GATEWAY_PIPE; out <= GATEWAY_FILE; out++) {
    gateway g = {PROGRAM(program_serve, handle_big), .out = (gateway_kind)out};
    gateway_start(&g);
    gateway_answer answer = gateway_finish(&g);
    assert_int_equal(answer.out_len, 10 * MIB + 44);
    assert_int_equal(answer.status, 0);
    free(answer.out);
  }
}

/* Nothing is read here before the whole body is sent. */
static void test_web_server_that_sends_before_it_reads(void **state) {
  static char body[3 * MIB];
  (void)state;
  memset(body, 'b', sizeof body);
  for (int in = GATEWAY_PIPE; in <= GATEWAY_SOCKET; in++) {
    gateway g = {PROGRAM(program_stream, handle_echo),
                 .in = (gateway_kind)in,
                 .body = body,
                 .body_len = sizeof body,
                 .keep_in = 1,
                 .environment = LENGTH("3145728")};
    gateway_start(&g);
    gateway_answer answer = gateway_finish(&g);
    assert_int_equal(answer.out_len, sizeof body + 44);
    assert_memory_equal(answer.out + 44, body, sizeof body);
    assert_int_equal(answer.status, 0);
    free(answer.out);
  }
}

static void test_prints_are_no_part_of_the_answer(void **state) {
  (void)state;
  gateway g = {PROGRAM(program_serve, handle_print), .body = "abc",
               .keep_in = 1};
  gateway_start(&g);
  gateway_answer answer = gateway_finish(&g);
  assert_non_null(strstr(answer.out, "\r\n\r\nHello\n"));
  assert_null(strstr(answer.out, "printed"));
  assert_non_null(strstr(answer.err, "printed\n"));
  assert_non_null(strstr(answer.err, "child\n"));
  assert_non_null(strstr(answer.err, "noted\n"));
  assert_int_equal(answer.status, 0);
  free(answer.out);
}

static void test_answer_needs_no_error_log(void **state) {
  (void)state;
  gateway_expect(
      &(gateway){PROGRAM(program_serve, handle_note), .no_errors = 1}, HELLO);
}

/* The reader leaves after a few bytes, or before any. */
static void leave(gateway *g, const char *reason) {
  char data[100];
  gateway_start(g);
  struct pollfd at = {.fd = g->errors, .events = POLLIN};
  if (g->data && *(fcgi_callback *)g->data == handle_wait_for_abort)
    assert_int_equal(poll(&at, 1, 20000), 1);
  else
    assert_true(read(g->from_child, data, sizeof data) > 0);
  close(g->from_child);
  g->from_child = -1;
  gateway_answer answer = gateway_finish(g);
  assert_non_null(strstr(answer.err, reason));
  assert_int_equal(answer.status, 0);
  free(answer.out);
}

static void test_reader_that_leaves_aborts(void **state) {
  char reason[32];
  (void)state;
  snprintf(reason, sizeof reason, "reason %d\n", FCGI_ABORT_CONNECTION);
  for (int out = GATEWAY_PIPE; out <= GATEWAY_SOCKET; out++) {
    leave(&(gateway){PROGRAM(program_serve, handle_write_for_ever),
                     .out = (gateway_kind)out},
          reason);
    leave(&(gateway){PROGRAM(program_serve, handle_wait_for_abort),
                     .out = (gateway_kind)out},
          reason);
  }
}

static void test_term_lets_the_request_finish(void **state) {
  (void)state;
  gateway_expect(&(gateway){PROGRAM(program_serve, handle_raise_term)}, HELLO);
}

static void test_freeing_does_not_wait_for_a_reader(void **state) {
  (void)state;
  gateway g = {.program = program_free_full};
  gateway_start(&g);
  struct pollfd at = {.fd = g.errors, .events = POLLIN};
  assert_int_equal(poll(&at, 1, 20000), 1); /* The child has ended. */
  gateway_answer answer = gateway_finish(&g);
  assert_int_equal(answer.status, 0);
  assert_true(answer.out_len > 0 && answer.out_len < 10 * MIB);
  free(answer.out);
}

static void test_no_responder_is_said(void **state) {
  (void)state;
  gateway g = {.program = program_only_filters};
  gateway_start(&g);
  gateway_answer answer = gateway_finish(&g);
  assert_string_equal(answer.out, "");
  assert_non_null(strstr(answer.err, "it has no responder"));
  assert_int_equal(answer.status, 0);
  free(answer.out);
}

/* Each allocation fails once: nothing hangs, crashes or leaks. */
static void test_out_of_memory(void **state) {
  (void)state;
  int told = 0;
  for (long left = 0, enough = 0; !enough; left++) {
    gateway g = {.program = program_short_of_memory, .data = &left};
    gateway_start(&g);
    gateway_answer answer = gateway_finish(&g);
    assert_int_equal(answer.status, 0);
    assert_true(left < 200);
    told += strstr(answer.err, "cannot answer the CGI request: out of memory\n")
                ? 1
                : 0;
    enough = strstr(answer.err, "enough") != NULL;
    if (enough)
      assert_non_null(strstr(answer.out, "Hello\n"));
    free(answer.out);
  }
  assert_true(told > 0);
}

static void expect_addresses(gateway *g, const char *expected) {
  if (!g->program)
    g->program = program_tell_addresses;
  gateway_start(g);
  gateway_answer answer = gateway_finish(g);
  assert_string_equal(answer.err, expected);
  free(answer.out);
}

static void test_what_a_program_is_started_as(void **state) {
  static const char no_listener[] =
      "no listener inherited: give an address such as unix:/run/app.sock or "
      "127.0.0.1:9000, or start it with systemd socket activation, "
      "spawn-fcgi or mod_fcgid";
  const char *nothing = NULL, *loopback = "127.0.0.1:0";
  char expected[1024], taken[1024];
  (void)state;
  snprintf(taken, sizeof taken,
           "0 ;127.;%d;%d;%d the inherited listener is served already; listen "
           "on it only once",
           FCGI_ERR_LIMIT, FCGI_ERR_INVALID, FCGI_ERR_STATE);
  snprintf(expected, sizeof expected,
           "0 ;cgi;%d;%d;%d the CGI request is being answered already; listen "
           "for it once",
           FCGI_ERR_LIMIT, FCGI_ERR_INVALID, FCGI_ERR_STATE);
  expect_addresses(&(gateway){.data = &nothing}, expected);
  /* Lists of peers are not about the web server that started us. */
  expect_addresses(
      &(gateway){.data = &nothing,
                 .environment = VARIABLES("FCGI_WEB_SERVER_ADDRS=nonsense")},
      expected);
  snprintf(expected, sizeof expected, "0 ;127.;%d;%d;0 ", FCGI_ERR_LIMIT,
           FCGI_ERR_INVALID);
  expect_addresses(&(gateway){.data = &loopback}, expected);
  /* The listener that a FastCGI process manager hands on comes first. */
  expect_addresses(
      &(gateway){.data = &nothing, .program = program_with_listener}, taken);
  snprintf(expected, sizeof expected, "%d %s;none;%d;%d;%d %s",
           FCGI_ERR_INVALID, no_listener, FCGI_ERR_INVALID, FCGI_ERR_INVALID,
           FCGI_ERR_INVALID, no_listener);
  expect_addresses(&(gateway){.data = &nothing, .plain = 1}, expected);
  expect_addresses(&(gateway){.data = &nothing,
                              .plain = 1,
                              .environment = VARIABLES("GATEWAY_INTERFACE=")},
                   expected);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_environment_becomes_the_parameters),
      cmocka_unit_test(test_body_ends_at_its_length),
      cmocka_unit_test(test_body_without_length_is_not_read),
      cmocka_unit_test(test_chunked_body_ends_with_the_input),
      cmocka_unit_test(test_body_cut_short_is_noticed),
      cmocka_unit_test(test_bad_length_is_refused),
      cmocka_unit_test(test_too_many_variables_are_refused),
      cmocka_unit_test(test_why_nothing_can_be_answered),
      cmocka_unit_test(test_every_kind_of_descriptor),
      cmocka_unit_test(test_every_way_to_serve),
      cmocka_unit_test(test_failure_is_a_page),
      cmocka_unit_test(test_big_answer),
      cmocka_unit_test(test_web_server_that_sends_before_it_reads),
      cmocka_unit_test(test_prints_are_no_part_of_the_answer),
      cmocka_unit_test(test_answer_needs_no_error_log),
      cmocka_unit_test(test_reader_that_leaves_aborts),
      cmocka_unit_test(test_term_lets_the_request_finish),
      cmocka_unit_test(test_freeing_does_not_wait_for_a_reader),
      cmocka_unit_test(test_no_responder_is_said),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_what_a_program_is_started_as),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
