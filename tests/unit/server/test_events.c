/* SPDX-License-Identifier: MIT */
/* Events as programs take them: their numbers, their order and their size. */
#include "support/serving.h"

#include <fastcgi/error.h>
#include <string.h>
#include <unistd.h>

/* Programs that were compiled long ago have these numbers in them. */
static void test_numbers_of_events_never_change(void **state) {
  static const int numbers[] = {
      FCGI_EVENT_NONE,      FCGI_EVENT_REQUEST, FCGI_EVENT_STDIN,
      FCGI_EVENT_STDIN_END, FCGI_EVENT_DATA,    FCGI_EVENT_DATA_END,
      FCGI_EVENT_WRITABLE,  FCGI_EVENT_ABORT,   FCGI_EVENT_CLOSE};
  (void)state;
  for (int i = 0; i < (int)(sizeof numbers / sizeof *numbers); i++)
    assert_int_equal(numbers[i], i);
}

/* All of them wait when the program looks for the first time. */
static void test_events_of_a_request_come_in_order(void **state) {
  static const fcgi_event_type order[] = {FCGI_EVENT_REQUEST, FCGI_EVENT_STDIN,
                                          FCGI_EVENT_STDIN_END,
                                          FCGI_EVENT_ABORT, FCGI_EVENT_CLOSE};
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  f->config.events = 1u << FCGI_EVENT_STDIN | 1u << FCGI_EVENT_STDIN_END |
                     1u << FCGI_EVENT_ABORT | 1u << FCGI_EVENT_CLOSE;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "body");
  records_stdin_end(&f->text->sent, 1);
  records_abort(&f->text->sent, 1);
  serving_send(f);
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
    fcgi_request *request = serving_take(f, order[i]);
    if (order[i] == FCGI_EVENT_ABORT)
      assert_int_equal(fcgi_request_end(request, 0), 0);
  }
}

static void test_an_event_has_the_size_of_its_program(void **state) {
  struct {
    fcgi_server_event event; /* What this version knows. */
    char later[8];           /* What the program knows besides. */
  } larger = {.event.size = sizeof larger, .later = "later"};
  fcgi_server_event event = {.size = 0};
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  assert_int_equal(fcgi_server_next(f->server, &event, 0), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_server_next(f->server, &larger.event, 5000), 1);
  assert_int_equal(larger.event.type, FCGI_EVENT_REQUEST);
  assert_string_equal(larger.later, "later");
  assert_int_equal(fcgi_request_end(larger.event.request, 0), 0);
}

/* Both words mean the same in each function that waits as in a configuration.
 */
static void test_never_is_a_word_for_every_wait(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  char data[8];
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request_set_timeout(request, FCGI_WAIT_NEVER);
  assert_int_equal(fcgi_request_read(request, data, sizeof data),
                   FCGI_ERR_AGAIN);
  assert_int_equal(fcgi_server_next(f->server, &event, FCGI_WAIT_NEVER), 0);
}

/* A request that waits must not keep from one that runs what it waits for. */
static void test_requests_wait_while_nobody_asks_for_them(void **state) {
  const unsigned ends = 1u << FCGI_EVENT_STDIN_END;
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_server_set_events(f->server, ends);
  records_get(&f->text->sent, 2);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  assert_ptr_equal(serving_take(f, FCGI_EVENT_STDIN_END), first);
  assert_int_equal(fcgi_request_end(first, 0), 0);
  serving_idle(f, 30);
  fcgi_server_set_events(f->server, ends | 1u << FCGI_EVENT_REQUEST);
  fcgi_request *second = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_id(second), 2);
  assert_int_equal(fcgi_request_end(second, 0), 0);
}

static void
test_a_client_that_leaves_takes_its_waiting_request_along(void **state) {
  serving *f = *state;
  fcgi_server_set_events(f->server, 0);
  records_get(&f->text->sent, 1);
  serving_send(f);
  serving_idle(f, 30);
  close(f->client);
  f->client = serving_connect(f);
  serving_idle(f, 30);
  fcgi_server_set_events(f->server, 1u << FCGI_EVENT_REQUEST);
  records_get(&f->text->sent, 7);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_id(request), 7);
  assert_int_equal(fcgi_request_end(request, 0), 0);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_numbers_of_events_never_change),
      SERVING_TEST(test_events_of_a_request_come_in_order),
      SERVING_TEST(test_an_event_has_the_size_of_its_program),
      SERVING_TEST(test_never_is_a_word_for_every_wait),
      SERVING_TEST(test_requests_wait_while_nobody_asks_for_them),
      SERVING_TEST(test_a_client_that_leaves_takes_its_waiting_request_along),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
