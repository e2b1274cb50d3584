/* SPDX-License-Identifier: MIT */
/* Parameters: lookup, duplicates, limits, CONTENT_LENGTH. */
#include "support/dialogue.h"

#include <fastcgi/error.h>
#include <fastcgi/pairs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Begin request 1; its parameters follow. */
static void begin(dialogue *d) {
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
}

/* End PARAMS and take the request: its parameters, lent. */
static const fcgi_params *finish(dialogue *d) {
  const fcgi_event *event = NULL;
  records_params_end(&d->sent, 1);
  assert_int_equal(fcgi_session_feed(d->session, d->sent.data, d->sent.len), 0);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_int_equal(event->type, FCGI_EVENT_REQUEST);
  return event->params;
}

static void assert_value(const fcgi_params *params, const char *name,
                         const char *expected) {
  size_t len = 999;
  const char *value = fcgi_params_get(params, name, strlen(name), &len);
  if (expected == NULL) {
    assert_null(value);
    return;
  }
  assert_non_null(value);
  assert_string_equal(value, expected);
  assert_int_equal(len, strlen(expected));
}

/* End PARAMS: the session answers `status` by itself, no handler starts. */
static void assert_refused(dialogue *d, int status, const char *head) {
  char expected[64];
  records_params_end(&d->sent, 1);
  records_stdin(&d->sent, 1, "body");
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed_by(d, 100), 0);
  dialogue_send(d);
  assert_non_null(memmem(d->wire.data, d->wire.len, head, strlen(head)));
  d->wire.len = 0;
  assert_int_equal(dialogue_take(d), 0);
  snprintf(expected, sizeof expected, "close 1 refused=%d\n", status);
  dialogue_expect_events(d, expected);
  assert_int_equal(fcgi_session_flags(d->session), 0);
}

static void assert_431(dialogue *d) {
  assert_refused(d, 431, "Status: 431 Request Header Fields Too Large\r\n");
}

static void assert_400(dialogue *d) {
  assert_refused(d, 400, "Status: 400 Bad Request\r\n");
}

static void test_params_finds_values_by_name(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "SCRIPT_NAME", "/app");
  records_param(&d->sent, 1, "QUERY_STRING", "");
  const fcgi_params *params = finish(d);
  assert_value(params, "SCRIPT_NAME", "/app");
  assert_value(params, "QUERY_STRING", "");
  assert_value(params, "SCRIPT_NAM", NULL);
  assert_value(params, "", NULL);
}

static void test_params_get_takes_no_length(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "A", "b");
  assert_string_equal(fcgi_params_get(finish(d), "A", 1, NULL), "b");
}

static void test_params_keeps_the_order(void **state) {
  dialogue *d = *state;
  fcgi_param param;
  begin(d);
  records_param(&d->sent, 1, "B", "1");
  records_param(&d->sent, 1, "A", "2");
  const fcgi_params *params = finish(d);
  assert_int_equal(fcgi_params_count(params), 2);
  assert_int_equal(fcgi_params_at(params, 0, &param), 0);
  assert_string_equal(param.name, "B");
  assert_int_equal(fcgi_params_at(params, 1, &param), 0);
  assert_string_equal(param.name, "A");
  assert_int_equal(fcgi_params_at(params, 2, &param), FCGI_ERR_INVALID);
}

static void test_params_live_until_close(void **state) {
  dialogue *d = *state;
  const fcgi_event *event = NULL;
  begin(d);
  records_param(&d->sent, 1, "A", "b");
  const fcgi_params *params = finish(d);
  assert_int_equal(fcgi_session_next(d->session, &event), 0);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_int_equal(event->type, FCGI_EVENT_CLOSE);
  assert_value(params, "A", "b");
}

static void test_params_may_be_none(void **state) {
  dialogue *d = *state;
  begin(d);
  const fcgi_params *params = finish(d);
  assert_int_equal(fcgi_params_count(params), 0);
  assert_value(params, "A", NULL);
}

static void test_params_null_stands_for_none(void **state) {
  fcgi_param at;
  (void)state;
  assert_null(fcgi_params_get(NULL, "A", 1, NULL));
  assert_int_equal(fcgi_params_count(NULL), 0);
  assert_int_equal(fcgi_params_at(NULL, 0, &at), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_params_list(NULL, &at, NULL, 1), 0);
  assert_int_equal(fcgi_params_number(NULL, "A", 1), -1);
  assert_int_equal(fcgi_params_duplicates(NULL), 0);
  assert_int_equal(fcgi_params_is_head(NULL), 0);
}

