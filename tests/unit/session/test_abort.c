/* SPDX-License-Identifier: MIT */
/* ABORT_REQUEST, and connections that go away. */
#include "support/dialogue.h"

#include <fastcgi/error.h>
#include <string.h>

static void open_request(dialogue *d, uint16_t id) {
  records_open(&d->sent, id);
  assert_int_equal(dialogue_feed(d), 0);
  d->events.len = 0;
}

static void end_request(dialogue *d, uint16_t id) {
  assert_int_equal(fcgi_session_end(d->session, id, 0, FCGI_END_COMPLETE), 0);
}

static void test_abort_record_reaches_the_request(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  records_abort(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "abort 1 reason=1\n");
}

static void test_abort_record_leaves_room_for_an_answer(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  records_abort(&d->sent, 1);
  dialogue_feed(d);
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "still", 5), 0);
  end_request(d, 1);
  dialogue_expect_answer(d, "stdout 1 still\nstdout_end 1\n"
                            "end 1 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "abort 1 reason=1\nclose 1\n");
}

static void test_abort_record_twice_is_told_once(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  records_abort(&d->sent, 1);
  records_abort(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "abort 1 reason=1\n");
}

static void test_abort_record_ends_the_body(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  records_abort(&d->sent, 1);
  records_stdin(&d->sent, 1, "late");
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "abort 1 reason=1\n");
}

static void test_abort_record_in_params_ends_without_a_request(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(&d->sent, 1, "A", "b");
  records_abort(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "");
  assert_int_equal(fcgi_session_flags(d->session), 0);
}

static void test_abort_record_ends_the_draining(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  end_request(d, 1);
  records_abort(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1\n");
}

static void test_abort_record_of_a_refused_request_closes_it(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_params(&d->sent, 1, "\xff\xff\xff\xff\1", 5);
  records_abort(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1 refused=431\n");
  assert_int_equal(fcgi_session_flags(d->session), 0);
}

static void test_abort_record_leaves_other_requests_alone(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  open_request(d, 2);
  records_abort(&d->sent, 2);
  records_stdin(&d->sent, 1, "on");
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "abort 2 reason=1\nstdin 1 on\n");
}

static void test_abort_id_can_be_used_again(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  records_abort(&d->sent, 1);
  dialogue_feed(d);
  end_request(d, 1);
  dialogue_send(d);
  records_get(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "abort 1 reason=1\nclose 1\n"
                            "request 1 role=1 keep=1 length=-1 A=b\n"
                            "stdin_end 1\n");
}

static void assert_abort_reason(dialogue *d, fcgi_abort_reason reason,
                                const char *expected) {
  dialogue_restart(d, NULL);
  open_request(d, 1);
  fcgi_session_abort(d->session, reason);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, expected);
}

static void test_abort_of_the_connection_carries_its_reason(void **state) {
  dialogue *d = *state;
  assert_abort_reason(d, FCGI_ABORT_CONNECTION, "abort 1 reason=2\n");
  assert_abort_reason(d, FCGI_ABORT_PROTOCOL, "abort 1 reason=3\n");
  assert_abort_reason(d, FCGI_ABORT_TIMEOUT, "abort 1 reason=4\n");
  assert_abort_reason(d, FCGI_ABORT_STOP, "abort 1 reason=5\n");
}

static void test_abort_of_the_connection_follows_a_record(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  records_abort(&d->sent, 1);
  dialogue_feed(d);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  fcgi_session_abort(d->session, FCGI_ABORT_STOP);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "abort 1 reason=1\nabort 1 reason=2\n");
}

static void test_abort_of_the_connection_drops_output(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "lost", 4);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  assert_int_equal(fcgi_session_queued(d->session, 1), 0);
  dialogue_expect_answer(d, "");
}

static void test_abort_of_the_connection_leaves_end_and_next(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  assert_int_equal(dialogue_take(d), 0);
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "x", 1),
      FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_session_feed(d->session, "x", 1), FCGI_ERR_STATE);
  end_request(d, 1);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "abort 1 reason=2\nclose 1\n");
  assert_int_equal(fcgi_session_flags(d->session), FCGI_SESSION_CLOSE);
}

static void test_abort_of_the_connection_closes_ended_requests(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  end_request(d, 1);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1\n");
}

static void test_abort_of_the_connection_in_the_middle_of_input(void **state) {
  dialogue *d = *state;
  const fcgi_event *event = NULL;
  records_open(&d->sent, 1);
  records_stdin(&d->sent, 1, "body");
  fcgi_session_feed(d->session, d->sent.data, d->sent.len);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "abort 1 reason=2\n");
}

static void test_abort_after_close_was_given_is_harmless(void **state) {
  dialogue *d = *state;
  const fcgi_event *event = NULL;
  open_request(d, 1);
  records_stdin_end(&d->sent, 1);
  dialogue_feed(d);
  end_request(d, 1);
  dialogue_send(d);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_int_equal(event->type, FCGI_EVENT_CLOSE);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  assert_int_equal(fcgi_session_next(d->session, &event), 0);
}

