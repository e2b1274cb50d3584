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
  counter counted = {0};
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
  assert_int_equal(fcgi_session_held(d->session), 0);
  dialogue_expect_answer(d, "end 1 app=0 status=3\nend 1 app=0 status=3\n"
                            "end 1 app=0 status=3\n");
}

static void test_unread_refusals_end_the_session(void **state) {
  dialogue *d = *state;
  counter counted = {0};
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
  counter counted = {0};
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
    assert_int_equal(fcgi_session_end(d->session, id, 0, FCGI_STATUS_COMPLETE),
                     0);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  assert_int_equal(fcgi_session_held(d->session), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_unknown_roles_hold_nothing),
      DIALOGUE_TEST(test_an_unknown_role_frees_its_id),
      DIALOGUE_TEST(test_unread_refusals_end_the_session),
      DIALOGUE_TEST(test_many_large_requests_are_refused),
      DIALOGUE_TEST(test_what_ends_is_counted_no_more),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
