/* SPDX-License-Identifier: MIT */
/* From bytes to events: requests, bodies, ids, and what breaks a session. */
#include "support/dialogue.h"

#include <fastcgi/error.h>
#include <stdio.h>

static void test_session_gives_a_request_its_events(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(&d->sent, 1, "REQUEST_METHOD", "POST");
  records_param(&d->sent, 1, "CONTENT_LENGTH", "5");
  records_params_end(&d->sent, 1);
  records_stdin(&d->sent, 1, "hello");
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=5 "
                            "REQUEST_METHOD=POST CONTENT_LENGTH=5\n"
                            "stdin 1 hello\n"
                            "stdin_end 1\n");
}

static void test_session_closes_a_request_after_its_end_was_sent(void **state) {
  dialogue *d = *state;
  records_get(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  assert_int_equal(fcgi_session_end(d->session, 1, 7, FCGI_END_COMPLETE), 0);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n"
                            "stdin_end 1\n");
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=7 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1\n");
}

/* Everything a connection can carry, with padding of all kinds. */
static void fill_conversation(records *r) {
  const uint8_t pairs[] = "\1\1Ab\x80\0\0\2\3XYxyz\0\0";
  records_put(r, FCGI_RECORD_GET_VALUES, 0, "\17\0FCGI_MPXS_CONNS", 17, 7);
  records_begin(r, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_put(r, FCGI_RECORD_PARAMS, 1, pairs, 3, 255);
  records_begin(r, 258, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  records_put(r, FCGI_RECORD_PARAMS, 1, pairs + 3, sizeof pairs - 4, 1);
  records_put(r, FCGI_RECORD_PARAMS, 1, NULL, 0, 8);
  records_put(r, FCGI_RECORD_STDIN, 1, "abc", 3, 5);
  records_params_end(r, 258);
  records_put(r, 77, 0, "junk", 4, 4);
  records_stdin(r, 258, "file name");
  records_stdin(r, 1, "defgh");
  records_stdin_end(r, 258);
  records_data(r, 258, "data");
  records_put(r, FCGI_RECORD_STDIN, 999, "nobody's", 8, 0);
  records_data_end(r, 258);
  records_put(r, FCGI_RECORD_STDIN, 1, NULL, 0, 3);
  records_abort(r, 258);
}

static void assert_conversation(dialogue *d) {
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b XY=xyz =\n"
                            "stdin 1 abc\n"
                            "request 258 role=3 keep=1 length=-1\n"
                            "stdin 258 file name\n"
                            "stdin 1 defgh\n"
                            "stdin_end 258\n"
                            "data 258 data\n"
                            "data_end 258\n"
                            "stdin_end 1\n"
                            "abort 258 reason=1\n");
  dialogue_expect_answer(d, "values FCGI_MPXS_CONNS=1\nunknown 77\n");
}

static void test_session_events_are_the_same_byte_by_byte(void **state) {
  dialogue *d = *state;
  for (size_t chunk = 1; chunk < 40; chunk++) {
    dialogue_restart(d, NULL);
    fill_conversation(&d->sent);
    assert_int_equal(dialogue_feed_by(d, chunk), 0);
    assert_conversation(d);
  }
}

static void test_session_events_are_the_same_at_every_split(void **state) {
  dialogue *d = *state;
  records whole = {0};
  fill_conversation(&whole);
  for (size_t split = 0; split <= whole.len; split++) {
    dialogue_restart(d, NULL);
    records_raw(&d->sent, whole.data, split);
    assert_int_equal(dialogue_feed(d), 0);
    records_raw(&d->sent, whole.data + split, whole.len - split);
    assert_int_equal(dialogue_feed(d), 0);
    assert_conversation(d);
  }
  records_free(&whole);
}

static void test_session_serves_many_requests_one_after_another(void **state) {
  dialogue *d = *state;
  for (int i = 0; i < 100; i++) {
    records_get(&d->sent, 1);
    assert_int_equal(dialogue_feed(d), 0);
    assert_int_equal(fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE), 0);
    dialogue_expect_answer(d, "stdout_end 1\nend 1 app=0 status=0\n");
    assert_int_equal(dialogue_take(d), 0);
    dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n"
                              "stdin_end 1\nclose 1\n");
    assert_int_equal(fcgi_session_flags(d->session), 0);
  }
}

