/* SPDX-License-Identifier: MIT */
/* What the requests of one session may hold in all. */
#include "support/dialogue.h"

#include <fastcgi/error.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1 << 20, IDS = 60000 };

/* An allocator that knows how much is in use, and was at most. */
typedef struct counter {
  size_t live; /* Now. */
  size_t most; /* Ever. */
} counter;

static void *count(void *ptr, size_t size, void *user_data) {
  counter *counted = user_data;
  size_t *block = ptr ? (size_t *)ptr - 2 : NULL;
  counted->live -= block ? *block : 0;
  if (size == 0) {
    free(block);
    return NULL;
  }
  block = realloc(block, size + 2 * sizeof *block);
  *block = size;
  counted->live += size;
  if (counted->live > counted->most)
    counted->most = counted->live;
  return block + 2;
}

static void restart(dialogue *d, counter *counted) {
  const fcgi_session_config config = {.size = sizeof config,
                                      .allocator = {count, counted}};
  dialogue_restart(d, &config);
}

static void test_unknown_roles_hold_nothing(void **state) {
  dialogue *d = *state;
  static counter counted; /* The session is freed after the test. */
  counted = (counter){0};
  restart(d, &counted);
  for (unsigned id = 1; id <= IDS; id++)
    records_begin(&d->sent, (uint16_t)id, 99, FCGI_BEGIN_KEEP);
  assert_int_equal(dialogue_feed(d), FCGI_ERR_LIMIT);
  assert_in_range(counted.most, 1, MIB);
  dialogue_restart(d, NULL);
  assert_int_equal(counted.live, 0);
}

static void test_an_unknown_role_frees_its_id(void **state) {
  dialogue *d = *state;
  for (int i = 0; i < 3; i++)
    records_begin(&d->sent, 1, 99, FCGI_BEGIN_KEEP);
  assert_int_equal(dialogue_feed(d), 0);
  assert_in_range(fcgi_session_held(d->session), 3 * 16, 3 * 128);
  dialogue_expect_answer(d, "end 1 app=0 status=3\nend 1 app=0 status=3\n"
                            "end 1 app=0 status=3\n");
  assert_int_equal(fcgi_session_held(d->session), 0);
}

