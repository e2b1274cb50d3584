/* SPDX-License-Identifier: MIT */
/* Which roles a session serves, and the streams they take. */
#include "support/dialogue.h"

#include <fastcgi/error.h>
#include <string.h>

static const fcgi_role_spec custom[] = {
    FCGI_ROLE_SPEC_RESPONDER,
    {100, FCGI_STREAMS_NONE, "oracle"},
    {101, FCGI_STREAMS_STDIN, "thumbnailer"},
    {65535, FCGI_STREAMS_STDIN_DATA, "merger"},
};

static void restart(dialogue *d) {
  const fcgi_session_config config = {
      .size = sizeof config, .roles = custom, .role_count = 4};
  dialogue_restart(d, &config);
}

static void begin(dialogue *d, uint16_t role) {
  records_begin(&d->sent, 1, role, FCGI_BEGIN_KEEP);
  records_params_end(&d->sent, 1);
}

static void begin_filter(dialogue *d, const char *length) {
  records_begin(&d->sent, 1, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  records_param(&d->sent, 1, "FCGI_DATA_LENGTH", length);
  records_params_end(&d->sent, 1);
  records_stdin_end(&d->sent, 1);
  records_data(&d->sent, 1, "abcde");
  records_data_end(&d->sent, 1);
}

static void test_roles_without_streams_skip_stdin(void **state) {
  dialogue *d = *state;
  restart(d);
  begin(d, 100);
  records_stdin(&d->sent, 1, "nobody reads this");
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed_by(d, 1), 0);
  dialogue_expect_events(d, "request 1 role=100 keep=1 length=-1\n");
  assert_int_equal(fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE), 0);
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_roles_with_stdin_take_no_data(void **state) {
  dialogue *d = *state;
  restart(d);
  begin(d, 101);
  records_stdin(&d->sent, 1, "in");
  records_stdin_end(&d->sent, 1);
  records_data(&d->sent, 1, "ignored");
  records_data_end(&d->sent, 1);
  assert_int_equal(dialogue_feed_by(d, 1), 0);
  dialogue_expect_events(d, "request 1 role=101 keep=1 length=-1\n"
                            "stdin 1 in\nstdin_end 1\n");
}

static void test_roles_with_both_streams_take_both(void **state) {
  dialogue *d = *state;
  restart(d);
  begin(d, 65535);
  records_stdin(&d->sent, 1, "in");
  records_stdin_end(&d->sent, 1);
  records_data(&d->sent, 1, "file");
  records_data_end(&d->sent, 1);
  assert_int_equal(dialogue_feed_by(d, 1), 0);
  dialogue_expect_events(d, "request 1 role=65535 keep=1 length=-1\n"
                            "stdin 1 in\nstdin_end 1\n"
                            "data 1 file\ndata_end 1\n");
}

static void assert_unknown(dialogue *d, uint16_t role) {
  begin(d, role);
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "");
  dialogue_expect_answer(d, "end 1 app=0 status=3\n");
}

static void test_roles_not_listed_are_unknown(void **state) {
  dialogue *d = *state;
  restart(d);
  assert_unknown(d, FCGI_ROLE_FILTER);
  assert_unknown(d, 102);
  assert_unknown(d, 0);
}

/* lighttpd takes the bare end of an authorizer for a yes. */
static void test_roles_refused_authorizer_says_no(void **state) {
  dialogue *d = *state;
  restart(d);
  begin(d, FCGI_ROLE_AUTHORIZER);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "");
  dialogue_expect_answer(d, "stdout 1 Content-Type: text/plain\r\n"
                            "Content-Length: 24\r\n"
                            "Status: 503 Service Unavailable\r\n\r\n"
                            "503 Service Unavailable\n\n"
                            "stdout_end 1\nend 1 app=0 status=3\n");
}

static void test_roles_by_default_are_the_standard(void **state) {
  dialogue *d = *state;
  assert_unknown(d, 0);
  assert_unknown(d, 4);
  assert_unknown(d, 100);
}

static void take_spec(dialogue *d, uint16_t role, const char *name) {
  const fcgi_event *event;
  begin(d, role);
  assert_int_equal(fcgi_session_feed(d->session, d->sent.data, d->sent.len), 0);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  assert_int_equal(event->type, FCGI_EVENT_REQUEST);
  assert_int_equal(event->spec->number, role);
  assert_string_equal(event->spec->name, name);
}

static void test_roles_are_told_by_the_event(void **state) {
  dialogue *d = *state;
  restart(d);
  take_spec(d, 101, "thumbnailer");
}

static void test_roles_of_the_standard_have_names(void **state) {
  dialogue *d = *state;
  take_spec(d, FCGI_ROLE_AUTHORIZER, "authorizer");
}

static void expect_data(dialogue *d, const char *length, const char *events) {
  char expected[160] = "request 1 role=3 keep=1 length=-1 FCGI_DATA_LENGTH=";
  dialogue_restart(d, NULL);
  begin_filter(d, length);
  assert_int_equal(dialogue_feed_by(d, 1), 0);
  strcat(expected, length);
  strcat(expected, "\nstdin_end 1\n");
  strcat(expected, events);
  dialogue_expect_events(d, expected);
}

static void test_roles_filter_holds_data_to_its_length(void **state) {
  dialogue *d = *state;
  expect_data(d, "5", "data 1 abcde\ndata_end 1\n");
  expect_data(d, "6", "data 1 abcde\ndata_end 1 truncated\n");
  expect_data(d, "4", "data 1 abcd\ndata_end 1 excess\n");
  expect_data(d, "0", "data_end 1 excess\n");
}

static void test_roles_filter_takes_a_bad_length_for_none(void **state) {
  dialogue *d = *state;
  expect_data(d, "", "data 1 abcde\ndata_end 1\n");
  expect_data(d, "-1", "data 1 abcde\ndata_end 1\n");
  expect_data(d, "5x", "data 1 abcde\ndata_end 1\n");
  expect_data(d, "9223372036854775808", "data 1 abcde\ndata_end 1\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_roles_without_streams_skip_stdin),
      DIALOGUE_TEST(test_roles_with_stdin_take_no_data),
      DIALOGUE_TEST(test_roles_with_both_streams_take_both),
      DIALOGUE_TEST(test_roles_not_listed_are_unknown),
      DIALOGUE_TEST(test_roles_refused_authorizer_says_no),
      DIALOGUE_TEST(test_roles_by_default_are_the_standard),
      DIALOGUE_TEST(test_roles_are_told_by_the_event),
      DIALOGUE_TEST(test_roles_of_the_standard_have_names),
      DIALOGUE_TEST(test_roles_filter_holds_data_to_its_length),
      DIALOGUE_TEST(test_roles_filter_takes_a_bad_length_for_none),
  };
  return cmocka_run_group_tests_name("roles", tests, NULL, NULL);
}
