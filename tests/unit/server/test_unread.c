/* SPDX-License-Identifier: MIT */
/* Answers whose body nobody reads. */
#include "support/serving.h"

#include <string.h>

static fcgi_request *take_head(serving *f) {
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  records_param(&f->text->sent, 1, "REQUEST_METHOD", "HEAD");
  records_params_end(&f->text->sent, 1);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static const char only_the_head[] = "stdout 1 Status: 200 OK\r\n\r\n\n"
                                    "stdout_end 1\nend 1 app=0 status=0\n";

static void test_write_tells_that_nobody_reads(void **state) {
  serving *f = *state;
  static char byte[] = "a";
  struct iovec two[2] = {{byte, 1}, {byte, 1}};
  fcgi_request *request = take_head(f);
  fcgi_request_start(request, 200, NULL, 0);
  assert_int_equal(fcgi_request_write(request, "", 0), 0);
  assert_int_equal(fcgi_request_write(request, "body", 4), FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_request_writev(request, two, 2), FCGI_ERR_CLOSED);
  fcgi_request_end(request, 0);
  serving_expect(f, only_the_head);
}

static void test_raw_output_too(void **state) {
  serving *f = *state;
  fcgi_request *request = take_head(f);
  static const char text[] = "Status: 200 OK\r\n\r\nbody";
  assert_int_equal(fcgi_request_write(request, text, 16), 16);
  assert_int_equal(fcgi_request_write(request, text + 16, 6), 6);
  assert_int_equal(fcgi_request_write(request, "body", 4), FCGI_ERR_CLOSED);
  fcgi_request_end(request, 0);
  serving_expect(f, only_the_head);
}

/* A handler that gives up for it has answered all the same. */
static void test_failing_for_it_is_an_end(void **state) {
  serving *f = *state;
  fcgi_request *request = take_head(f);
  fcgi_request_start(request, 200, NULL, 0);
  assert_int_equal(fcgi_request_write(request, "body", 4), FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_request_fail(request), 0);
  serving_expect(f, only_the_head);
  assert_false(serving_is_closed(f, 0));
}

static void test_no_content_neither(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request_start(request, 204, NULL, 0);
  assert_int_equal(fcgi_request_write(request, "body", 4), FCGI_ERR_CLOSED);
  fcgi_request_end(request, 0);
  serving_expect(f, "stdout 1 Status: 204 No Content\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_write_tells_that_nobody_reads),
      SERVING_TEST(test_raw_output_too),
      SERVING_TEST(test_failing_for_it_is_an_end),
      SERVING_TEST(test_no_content_neither),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