static void test_params_last_duplicate_wins(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "A", "first");
  records_param(&d->sent, 1, "B", "other");
  records_param(&d->sent, 1, "A", "last");
  const fcgi_params *params = finish(d);
  assert_value(params, "A", "last");
  assert_int_equal(fcgi_params_count(params), 3);
  assert_int_equal(fcgi_params_duplicates(params), 1);
}

static void test_params_joins_duplicate_headers(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "HTTP_ACCEPT", "a");
  records_param(&d->sent, 1, "HTTP_COOKIE", "x=1");
  records_param(&d->sent, 1, "HTTP_ACCEPT", "");
  records_param(&d->sent, 1, "HTTP_COOKIE", "y=2");
  records_param(&d->sent, 1, "HTTP_ACCEPT", "c");
  const fcgi_params *params = finish(d);
  assert_value(params, "HTTP_ACCEPT", "a, , c");
  assert_value(params, "HTTP_COOKIE", "x=1; y=2");
  assert_int_equal(fcgi_params_count(params), 5);
}

static void test_params_knows_that_there_are_no_duplicates(void **state) {
  dialogue *d = *state;
  char name[] = "N0";
  begin(d);
  for (int i = 0; i < 60; i++) {
    name[0] = (char)('A' + i % 26);
    name[1] = (char)('0' + i / 26);
    records_param(&d->sent, 1, name, "x");
  }
  assert_int_equal(fcgi_params_duplicates(finish(d)), 0);
}

/* Names that differ only in their middles, two of them sent again. */
static void test_params_finds_duplicates_among_many_alike(void **state) {
  dialogue *d = *state;
  char name[64], value[16];
  begin(d);
  for (int i = 0; i < 1000; i++) {
    snprintf(name, sizeof name, "HTTP_SAME_%03d_SAME_END", i);
    snprintf(value, sizeof value, "%d", i);
    records_param(&d->sent, 1, name, value);
  }
  records_param(&d->sent, 1, "HTTP_SAME_000_SAME_END", "again");
  records_param(&d->sent, 1, "HTTP_SAME_998_SAME_END", "once");
  records_param(&d->sent, 1, "HTTP_SAME_998_SAME_END", "more");
  const fcgi_params *params = finish(d);
  assert_int_equal(fcgi_params_duplicates(params), 1);
  assert_int_equal(fcgi_params_count(params), 1003);
  assert_value(params, "HTTP_SAME_000_SAME_END", "0, again");
  assert_value(params, "HTTP_SAME_001_SAME_END", "1");
  assert_value(params, "HTTP_SAME_998_SAME_END", "998, once, more");
  assert_value(params, "HTTP_SAME_999_SAME_END", "999");
}

static void test_params_drops_http_proxy(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "A", "b");
  records_param(&d->sent, 1, "HTTP_PROXY", "evil");
  records_param(&d->sent, 1, "HTTP_PROXY_X", "fine");
  const fcgi_params *params = finish(d);
  assert_value(params, "HTTP_PROXY", NULL);
  assert_value(params, "HTTP_PROXY_X", "fine");
  assert_int_equal(fcgi_params_count(params), 2);
}

static void test_params_keeps_http_proxy_when_asked(void **state) {
  dialogue *d = *state;
  const fcgi_session_config config = {.size = sizeof config,
                                      .keep_http_proxy = 1};
  dialogue_restart(d, &config);
  begin(d);
  records_param(&d->sent, 1, "HTTP_PROXY", "wanted");
  assert_value(finish(d), "HTTP_PROXY", "wanted");
}

static void test_params_takes_a_value_over_many_records(void **state) {
  dialogue *d = *state;
  size_t len = 200000;
  char *value = malloc(len + 1);
  uint8_t *pair = malloc(len + 16);
  memset(value, 'v', len);
  value[len] = '\0';
  size_t size = fcgi_pair_encode(pair, "BIG", 3, value, len);
  begin(d);
  for (size_t at = 0; at < size; at += 60000)
    records_params(&d->sent, 1, pair + at,
                   size - at < 60000 ? size - at : 60000);
  assert_value(finish(d), "BIG", value);
  free(pair);
  free(value);
}