static void test_session_wants_to_close_without_keep(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, 0);
  records_params_end(&d->sent, 1);
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  assert_false(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
  fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
  dialogue_send(d);
  dialogue_take(d);
  assert_true(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
}

static void test_session_flags_follow_a_request(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  dialogue_feed(d);
  assert_int_equal(fcgi_session_flags(d->session),
                   FCGI_SESSION_ACTIVE | FCGI_SESSION_PARAMS);
  records_params_end(&d->sent, 1);
  dialogue_feed(d);
  assert_int_equal(fcgi_session_flags(d->session), FCGI_SESSION_ACTIVE);
  fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "x", 1);
  assert_int_equal(fcgi_session_flags(d->session),
                   FCGI_SESSION_ACTIVE | FCGI_SESSION_OUTPUT);
  fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
  assert_int_equal(fcgi_session_flags(d->session), FCGI_SESSION_ACTIVE |
                                                       FCGI_SESSION_OUTPUT |
                                                       FCGI_SESSION_DRAINING);
}

static void test_session_half_a_header_is_unfinished(void **state) {
  dialogue *d = *state;
  records_raw(&d->sent, "\1", 1);
  dialogue_feed(d);
  assert_int_equal(fcgi_session_flags(d->session), FCGI_SESSION_PARAMS);
}

static void test_session_interleaves_64_requests(void **state) {
  enum { COUNT = 64 };
  dialogue *d = *state;
  records expected = {0};
  char line[64];
  for (uint16_t id = 1; id <= COUNT; id++)
    records_open(&d->sent, id);
  for (int round = 0; round < 3; round++)
    for (uint16_t id = COUNT; id >= 1; id--)
      records_stdin(&d->sent, id, "xy");
  for (uint16_t id = 1; id <= COUNT; id++)
    records_stdin_end(&d->sent, id);
  assert_int_equal(dialogue_feed_by(d, 1000), 0);
  for (int id = 1; id <= COUNT; id++)
    records_raw(
        &expected, line,
        (size_t)sprintf(line, "request %d role=1 keep=1 length=-1 A=b\n", id));
  for (int i = 0; i < 3 * COUNT; i++)
    records_raw(&expected, line,
                (size_t)sprintf(line, "stdin %d xy\n", COUNT - i % COUNT));
  for (int id = 1; id <= COUNT; id++)
    records_raw(&expected, line, (size_t)sprintf(line, "stdin_end %d\n", id));
  records_raw(&expected, "", 1);
  dialogue_expect_events(d, (const char *)expected.data);
  records_free(&expected);
}

static void
test_session_answers_interleaved_requests_in_any_order(void **state) {
  dialogue *d = *state;
  for (uint16_t id = 1; id <= 3; id++)
    records_get(&d->sent, id);
  dialogue_feed(d);
  for (uint16_t id = 3; id >= 1; id--) {
    char text = (char)('0' + id);
    fcgi_session_write(d->session, id, FCGI_STREAM_STDOUT, &text, 1);
    fcgi_session_end(d->session, id, id, FCGI_END_COMPLETE);
  }
  dialogue_expect_answer(d, "stdout 3 3\nstdout_end 3\nend 3 app=3 status=0\n"
                            "stdout 2 2\nstdout_end 2\nend 2 app=2 status=0\n"
                            "stdout 1 1\nstdout_end 1\nend 1 app=1 status=0\n");
}

static void test_session_gives_back_user_data(void **state) {
  dialogue *d = *state;
  const fcgi_event *event = NULL;
  int mine;
  records_get(&d->sent, 5);
  assert_int_equal(fcgi_session_feed(d->session, d->sent.data, d->sent.len), 0);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_null(event->user_data);
  assert_int_equal(fcgi_session_set_user_data(d->session, 5, &mine), 0);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_int_equal(event->type, FCGI_EVENT_STDIN_END);
  assert_ptr_equal(event->user_data, &mine);
  assert_int_equal(fcgi_session_set_user_data(d->session, 6, &mine),
                   FCGI_ERR_STATE);
}

static void test_session_lends_body_slices_of_the_input(void **state) {
  dialogue *d = *state;
  const fcgi_event *event = NULL;
  records_open(&d->sent, 1);
  records_stdin(&d->sent, 1, "hello");
  fcgi_session_feed(d->session, d->sent.data, d->sent.len);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_ptr_equal(event->data, d->sent.data + d->sent.len - 5);
  assert_int_equal(event->len, 5);
}

static void test_session_feed_waits_for_earlier_bytes(void **state) {
  dialogue *d = *state;
  const fcgi_event *event = NULL;
  records_get(&d->sent, 1);
  fcgi_session_feed(d->session, d->sent.data, d->sent.len);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_int_equal(fcgi_session_feed(d->session, "x", 1), FCGI_ERR_STATE);
}

