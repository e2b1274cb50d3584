/* SPDX-License-Identifier: MIT */
/* Management records (FastCGI 1.0, section 4). */
#include "support/dialogue.h"

#include <fastcgi/error.h>
#include <fastcgi/pairs.h>
#include <string.h>

/* Ask for `names`, with empty values, in one record. */
static void ask(dialogue *d, const char *const *names, size_t count) {
  uint8_t content[FCGI_RECORD_CONTENT];
  size_t len = 0;
  for (size_t i = 0; i < count; i++)
    len += fcgi_pair_encode(content + len, names[i], strlen(names[i]), NULL, 0);
  records_put(&d->sent, FCGI_RECORD_GET_VALUES, 0, content, len, 0);
}

static const char *const all[] = {"FCGI_MAX_CONNS", "FCGI_MAX_REQS",
                                  "FCGI_MPXS_CONNS"};

static void test_manage_answers_the_three_known_names(void **state) {
  dialogue *d = *state;
  ask(d, all, 3);
  assert_int_equal(dialogue_feed_by(d, 1), 0);
  dialogue_expect_answer(d, "values FCGI_MAX_CONNS=1024 "
                            "FCGI_MAX_REQS=1048576 FCGI_MPXS_CONNS=1\n");
}

static void test_manage_reports_what_is_configured(void **state) {
  dialogue *d = *state;
  const fcgi_session_config config = {
      .size = sizeof config, .report_conns = 7, .report_reqs = 4294967295u};
  dialogue_restart(d, &config);
  ask(d, all, 3);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "values FCGI_MAX_CONNS=7 "
                            "FCGI_MAX_REQS=4294967295 FCGI_MPXS_CONNS=1\n");
}

static void test_manage_reports_no_more_than_32_bits(void **state) {
  dialogue *d = *state;
  const fcgi_session_config config = {
      .size = sizeof config, .report_conns = 70000, .max_multiplexed = 70000};
  dialogue_restart(d, &config);
  ask(d, all, 3);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "values FCGI_MAX_CONNS=70000 "
                            "FCGI_MAX_REQS=4294967295 FCGI_MPXS_CONNS=1\n");
}

static void test_manage_asks_for_no_multiplexing(void **state) {
  dialogue *d = *state;
  const fcgi_session_config config = {
      .size = sizeof config, .report_conns = 7, .no_multiplex = 1};
  dialogue_restart(d, &config);
  ask(d, all, 3);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "values FCGI_MAX_CONNS=7 "
                            "FCGI_MAX_REQS=7 FCGI_MPXS_CONNS=0\n");
}

static void test_manage_leaves_unknown_names_out(void **state) {
  dialogue *d = *state;
  const char *const names[] = {"",
                               "FCGI_MAX",
                               "FCGI_MAX_CONNSX",
                               "FCGI_MPXS_CONNS",
                               "fcgi_max_reqs",
                               "FCGI_MAX_CONNS_AND_A_LONG_REST_OF_THE_NAME"};
  ask(d, names, 6);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "values FCGI_MPXS_CONNS=1\n");
}

static void test_manage_answers_nothing_asked(void **state) {
  dialogue *d = *state;
  ask(d, NULL, 0);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "values\n");
}

static void test_manage_answers_a_name_once(void **state) {
  dialogue *d = *state;
  const char *names[1000];
  for (int i = 0; i < 1000; i++)
    names[i] = "FCGI_MPXS_CONNS";
  ask(d, names, 1000);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "values FCGI_MPXS_CONNS=1\n");
}

static void test_manage_takes_long_lengths_and_values(void **state) {
  dialogue *d = *state;
  const char content[] = "\x80\0\0\17\x80\0\0\3FCGI_MPXS_CONNSabc";
  records_put(&d->sent, FCGI_RECORD_GET_VALUES, 0, content, sizeof content - 1,
              1);
  assert_int_equal(dialogue_feed_by(d, 1), 0);
  dialogue_expect_answer(d, "values FCGI_MPXS_CONNS=1\n");
}

static void test_manage_forgets_half_a_pair(void **state) {
  dialogue *d = *state;
  records_put(&d->sent, FCGI_RECORD_GET_VALUES, 0, "\17\0FCGI_MP", 9, 0);
  ask(d, all + 2, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "values\nvalues FCGI_MPXS_CONNS=1\n");
}

static void test_manage_answers_beside_a_request(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  ask(d, all + 2, 1);
  records_param(&d->sent, 1, "A", "b");
  ask(d, all + 2, 1);
  records_params_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n");
  dialogue_expect_answer(d, "values FCGI_MPXS_CONNS=1\n"
                            "values FCGI_MPXS_CONNS=1\n");
}

static void test_manage_tells_unknown_types(void **state) {
  dialogue *d = *state;
  const uint8_t types[] = {0, 12, 100, 255};
  for (size_t i = 0; i < sizeof types; i++)
    records_put(&d->sent, types[i], 0, "content", 7, 9);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "unknown 0\nunknown 12\nunknown 100\n"
                            "unknown 255\n");
}

static void test_manage_ignores_answers_of_its_own_kind(void **state) {
  dialogue *d = *state;
  records_put(&d->sent, FCGI_RECORD_GET_VALUES_RESULT, 0, "\1\1Ab", 4, 0);
  records_put(&d->sent, FCGI_RECORD_UNKNOWN_TYPE, 0, "\7\0\0\0\0\0\0\0", 8, 0);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "");
}

static void test_manage_ignores_unknown_types_of_requests(void **state) {
  dialogue *d = *state;
  records_open(&d->sent, 1);
  records_put(&d->sent, 99, 1, "content", 7, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "");
}

static void test_manage_answers_do_not_pile_up_without_end(void **state) {
  dialogue *d = *state;
  int result = 0;
  for (int i = 0; i < 100000 && result == 0; i++) {
    records_put(&d->sent, 99, 0, NULL, 0, 0);
    result = dialogue_feed(d);
  }
  assert_int_equal(result, FCGI_ERR_LIMIT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_manage_answers_the_three_known_names),
      DIALOGUE_TEST(test_manage_reports_what_is_configured),
      DIALOGUE_TEST(test_manage_reports_no_more_than_32_bits),
      DIALOGUE_TEST(test_manage_asks_for_no_multiplexing),
      DIALOGUE_TEST(test_manage_leaves_unknown_names_out),
      DIALOGUE_TEST(test_manage_answers_nothing_asked),
      DIALOGUE_TEST(test_manage_answers_a_name_once),
      DIALOGUE_TEST(test_manage_takes_long_lengths_and_values),
      DIALOGUE_TEST(test_manage_forgets_half_a_pair),
      DIALOGUE_TEST(test_manage_answers_beside_a_request),
      DIALOGUE_TEST(test_manage_tells_unknown_types),
      DIALOGUE_TEST(test_manage_ignores_answers_of_its_own_kind),
      DIALOGUE_TEST(test_manage_ignores_unknown_types_of_requests),
      DIALOGUE_TEST(test_manage_answers_do_not_pile_up_without_end),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