static void test_abort_gives_every_request_one_close(void **state) {
  dialogue *d = *state;
  for (uint16_t id = 1; id <= 5; id++)
    open_request(d, id);
  end_request(d, 2);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  for (uint16_t id = 1; id <= 5; id++)
    fcgi_session_end(d->session, id, 0, FCGI_END_COMPLETE);
  assert_int_equal(dialogue_take(d), 0);
  records_raw(&d->events, "", 1);
  const char *at = (const char *)d->events.data;
  int closes = 0;
  while ((at = strstr(at, "close ")) != NULL) {
    closes++;
    at++;
  }
  assert_int_equal(closes, 5);
  assert_int_equal(fcgi_session_flags(d->session), FCGI_SESSION_CLOSE);
}

/* The request whose STDIN nobody waits for any more is closed only once. */
static void test_abort_leaves_nothing_to_drain(void **state) {
  dialogue *d = *state;
  struct iovec iov[4];
  open_request(d, 1);
  end_request(d, 1);
  dialogue_send(d);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  fcgi_session_stop_draining(d->session);
  assert_false(fcgi_session_flags(d->session) & FCGI_SESSION_OUTPUT);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1\n");
  assert_int_equal(fcgi_session_output(d->session, iov, 4), 0);
}

enum { WRITTEN = 600, LENT = 1000 };

/* Write, lend, send `cut` bytes, lose the connection: the bytes of STDOUT that
   were not sent. Every other time what is lent is kept before. */
static size_t lose_after(dialogue *d, size_t cut, size_t *size) {
  static const char bytes[LENT];
  struct iovec slices[16];
  dialogue_restart(d, NULL);
  open_request(d, 1);
  fcgi_session_write(d->session, 1, FCGI_STREAM_STDERR, "e", 1);
  fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, bytes, WRITTEN);
  assert_int_equal(fcgi_session_lend(d->session, 1, bytes, LENT), 0);
  *size = 0;
  for (int i = fcgi_session_output(d->session, slices, 16); i > 0; i--)
    *size += slices[i - 1].iov_len;
  fcgi_session_output_done(d->session, cut);
  if (cut % 2)
    assert_int_equal(fcgi_session_keep(d->session, 1), 0);
  assert_int_equal(fcgi_session_unsent(d->session, 1), 0);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  return (size_t)fcgi_session_unsent(d->session, 1);
}

static void test_abort_knows_what_was_not_sent(void **state) {
  dialogue *d = *state;
  const fcgi_event *event;
  size_t size, before = lose_after(d, 0, &size), closes = 0;
  assert_int_equal(before, WRITTEN + LENT);
  assert_in_range(size, before + 3 * 8, before + 64);
  for (size_t cut = 1, most = size; cut <= most; cut++) {
    size_t unsent = lose_after(d, cut, &size);
    assert_in_range(before - unsent, 0, 1);
    before = unsent;
  }
  assert_int_equal(before, 0);
  before = lose_after(d, 100, &size);
  end_request(d, 1);
  while (fcgi_session_next(d->session, &event) > 0)
    if (event->type == FCGI_EVENT_CLOSE) {
      assert_int_equal(fcgi_session_unsent(d->session, 1), before);
      closes++;
    }
  assert_int_equal(closes, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_abort_record_reaches_the_request),
      DIALOGUE_TEST(test_abort_record_leaves_room_for_an_answer),
      DIALOGUE_TEST(test_abort_record_twice_is_told_once),
      DIALOGUE_TEST(test_abort_record_ends_the_body),
      DIALOGUE_TEST(test_abort_record_in_params_ends_without_a_request),
      DIALOGUE_TEST(test_abort_record_ends_the_draining),
      DIALOGUE_TEST(test_abort_record_of_a_refused_request_closes_it),
      DIALOGUE_TEST(test_abort_record_leaves_other_requests_alone),
      DIALOGUE_TEST(test_abort_id_can_be_used_again),
      DIALOGUE_TEST(test_abort_of_the_connection_carries_its_reason),
      DIALOGUE_TEST(test_abort_of_the_connection_follows_a_record),
      DIALOGUE_TEST(test_abort_of_the_connection_drops_output),
      DIALOGUE_TEST(test_abort_of_the_connection_leaves_end_and_next),
      DIALOGUE_TEST(test_abort_of_the_connection_closes_ended_requests),
      DIALOGUE_TEST(test_abort_of_the_connection_in_the_middle_of_input),
      DIALOGUE_TEST(test_abort_after_close_was_given_is_harmless),
      DIALOGUE_TEST(test_abort_gives_every_request_one_close),
      DIALOGUE_TEST(test_abort_leaves_nothing_to_drain),
      DIALOGUE_TEST(test_abort_knows_what_was_not_sent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