static void test_session_skips_the_padding_of_the_largest_record(void **state) {
  dialogue *d = *state;
  static const char body[FCGI_RECORD_CONTENT];
  records_open(&d->sent, 1);
  records_put(&d->sent, FCGI_RECORD_STDIN, 9, body, sizeof body, 255);
  records_stdin(&d->sent, 1, "seen");
  assert_int_equal(dialogue_feed_by(d, 4096), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n"
                            "stdin 1 seen\n");
}

static void test_session_authorizer_starts_without_stdin(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_AUTHORIZER, FCGI_BEGIN_KEEP);
  records_params_end(&d->sent, 1);
  dialogue_feed(d);
  dialogue_expect_events(d, "request 1 role=2 keep=1 length=-1\n");
  fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_session_authorizer_takes_an_empty_stdin(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_AUTHORIZER, FCGI_BEGIN_KEEP);
  records_params_end(&d->sent, 1);
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=2 keep=1 length=-1\n");
}

static void test_session_rejects_an_unknown_role(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, 4711, FCGI_BEGIN_KEEP);
  records_param(&d->sent, 1, "A", "b");
  records_params_end(&d->sent, 1);
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "end 1 app=0 status=3\n");
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "");
}

static void test_session_refuses_more_requests_than_allowed(void **state) {
  dialogue *d = *state;
  const fcgi_session_config config = {.size = sizeof config,
                                      .max_multiplexed = 2};
  dialogue_restart(d, &config);
  for (uint16_t id = 1; id <= 3; id++)
    records_get(&d->sent, id);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n"
                            "stdin_end 1\n"
                            "request 2 role=1 keep=1 length=-1 A=b\n"
                            "stdin_end 2\n"
                            "close 3 refused=503\n");
}

static void test_session_takes_stdin_in_params_for_no_request(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(&d->sent, 1, "A", "b");
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1 refused=400\n");
}

static void test_session_stop_closes_when_nothing_is_open(void **state) {
  dialogue *d = *state;
  records_get(&d->sent, 1);
  dialogue_feed(d);
  fcgi_session_stop(d->session);
  assert_false(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
  fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  assert_true(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
}

static void test_session_new_takes_a_shorter_config(void **state) {
  (void)state;
  fcgi_session *session = NULL;
  struct {
    fcgi_session_config config; /* Ours, */
    char later[8];              /* and what a later version adds. */
  } given = {.config.size = offsetof(fcgi_session_config, size) +
                            sizeof given.config.size};
  assert_int_equal(fcgi_session_new(&session, &given.config), 0);
  fcgi_session_free(session);
  given.config.size = sizeof given;
  given.later[7] = 1;
  assert_int_equal(fcgi_session_new(&session, &given.config), FCGI_ERR_INVALID);
}

static void test_session_free_takes_null(void **state) {
  (void)state;
  fcgi_session_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_session_gives_a_request_its_events),
      DIALOGUE_TEST(test_session_closes_a_request_after_its_end_was_sent),
      DIALOGUE_TEST(test_session_events_are_the_same_byte_by_byte),
      DIALOGUE_TEST(test_session_events_are_the_same_at_every_split),
      DIALOGUE_TEST(test_session_serves_many_requests_one_after_another),
      DIALOGUE_TEST(test_session_wants_to_close_without_keep),
      DIALOGUE_TEST(test_session_flags_follow_a_request),
      DIALOGUE_TEST(test_session_half_a_header_is_unfinished),
      DIALOGUE_TEST(test_session_interleaves_64_requests),
      DIALOGUE_TEST(test_session_answers_interleaved_requests_in_any_order),
      DIALOGUE_TEST(test_session_gives_back_user_data),
      DIALOGUE_TEST(test_session_lends_body_slices_of_the_input),
      DIALOGUE_TEST(test_session_feed_waits_for_earlier_bytes),
      DIALOGUE_TEST(test_session_skips_the_padding_of_the_largest_record),
      DIALOGUE_TEST(test_session_authorizer_starts_without_stdin),
      DIALOGUE_TEST(test_session_authorizer_takes_an_empty_stdin),
      DIALOGUE_TEST(test_session_rejects_an_unknown_role),
      DIALOGUE_TEST(test_session_refuses_more_requests_than_allowed),
      DIALOGUE_TEST(test_session_takes_stdin_in_params_for_no_request),
      DIALOGUE_TEST(test_session_stop_closes_when_nothing_is_open),
      DIALOGUE_TEST(test_session_new_takes_a_shorter_config),
      DIALOGUE_TEST(test_session_free_takes_null),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
