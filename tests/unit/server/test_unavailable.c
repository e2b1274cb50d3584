/* SPDX-License-Identifier: MIT */
/* Requests that cannot have what they need: 503, few lines, and a count. */
#include "board/status.h"
#include "server/server.h"
#include "support/keeping.h"
#include "support/serving.h"

#include <stdlib.h>

enum { FAILURES = 3 };

static const char later[] =
    "stdout 1 Content-Type: text/plain\r\nContent-Length: 24\r\n"
    "Retry-After: 1\r\nStatus: 503 Service Unavailable\r\n\r\n"
    "503 Service Unavailable\n\nstdout_end 1\nend 1 app=0 status=0\n";

/* A server with a status, whose lines are kept. */
static void begin(serving *f) {
  lines_begin(&f->log, &f->config);
  f->config.status_path = "/status";
  serving_restart(f);
  serving_idle(f, 0); /* From its first wait on it counts. */
}

static fcgi_request *ask(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static uint64_t counted(const serving *f) {
  fcgi_status *status;
  assert_int_equal(fcgi__status_of_board(&status, &f->server->observer.board),
                   0);
  uint64_t value =
      fcgi_status_metric(fcgi_status_total(status), FCGI_METRIC_UNAVAILABLE);
  fcgi_status_free(status);
  return value;
}

/* A resource that cannot be opened. */
static keeping *keep(serving *f) {
  keeping *k = calloc(1, sizeof *k);
  fcgi_resource_config config = keeping_config(k);
  config.acquire_timeout_ms = 1;
  atomic_store(&k->away, FCGI_ERR_CLOSED);
  keeping_begin(k, &config);
  if (f)
    assert_int_equal(fcgi_server_keep(f->server, k->resource), 0);
  return k;
}

static void fail_for_want_of(keeping *k, serving *f) {
  fcgi_request *request = ask(f);
  void *value;
  assert_int_equal(
      fcgi_resource_get(k->resource, fcgi_request_holder(request), &value),
      FCGI_ERR_TIMEOUT);
  assert_int_equal(fcgi_request_fail(request), 0);
  serving_expect(f, later);
}

static void end(keeping *k) {
  keeping_end(k);
  free(k);
}

static void test_many_have_one_line(void **state) {
  serving *f = *state;
  begin(f);
  keeping *k = keep(f);
  for (int i = 0; i < FAILURES; i++)
    fail_for_want_of(k, f);
  assert_int_equal(counted(f), FAILURES);
  assert_int_equal(lines_count(&f->log, ": resource 'db' cannot be opened: "),
                   1);
  end(k);
}

/* It may be gone by the time that the line is written. */
static void test_one_that_the_server_does_not_keep_is_not_named(void **state) {
  serving *f = *state;
  begin(f);
  keeping *k = keep(NULL);
  fail_for_want_of(k, f);
  assert_int_equal(counted(f), 1);
  assert_int_equal(lines_count(&f->log, "resource 'db'"), 0);
  assert_int_equal(
      lines_count(&f->log, ": something that it needs is not available"), 1);
  end(k);
}

static void test_a_program_says_what_it_lacks(void **state) {
  serving *f = *state;
  begin(f);
  fcgi_request *request = ask(f);
  fcgi_request_set_unavailable(request, "the queue is full");
  fcgi_request_set_unavailable(request, "and once more");
  assert_int_equal(fcgi_request_fail(request), 0);
  serving_expect(f, later);
  assert_int_equal(counted(f), 1);
  assert_int_equal(lines_count(&f->log, ": the queue is full"), 1);
  assert_int_equal(lines_count(&f->log, "and once more"), 0);
}

/* Who can do without it is told of all the same: something is away. */
static void test_a_handler_that_copes_answers(void **state) {
  serving *f = *state;
  begin(f);
  fcgi_request *request = ask(f);
  fcgi_request_set_unavailable(request, NULL);
  assert_int_equal(fcgi_request_reply(request, 200, NULL, "hi\n", 3), 0);
  serving_expect(f, "stdout 1 Content-Length: 3\r\nStatus: 200 OK\r\n\r\n"
                    "hi\n\nstdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(counted(f), 1);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_many_have_one_line),
      SERVING_TEST(test_one_that_the_server_does_not_keep_is_not_named),
      SERVING_TEST(test_a_program_says_what_it_lacks),
      SERVING_TEST(test_a_handler_that_copes_answers),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
