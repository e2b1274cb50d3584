/* SPDX-License-Identifier: MIT */
/* What a peer may not do, and that errors stay. */
#include "support/dialogue.h"

#include <fastcgi/error.h>

/* The bytes in `sent` break the session, in one piece and byte by byte. */
static void assert_breaks(dialogue *d) {
  records bytes = {0};
  records_raw(&bytes, d->sent.data, d->sent.len);
  for (size_t chunk = 1; chunk <= bytes.len; chunk += bytes.len - 1) {
    dialogue_restart(d, NULL);
    d->sent.len = 0;
    records_raw(&d->sent, bytes.data, bytes.len);
    assert_int_equal(dialogue_feed_by(d, chunk), FCGI_ERR_PROTOCOL);
    assert_true(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
  }
  records_free(&bytes);
}

static void test_protocol_refuses_http(void **state) {
  dialogue *d = *state;
  records_raw(&d->sent, "GET / HTTP/1.1\r\n\r\n", 18);
  assert_breaks(d);
}

static void test_protocol_refuses_tls(void **state) {
  dialogue *d = *state;
  records_raw(&d->sent, "\x16\3\1\2\0\1\0\1\xfc\3\3", 11);
  assert_breaks(d);
}

static void test_protocol_refuses_the_first_wrong_byte(void **state) {
  dialogue *d = *state;
  records_raw(&d->sent, "G", 1);
  assert_int_equal(dialogue_feed(d), FCGI_ERR_PROTOCOL);
}

static void test_protocol_refuses_a_wrong_version_later(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 1);
  records_raw(&d->sent, "\2\5\0\1\0\0\0\0", 8);
  assert_breaks(d);
}

static void test_protocol_begins_with_begin_request(void **state) {
  dialogue *d = *state;
  records_stdin(&d->sent, 1, "x");
  assert_breaks(d);
}

static void test_protocol_may_begin_with_a_management_record(void **state) {
  dialogue *d = *state;
  records_put(&d->sent, FCGI_RECORD_GET_VALUES, 0, NULL, 0, 0);
  assert_int_equal(dialogue_feed(d), 0);
  records_get(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
}

static void test_protocol_refuses_a_second_begin(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 1);
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, 0);
  assert_breaks(d);
}

static void test_protocol_refuses_a_begin_while_draining(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, 0);
  assert_int_equal(dialogue_feed(d), FCGI_ERR_PROTOCOL);
}

static void test_protocol_refuses_application_records_with_id_0(void **state) {
  dialogue *d = *state;
  for (uint8_t type = FCGI_RECORD_BEGIN_REQUEST; type <= FCGI_RECORD_DATA;
       type++) {
    d->sent.len = 0;
    records_open(&d->sent, 1);
    records_put(&d->sent, type, 0, "12345678", 8, 0);
    assert_breaks(d);
  }
}

static void test_protocol_refuses_a_short_begin(void **state) {
  dialogue *d = *state;
  records_put(&d->sent, FCGI_RECORD_BEGIN_REQUEST, 1, "\0\1\0", 3, 0);
  assert_breaks(d);
}

static void test_protocol_takes_a_longer_begin(void **state) {
  dialogue *d = *state;
  records_put(&d->sent, FCGI_RECORD_BEGIN_REQUEST, 1, "\0\1\1\0\0\0\0\0more",
              12, 4);
  records_params_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1\n");
}

static void test_protocol_ignores_records_of_inactive_ids(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 1);
  records_param(&d->sent, 2, "A", "b");
  records_stdin(&d->sent, 2, "x");
  records_abort(&d->sent, 2);
  records_data(&d->sent, 2, "x");
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n");
  dialogue_expect_answer(d, "");
}

static void test_protocol_ignores_records_out_of_their_turn(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 1);
  records_data(&d->sent, 1, "no filter");
  records_param(&d->sent, 1, "LATE", "x");
  records_stdin(&d->sent, 1, "body");
  records_stdin_end(&d->sent, 1);
  records_stdin(&d->sent, 1, "late");
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n"
                            "stdin 1 body\nstdin_end 1\n");
}

static void test_protocol_error_stays(void **state) {
  dialogue *d = *state;
  records_raw(&d->sent, "HTTPHTTP", 8);
  assert_int_equal(dialogue_feed(d), FCGI_ERR_PROTOCOL);
  records_get(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), FCGI_ERR_PROTOCOL);
  assert_int_equal(dialogue_take(d), FCGI_ERR_PROTOCOL);
  dialogue_expect_events(d, "");
}

static void test_protocol_error_aborts_open_requests(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 1);
  records_raw(&d->sent, "\2xxxxxxx", 8);
  assert_int_equal(dialogue_feed(d), FCGI_ERR_PROTOCOL);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n"
                            "abort 1 reason=3\n");
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "x", 1),
      FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE), 0);
  assert_int_equal(dialogue_take(d), FCGI_ERR_PROTOCOL);
  dialogue_expect_events(d, "close 1\n");
}

static void test_protocol_error_sends_nothing_more(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 1);
  dialogue_feed(d);
  fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "x", 1);
  records_raw(&d->sent, "\2", 1);
  assert_int_equal(dialogue_feed(d), FCGI_ERR_PROTOCOL);
  assert_false(fcgi_session_flags(d->session) & FCGI_SESSION_OUTPUT);
  dialogue_expect_answer(d, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_protocol_refuses_http),
      DIALOGUE_TEST(test_protocol_refuses_tls),
      DIALOGUE_TEST(test_protocol_refuses_the_first_wrong_byte),
      DIALOGUE_TEST(test_protocol_refuses_a_wrong_version_later),
      DIALOGUE_TEST(test_protocol_begins_with_begin_request),
      DIALOGUE_TEST(test_protocol_may_begin_with_a_management_record),
      DIALOGUE_TEST(test_protocol_refuses_a_second_begin),
      DIALOGUE_TEST(test_protocol_refuses_a_begin_while_draining),
      DIALOGUE_TEST(test_protocol_refuses_application_records_with_id_0),
      DIALOGUE_TEST(test_protocol_refuses_a_short_begin),
      DIALOGUE_TEST(test_protocol_takes_a_longer_begin),
      DIALOGUE_TEST(test_protocol_ignores_records_of_inactive_ids),
      DIALOGUE_TEST(test_protocol_ignores_records_out_of_their_turn),
      DIALOGUE_TEST(test_protocol_error_stays),
      DIALOGUE_TEST(test_protocol_error_aborts_open_requests),
      DIALOGUE_TEST(test_protocol_error_sends_nothing_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