static void test_params_refuses_too_many_bytes(void **state) {
  dialogue *d = *state;
  begin(d);
  /* Only the lengths come: nothing is allocated for them. */
  records_params(&d->sent, 1, "\1\x80\4\0\0A", 6);
  assert_431(d);
}

static void test_params_refuses_the_longest_lengths(void **state) {
  dialogue *d = *state;
  begin(d);
  records_params(&d->sent, 1, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
  assert_431(d);
}

static void test_params_refuses_too_many_pairs(void **state) {
  dialogue *d = *state;
  begin(d);
  for (int i = 0; i < 1025; i++)
    records_params(&d->sent, 1, "\0\0", 2);
  assert_431(d);
}

static void test_params_takes_as_many_pairs_as_allowed(void **state) {
  dialogue *d = *state;
  begin(d);
  for (int i = 0; i < 1024; i++)
    records_params(&d->sent, 1, "\1\0A", 3);
  assert_int_equal(fcgi_params_count(finish(d)), 1024);
}

static void test_params_limits_are_configurable(void **state) {
  dialogue *d = *state;
  const fcgi_session_config config = {
      .size = sizeof config, .limit_params_size = 4, .limit_params = 2};
  dialogue_restart(d, &config);
  begin(d);
  records_param(&d->sent, 1, "AB", "cd");
  assert_value(finish(d), "AB", "cd");
  dialogue_restart(d, &config);
  d->sent.len = 0;
  begin(d);
  records_param(&d->sent, 1, "AB", "cde");
  assert_431(d);
}

static void test_params_refuses_a_nul_in_a_value(void **state) {
  dialogue *d = *state;
  begin(d);
  records_params(&d->sent, 1, "\1\3Aa\0b", 6);
  assert_400(d);
}

static void test_params_refuses_a_nul_in_a_name(void **state) {
  dialogue *d = *state;
  begin(d);
  records_params(&d->sent, 1, "\3\1A\0Bb", 6);
  assert_400(d);
}

static void test_params_refuses_half_a_pair(void **state) {
  dialogue *d = *state;
  begin(d);
  records_params(&d->sent, 1, "\3\5abc", 5);
  assert_400(d);
}

static void test_params_reads_content_length(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "CONTENT_LENGTH", "9223372036854775807");
  records_params_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 "
                            "length=9223372036854775807 "
                            "CONTENT_LENGTH=9223372036854775807\n");
}

static void test_params_empty_content_length_is_none(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "CONTENT_LENGTH", "");
  records_params_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 "
                            "CONTENT_LENGTH=\n");
}

static void test_params_content_length_of_minus_one_is_none(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "CONTENT_LENGTH", "-1");
  records_params_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 "
                            "CONTENT_LENGTH=-1\n");
}

static void test_params_refuses_a_bad_content_length(void **state) {
  dialogue *d = *state;
  const char *bad[] = {
      "-2", "-", "-10", "--1", "-01", "1x", " 1", "0x1", "9223372036854775808",
      "+1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    begin(d);
    records_param(&d->sent, 1, "CONTENT_LENGTH", bad[i]);
    assert_400(d);
  }
}

static void test_params_refuses_two_different_content_lengths(void **state) {
  dialogue *d = *state;
  begin(d);
  records_param(&d->sent, 1, "CONTENT_LENGTH", "1");
  records_param(&d->sent, 1, "CONTENT_LENGTH", "2");
  assert_400(d);
}

static void test_params_takes_the_same_content_length_twice(void **state) {
  dialogue *d = *state;
  const fcgi_event *event = NULL;
  begin(d);
  records_param(&d->sent, 1, "CONTENT_LENGTH", "2");
  records_param(&d->sent, 1, "CONTENT_LENGTH", "2");
  records_params_end(&d->sent, 1);
  fcgi_session_feed(d->session, d->sent.data, d->sent.len);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_int_equal(event->content_length, 2);
}

static void feed_body(dialogue *d, const char *length, const char *body) {
  begin(d);
  records_param(&d->sent, 1, "CONTENT_LENGTH", length);
  records_params_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  d->events.len = 0;
  records_stdin(&d->sent, 1, body);
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed_by(d, 3), 0);
}

static void test_params_shorter_body_is_truncated(void **state) {
  dialogue *d = *state;
  feed_body(d, "6", "hello");
  dialogue_expect_events(d, "stdin 1 hello\nstdin_end 1 truncated\n");
}

