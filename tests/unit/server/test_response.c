/* SPDX-License-Identifier: MIT */
/* The head of an answer. */
#include "support/serving.h"

#include <stdio.h>
#include <string.h>

static fcgi_request *take_get(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static fcgi_header header(const char *name, const char *value) {
  return (fcgi_header){name, strlen(name), value, strlen(value)};
}

static void expect_head(serving *f, const char *head) {
  char text[256];
  snprintf(text, sizeof text,
           "stdout 1 %s\r\n\r\n\nstdout_end 1\nend 1 app=0 status=0\n", head);
  serving_expect(f, text);
}

static void test_reason_of_the_caller(void **state) {
  serving *f = *state;
  const fcgi_header headers[] = {header("status", "299 As you like"),
                                 header("Location", "/x")};
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 299, headers, 2), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  expect_head(f, "Location: /x\r\nstatus: 299 As you like");
}

static void test_reason_in_a_whole_answer(void **state) {
  serving *f = *state;
  const fcgi_header status = header("Status", "404 Nope");
  assert_int_equal(fcgi_request_respond(take_get(f), 404, &status, 1, "", 0),
                   0);
  expect_head(f, "Content-Length: 0\r\nStatus: 404 Nope");
}

static void test_reason_that_does_not_fit(void **state) {
  serving *f = *state;
  static const char *const bad[] = {"",       "404",  "404 ",        "200 OK",
                                    "4040 X", "Nope", "404 A\nB: c", " 404 X"};
  const fcgi_header twice[] = {header("Status", "404 A"),
                               header("Status", "404 B")};
  fcgi_request *request = take_get(f);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const fcgi_header status = header("Status", bad[i]);
    assert_int_equal(fcgi_request_start(request, 404, &status, 1),
                     FCGI_ERR_INVALID);
  }
  assert_int_equal(fcgi_request_start(request, 404, twice, 2),
                   FCGI_ERR_INVALID);
  assert_int_equal(fcgi_request_start(request, 404, twice, 1), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  expect_head(f, "Status: 404 A");
}

static void test_headers_are_judged_with_a_place(void **state) {
  const fcgi_header nul = {"X", 1, "a\0b", 3};
  const fcgi_header good = header("X-Y", "");
  const fcgi_header nameless = header("", "v");
  const fcgi_header blank = header("X Y", "v");
  const fcgi_header line = header("X", "abc\r\nd");
  size_t at = 77;
  (void)state;
  assert_int_equal(fcgi_header_check(&good, &at), FCGI_HEADER_GOOD);
  assert_int_equal(at, 77);
  assert_int_equal(fcgi_header_check(&nameless, &at), FCGI_HEADER_BAD_NAME);
  assert_int_equal(at, 0);
  assert_int_equal(fcgi_header_check(&blank, &at), FCGI_HEADER_BAD_NAME);
  assert_int_equal(at, 1);
  assert_int_equal(fcgi_header_check(&nul, &at), FCGI_HEADER_BAD_VALUE);
  assert_int_equal(at, 1);
  assert_int_equal(fcgi_header_check(&line, &at), FCGI_HEADER_BAD_VALUE);
  assert_in_range(at, 3, 4);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_reason_of_the_caller),
      SERVING_TEST(test_reason_in_a_whole_answer),
      SERVING_TEST(test_reason_that_does_not_fit),
      cmocka_unit_test(test_headers_are_judged_with_a_place),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