static void test_unread_refusals_end_the_session(void **state) {
  dialogue *d = *state;
  static counter counted; /* The session is freed after the test. */
  counted = (counter){0};
  restart(d, &counted);
  for (unsigned id = 1; id <= IDS; id++) {
    records_begin(&d->sent, (uint16_t)id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
    if (id > 1024)
      records_params_end(&d->sent, (uint16_t)id);
  }
  assert_int_equal(dialogue_feed(d), FCGI_ERR_LIMIT);
  assert_in_range(counted.most, 1, 8 * MIB);
  dialogue_restart(d, NULL);
  assert_int_equal(counted.live, 0);
}

/* 232 KB of parameters each, which one alone may have. */
static void test_many_large_requests_are_refused(void **state) {
  static char value[58000];
  dialogue *d = *state;
  static counter counted; /* The session is freed after the test. */
  counted = (counter){0};
  restart(d, &counted);
  memset(value, 'v', sizeof value - 1);
  for (uint16_t id = 1; id <= 1024; id++) {
    records_begin(&d->sent, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
    for (int i = 0; i < 4; i++)
      records_param(&d->sent, id, i & 1 ? "A" : "B", value);
    records_params_end(&d->sent, id);
    assert_int_equal(dialogue_feed(d), 0);
    d->sent.len = 0;
  }
  assert_in_range(fcgi_session_held(d->session), 3 * MIB, 6 * MIB);
  assert_in_range(counted.most, 3 * MIB, 8 * MIB);
  dialogue_restart(d, NULL);
  assert_int_equal(counted.live, 0);
}

/* Nothing is left of the count when all have gone. */
static void test_what_ends_is_counted_no_more(void **state) {
  dialogue *d = *state;
  for (uint16_t id = 1; id <= 1024; id++)
    records_get(&d->sent, id);
  assert_int_equal(dialogue_feed(d), 0);
  assert_in_range(fcgi_session_held(d->session), 1024, 4 * MIB);
  for (uint16_t id = 1; id <= 1024; id++)
    assert_int_equal(fcgi_session_end(d->session, id, 0, FCGI_END_COMPLETE), 0);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  assert_int_equal(fcgi_session_held(d->session), 0);
}

/* Ids over the limit, none of which is whole: a byte for each. */
static void test_refused_ids_hold_next_to_nothing(void **state) {
  dialogue *d = *state;
  static counter counted; /* The session is freed after the test. */
  counted = (counter){0};
  const fcgi_session_config config = {.size = sizeof config,
                                      .max_multiplexed = 1,
                                      .allocator = {count, &counted}};
  dialogue_restart(d, &config);
  for (unsigned id = 1; id <= 65535; id++)
    records_begin(&d->sent, (uint16_t)id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  assert_int_equal(dialogue_feed(d), 0);
  assert_in_range(counted.most, 65535, 128 * 1024);
  assert_in_range(fcgi_session_held(d->session), 65535, counted.live);
  assert_true(fcgi_session_flags(d->session) & FCGI_SESSION_PARAMS);
  dialogue_restart(d, NULL);
  assert_int_equal(counted.live, 0);
}

/* One request is open; `id` and role begin over the limit. */
static void overload(dialogue *d, uint16_t id, uint16_t role, int flags) {
  const fcgi_session_config config = {.size = sizeof config,
                                      .max_multiplexed = 1};
  dialogue_restart(d, &config);
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_begin(&d->sent, id, role, flags);
}

#define REFUSED                                                                \
  "Content-Type: text/plain\r\nContent-Length: 24\r\n"                         \
  "Status: 503 Service Unavailable\r\n\r\n503 Service Unavailable\n"

static void test_refusal_has_its_moments(void **state) {
  dialogue *d = *state;
  size_t before;
  overload(d, 7, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  assert_int_equal(dialogue_feed(d), 0);
  before = fcgi_session_held(d->session);
  d->sent.len = 0;
  records_param(&d->sent, 7, "A", "b");
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "");
  d->sent.len = 0;
  records_params_end(&d->sent, 7);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "close 7 refused=503\n");
  dialogue_expect_answer(d, "stdout 7 " REFUSED "\nstdout_end 7\n");
  assert_true(fcgi_session_flags(d->session) & FCGI_SESSION_DRAINING);
  d->sent.len = 0;
  records_stdin(&d->sent, 7, "body");
  records_stdin_end(&d->sent, 7);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "end 7 app=0 status=0\n");
  assert_int_equal(fcgi_session_drained(d->session), 4);
  assert_false(fcgi_session_flags(d->session) & FCGI_SESSION_DRAINING);
  assert_in_range(fcgi_session_held(d->session), 1, before - 1);
}

/* A role's streams, and an abort, decide when the end comes. */
static void test_refusal_of_every_role(void **state) {
  dialogue *d = *state;
  overload(d, 3, FCGI_ROLE_AUTHORIZER, FCGI_BEGIN_KEEP);
  records_params_end(&d->sent, 3);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "stdout 3 " REFUSED "\nstdout_end 3\n"
                            "end 3 app=0 status=0\n");
  overload(d, 3, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  records_params_end(&d->sent, 3);
  records_stdin_end(&d->sent, 3);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "stdout 3 " REFUSED "\nstdout_end 3\n");
  d->sent.len = 0;
  records_put(&d->sent, FCGI_RECORD_DATA, 3, NULL, 0, 0);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "end 3 app=0 status=0\n");
  overload(d, 3, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_abort(&d->sent, 3);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "stdout_end 3\nend 3 app=0 status=0\n");
}