static void test_params_longer_body_is_cut(void **state) {
  dialogue *d = *state;
  feed_body(d, "4", "hello");
  dialogue_expect_events(d, "stdin 1 hell\nstdin_end 1 excess\n");
  assert_int_equal(fcgi_session_drained(d->session), 1);
}

static void test_params_refusal_leaves_other_requests_alone(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 2);
  begin(d);
  records_params(&d->sent, 1, "\1\1\0x", 4);
  records_params_end(&d->sent, 1);
  records_stdin(&d->sent, 2, "body");
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "request 2 role=1 keep=1 length=-1 A=b\n"
                            "stdin 2 body\nclose 1 refused=400\n");
}

/* A handler may outlive its request, which a deadline has ended. */
static void test_params_are_kept_beyond_the_end(void **state) {
  dialogue *d = *state;
  const fcgi_allocator allocator = {.realloc = NULL};
  begin(d);
  records_param(&d->sent, 1, "NAME", "value");
  const fcgi_params *params = finish(d);
  assert_int_equal(fcgi_session_keep_params(d->session, 2), FCGI_ERR_STATE);
  assert_int_equal(fcgi_session_keep_params(d->session, 1), 0);
  assert_int_equal(fcgi_session_keep_params(d->session, 1), FCGI_ERR_STATE);
  fcgi_session_abort(d->session, FCGI_ABORT_CONNECTION);
  fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_restart(d, NULL);
  assert_value(params, "NAME", "value");
  fcgi_session_drop_params(params, &allocator);
}

/* The session may also be the last to need them. */
static void test_params_are_dropped_before_the_end(void **state) {
  dialogue *d = *state;
  const fcgi_allocator allocator = {.realloc = NULL};
  begin(d);
  records_param(&d->sent, 1, "NAME", "value");
  const fcgi_params *params = finish(d);
  assert_int_equal(fcgi_session_keep_params(d->session, 1), 0);
  fcgi_session_drop_params(params, &allocator);
  assert_value(params, "NAME", "value");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_params_finds_values_by_name),
      DIALOGUE_TEST(test_params_get_takes_no_length),
      DIALOGUE_TEST(test_params_keeps_the_order),
      DIALOGUE_TEST(test_params_live_until_close),
      DIALOGUE_TEST(test_params_are_kept_beyond_the_end),
      DIALOGUE_TEST(test_params_are_dropped_before_the_end),
      DIALOGUE_TEST(test_params_may_be_none),
      cmocka_unit_test(test_params_null_stands_for_none),
      DIALOGUE_TEST(test_params_last_duplicate_wins),
      DIALOGUE_TEST(test_params_joins_duplicate_headers),
      DIALOGUE_TEST(test_params_knows_that_there_are_no_duplicates),
      DIALOGUE_TEST(test_params_finds_duplicates_among_many_alike),
      DIALOGUE_TEST(test_params_drops_http_proxy),
      DIALOGUE_TEST(test_params_keeps_http_proxy_when_asked),
      DIALOGUE_TEST(test_params_takes_a_value_over_many_records),
      DIALOGUE_TEST(test_params_refuses_too_many_bytes),
      DIALOGUE_TEST(test_params_refuses_the_longest_lengths),
      DIALOGUE_TEST(test_params_refuses_too_many_pairs),
      DIALOGUE_TEST(test_params_takes_as_many_pairs_as_allowed),
      DIALOGUE_TEST(test_params_limits_are_configurable),
      DIALOGUE_TEST(test_params_refuses_a_nul_in_a_value),
      DIALOGUE_TEST(test_params_refuses_a_nul_in_a_name),
      DIALOGUE_TEST(test_params_refuses_half_a_pair),
      DIALOGUE_TEST(test_params_reads_content_length),
      DIALOGUE_TEST(test_params_empty_content_length_is_none),
      DIALOGUE_TEST(test_params_content_length_of_minus_one_is_none),
      DIALOGUE_TEST(test_params_refuses_a_bad_content_length),
      DIALOGUE_TEST(test_params_refuses_two_different_content_lengths),
      DIALOGUE_TEST(test_params_takes_the_same_content_length_twice),
      DIALOGUE_TEST(test_params_shorter_body_is_truncated),
      DIALOGUE_TEST(test_params_longer_body_is_cut),
      DIALOGUE_TEST(test_params_refusal_leaves_other_requests_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
