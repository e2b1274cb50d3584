/* SPDX-License-Identifier: MIT */
/* Answers to requests that came together, on one thread. */
#include "server/server.h"
#include "support/serving.h"

#include <sys/socket.h>
#include <unistd.h>

enum {
  BATCH = 16,      /* Requests sent at once. */
  LONG_MS = 20000, /* For an event that comes. */
  TRIES = 2000     /* Batches, until handlers were quick for long enough on a
                      machine that does other things as well. */
};

static void send_batch(serving *f, uint16_t count) {
  for (uint16_t id = 1; id <= count; id++)
    records_get(&f->text->sent, id);
  serving_send(f);
}

static void answer_alone(fcgi_request *request) {
  assert_int_equal(fcgi_request_reply(request, 200, "text/plain", "hi\n", 3),
                   0);
}

/* As a loop does, which then takes the next one. */
static void answer(fcgi_request *request) {
  fcgi_request_gather(request);
  answer_alone(request);
}

/* How many answers have come by now: each ends with 16 bytes of END_REQUEST. */
static int answers(serving *f) {
  static uint8_t bytes[65536];
  ssize_t len = recv(f->client, bytes, sizeof bytes, MSG_DONTWAIT);
  int count = 0;
  for (ssize_t at = 0; at + 8 <= len;
       at += 8 + (bytes[at + 4] << 8 | bytes[at + 5]) + bytes[at + 6])
    count += bytes[at + 1] == FCGI_RECORD_END_REQUEST;
  return count;
}

static void answer_rest(serving *f, int count) {
  while (count-- > 0)
    answer(serving_take(f, FCGI_EVENT_REQUEST));
}

static void answer_one(serving *f) {
  answer(serving_take(f, FCGI_EVENT_REQUEST));
}

/* As a callback does, which returns then. */
static void answer_in_callback(serving *f) {
  fcgi_server_event event = {.size = sizeof event};
  assert_int_equal(fcgi__server_take_event(f->server, &event, LONG_MS, 1), 1);
  assert_int_equal(event.type, FCGI_EVENT_REQUEST);
  answer(event.request);
  fcgi__request_returned(event.request, 0);
}

/* Leave one answered request of a batch whose answer waits; the others of the
   batch are ready. */
static void make_wait(serving *f, void (*answer_first)(serving *)) {
  for (int i = 0; i < TRIES; i++) {
    send_batch(f, BATCH);
    answer_first(f);
    if (answers(f) == 0)
      return;
    answer_rest(f, BATCH - 1);
    assert_int_equal(answers(f), BATCH - 1);
  }
  fail_msg("no answer ever waited");
}

static void make_one_wait(serving *f) {
  make_wait(f, answer_one);
}

static void test_first_answers_leave_at_once(void **state) {
  serving *f = *state;
  send_batch(f, BATCH);
  for (int i = 0; i < BATCH; i++) {
    answer(serving_take(f, FCGI_EVENT_REQUEST));
    assert_int_equal(answers(f), 1);
  }
}

static void test_answers_of_a_batch_leave_with_the_last(void **state) {
  serving *f = *state;
  make_one_wait(f);
  answer_rest(f, BATCH - 1);
  assert_int_equal(answers(f), BATCH);
}

static void test_a_callback_that_returns_sends_nothing(void **state) {
  serving *f = *state;
  make_wait(f, answer_in_callback);
  for (int i = 1; i < BATCH; i++)
    answer_in_callback(f);
  assert_int_equal(answers(f), BATCH);
}

static void test_slow_handler_ends_the_waiting(void **state) {
  serving *f = *state;
  make_one_wait(f);
  fcgi_request *slow = serving_take(f, FCGI_EVENT_REQUEST);
  usleep(2000);
  answer(slow);
  assert_int_equal(answers(f), 2);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  assert_int_equal(answers(f), 1);
  answer_rest(f, BATCH - 3);
  assert_int_equal(answers(f), BATCH - 3);
}

