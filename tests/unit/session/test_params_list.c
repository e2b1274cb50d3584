/* SPDX-License-Identifier: MIT */
/* All parameters at once, with the numbers of their names. */
#include "support/dialogue.h"

/* A request with these parameters, lent. */
static const fcgi_params *request(dialogue *d, const char *const (*pairs)[2],
                                  size_t count) {
  const fcgi_event *event = NULL;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  for (size_t i = 0; i < count; i++)
    records_param(&d->sent, 1, pairs[i][0], pairs[i][1]);
  records_params_end(&d->sent, 1);
  assert_int_equal(fcgi_session_feed(d->session, d->sent.data, d->sent.len), 0);
  assert_int_equal(fcgi_session_next(d->session, &event), 1);
  return event->params;
}

static const char *const pairs[][2] = {{"HTTP_HOST", "a"},
                                       {"HTTP_HOST", "b"},
                                       {"REQUEST_METHOD", "PUT"},
                                       {"OF_OUR_OWN", ""}};
enum { PAIRS = sizeof pairs / sizeof *pairs };

static void test_params_list_gives_what_fits(void **state) {
  const fcgi_params *params = request(*state, pairs, PAIRS);
  for (size_t room = 0; room <= PAIRS; room++) {
    fcgi_param list[PAIRS + 1] = {{0}}, at;
    assert_int_equal(fcgi_params_list(params, list, NULL, room), PAIRS);
    for (size_t i = 0; i < room; i++) {
      assert_int_equal(fcgi_params_at(params, i, &at), 0);
      assert_memory_equal(&list[i], &at, sizeof at);
    }
    assert_null(list[room].name);
  }
}

static void test_params_list_numbers_usual_names(void **state) {
  fcgi_param list[PAIRS];
  uint8_t known[PAIRS + 1] = {9, 9, 9, 9, 9};
  const fcgi_params *params = request(*state, pairs, PAIRS);
  assert_int_equal(fcgi_params_list(params, list, known, PAIRS), PAIRS);
  assert_int_equal(known[0], known[1]);
  assert_int_not_equal(known[0], known[2]);
  assert_int_equal(known[3], 0);
  assert_int_equal(known[4], 9);
  for (size_t i = 0; i < 3; i++) {
    assert_int_not_equal(known[i], 0);
    assert_true(known[i] < FCGI_PARAMS_KNOWN);
  }
}

static void test_params_list_of_none_is_empty(void **state) {
  fcgi_param at;
  assert_int_equal(fcgi_params_list(request(*state, NULL, 0), &at, NULL, 1), 0);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_params_list_gives_what_fits),
      DIALOGUE_TEST(test_params_list_numbers_usual_names),
      DIALOGUE_TEST(test_params_list_of_none_is_empty),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
