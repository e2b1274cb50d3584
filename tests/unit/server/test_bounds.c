/* SPDX-License-Identifier: MIT */
/* What a limit does not concern, where it is just reached, and what its passing
   leaves. */
#include "server/connection.h"
#include "server/request.h"
#include "support/serving.h"

#include <fastcgi/error.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_MS = 60, WINDOW = 1000, LONG_MS = 20000 };

static const char answer[] = "stdout 1 Content-Type: text/plain\r\n"
                             "Content-Length: 1\r\n"
                             "Status: 200 OK\r\n\r\n"
                             "x\n"
                             "stdout_end 1\nend 1 app=0 status=0\n";

static fcgi_request *get(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static void reply(serving *f, fcgi_request *request) {
  assert_int_equal(fcgi_request_reply(request, 200, "text/plain", "x", 1), 0);
  serving_idle(f, 1);
  serving_expect(f, answer);
}

/* A connection is idle without a request, however long its request takes. */
static void test_a_handler_at_work_is_not_idle(void **state) {
  serving *f = *state;
  f->config.idle_timeout_ms = LIMIT_MS;
  serving_restart(f);
  fcgi_request *request = get(f);
  serving_idle(f, 4 * LIMIT_MS);
  reply(f, request);
  reply(f, get(f));
  serving_idle(f, 4 * LIMIT_MS);
  assert_true(serving_is_closed(f, LONG_MS));
}

static void read_bytes(fcgi_request *request, size_t len) {
  char data[WINDOW];
  assert_int_equal(fcgi_request_read(request, data, len), len);
}

/* A window that is full is read again when half of it is free. */
static void test_half_a_window_is_room_enough(void **state) {
  char body[WINDOW + 1];
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  f->config.input_window = WINDOW;
  serving_restart(f);
  memset(body, 'b', WINDOW);
  body[WINDOW] = '\0';
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, body);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_true(fcgi__connection_is_paused(request->connection));
  read_bytes(request, WINDOW / 2 - 1);
  assert_true(fcgi__connection_is_paused(request->connection));
  read_bytes(request, 1);
  assert_false(fcgi__connection_is_paused(request->connection));
  fcgi_request_end(request, 0);
}

/* The deadline passes while nobody takes events, and its abort waits to be
   taken when the program ends the request: nobody hears of it then. */
static void test_an_abort_goes_with_its_request(void **state) {
  serving *f = *state;
  f->config.request_timeout_ms = LIMIT_MS;
  f->config.events = 1u << FCGI_EVENT_ABORT;
  serving_restart(f);
  fcgi_request *request = get(f);
  for (int ms = 0; fcgi_request_aborted(request) == FCGI_ABORT_NONE; ms++) {
    assert_true(ms < LONG_MS);
    usleep(1000);
  }
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_DEADLINE);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_ABORTED);
  serving_idle(f, LIMIT_MS);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_a_handler_at_work_is_not_idle),
      SERVING_TEST(test_half_a_window_is_room_enough),
      SERVING_TEST(test_an_abort_goes_with_its_request),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