static void test_flush_sends_what_waits(void **state) {
  serving *f = *state;
  make_one_wait(f);
  fcgi_request *next = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_flush(next), 0);
  assert_int_equal(answers(f), 1);
  answer(next);
  answer_rest(f, BATCH - 2);
  assert_int_equal(answers(f), BATCH - 1);
}

static void test_nothing_waits_unless_asked_for(void **state) {
  serving *f = *state;
  make_one_wait(f);
  answer_alone(serving_take(f, FCGI_EVENT_REQUEST));
  assert_int_equal(answers(f), 2);
  for (int i = 2; i < BATCH; i++) {
    answer_alone(serving_take(f, FCGI_EVENT_REQUEST));
    assert_int_equal(answers(f), 1);
  }
}

/* What a handler does after its answer counts too. */
static void test_work_after_an_answer_ends_the_waiting(void **state) {
  serving *f = *state;
  make_one_wait(f);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  usleep(2000);
  fcgi_request *next = serving_take(f, FCGI_EVENT_REQUEST);
  answer(next);
  assert_int_equal(answers(f), 3);
  answer(serving_take(f, FCGI_EVENT_REQUEST));
  assert_int_equal(answers(f), 1);
  answer_rest(f, BATCH - 4);
}

static void test_nothing_waits_for_another_connection(void **state) {
  serving *f = *state;
  int other = serving_connect(f), first = f->client;
  make_one_wait(f);
  f->client = other;
  send_batch(f, 1);
  f->client = first;
  answer_rest(f, BATCH - 2);
  fcgi_request *last = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request *next = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(answers(f), BATCH - 1);
  answer(next);
  answer(last);
  assert_int_equal(answers(f), 1);
  close(other);
}

static void test_nothing_waits_while_there_is_no_work(void **state) {
  serving *f = *state;
  make_one_wait(f);
  fcgi_request *requests[BATCH - 1];
  for (int i = 0; i < BATCH - 1; i++)
    requests[i] = serving_take(f, FCGI_EVENT_REQUEST);
  serving_idle(f, 0);
  assert_int_equal(answers(f), 1);
  for (int i = 0; i < BATCH - 1; i++)
    answer(requests[i]);
  assert_int_equal(answers(f), BATCH - 1);
}

/* Whether a request still has a reader when it is answered, and whether it is
   given out at all, depends on when the loss is seen. */
/* A loop may end after an answer, by an exception for instance. */
static void test_end_of_the_server_sends_what_waits(void **state) {
  serving *f = *state;
  make_one_wait(f);
  fcgi_server_free(f->server);
  f->server = NULL;
  assert_int_equal(answers(f), 1);
}

static void test_lost_connection_takes_what_waits_along(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  make_one_wait(f);
  close(f->client);
  f->client = serving_connect(f);
  while (fcgi_server_next(f->server, &event, 10) == 1)
    fcgi_request_reply(event.request, 200, "text/plain", "hi\n", 3);
  send_batch(f, 1);
  answer_rest(f, 1);
  assert_int_equal(answers(f), 1);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_first_answers_leave_at_once),
      SERVING_TEST(test_answers_of_a_batch_leave_with_the_last),
      SERVING_TEST(test_a_callback_that_returns_sends_nothing),
      SERVING_TEST(test_slow_handler_ends_the_waiting),
      SERVING_TEST(test_flush_sends_what_waits),
      SERVING_TEST(test_nothing_waits_unless_asked_for),
      SERVING_TEST(test_work_after_an_answer_ends_the_waiting),
      SERVING_TEST(test_nothing_waits_for_another_connection),
      SERVING_TEST(test_nothing_waits_while_there_is_no_work),
      SERVING_TEST(test_end_of_the_server_sends_what_waits),
      SERVING_TEST(test_lost_connection_takes_what_waits_along),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