static void test_refused_id_is_in_use(void **state) {
  dialogue *d = *state;
  overload(d, 3, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_begin(&d->sent, 3, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  assert_int_equal(dialogue_feed(d), FCGI_ERR_PROTOCOL);
  overload(d, 3, FCGI_ROLE_RESPONDER, 0);
  records_params_end(&d->sent, 3);
  records_abort(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  assert_false(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
  fcgi_session_stop_draining(d->session);
  dialogue_expect_answer(d, "stdout 3 " REFUSED "\nstdout_end 3\n"
                            "end 3 app=0 status=0\n"
                            "stdout_end 1\nend 1 app=0 status=0\n");
  dialogue_take(d);
  assert_true(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
}

/* Each has its own time for its PARAMS. */
static void test_refused_params_are_waited_for(void **state) {
  dialogue *d = *state;
  uint32_t first, second;
  overload(d, 3, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_begin(&d->sent, 60001, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_params_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  first = fcgi_session_unfinished(d->session);
  assert_int_not_equal(first, 0);
  d->sent.len = 0;
  records_params_end(&d->sent, 3);
  assert_int_equal(dialogue_feed(d), 0);
  second = fcgi_session_unfinished(d->session);
  assert_int_not_equal(second, 0);
  assert_int_not_equal(second, first);
  d->sent.len = 0;
  records_params_end(&d->sent, 60001);
  assert_int_equal(dialogue_feed(d), 0);
  assert_int_equal(fcgi_session_unfinished(d->session), 0);
}

/* What is written and has not left. */
static void test_output_is_counted(void **state) {
  static const char big[100000];
  dialogue *d = *state;
  static counter counted; /* The session is freed after the test. */
  counted = (counter){0};
  size_t before;
  restart(d, &counted);
  records_get(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  before = fcgi_session_held(d->session);
  for (int i = 0; i < 3; i++)
    assert_int_equal(
        fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, big, sizeof big),
        0);
  assert_in_range(fcgi_session_held(d->session) - before, 300000, 350000);
  assert_int_equal(fcgi_session_lend(d->session, 1, big, sizeof big), 0);
  assert_in_range(fcgi_session_held(d->session) - before, 300000, 350000);
  assert_int_equal(fcgi_session_keep(d->session, 1), 0);
  assert_in_range(fcgi_session_held(d->session) - before, 400000, 450000);
  assert_in_range(fcgi_session_held(d->session), 400000, counted.live);
  fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  assert_int_equal(fcgi_session_held(d->session), 0);
}

static void test_full_session_refuses(void **state) {
  dialogue *d = *state;
  fcgi_session_set_full(d->session, 1);
  records_get(&d->sent, 5);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "close 5 refused=503\n");
  fcgi_session_set_full(d->session, 0);
  d->sent.len = 0;
  records_begin(&d->sent, 5, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  assert_int_equal(dialogue_feed(d), 0);
  fcgi_session_set_full(d->session, 1);
  d->sent.len = 0;
  records_param(&d->sent, 5, "A", "b");
  records_params_end(&d->sent, 5);
  records_stdin_end(&d->sent, 5);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 5 refused=503\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_unknown_roles_hold_nothing),
      DIALOGUE_TEST(test_an_unknown_role_frees_its_id),
      DIALOGUE_TEST(test_unread_refusals_end_the_session),
      DIALOGUE_TEST(test_many_large_requests_are_refused),
      DIALOGUE_TEST(test_what_ends_is_counted_no_more),
      DIALOGUE_TEST(test_refused_ids_hold_next_to_nothing),
      DIALOGUE_TEST(test_refusal_has_its_moments),
      DIALOGUE_TEST(test_refusal_of_every_role),
      DIALOGUE_TEST(test_refused_id_is_in_use),
      DIALOGUE_TEST(test_refused_params_are_waited_for),
      DIALOGUE_TEST(test_output_is_counted),
      DIALOGUE_TEST(test_full_session_refuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
