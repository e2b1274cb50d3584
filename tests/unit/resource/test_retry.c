/* SPDX-License-Identifier: MIT */
/* What a holder learns of handles that break. */
#include "resource/holder.h"
#include "support/keeping.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <stdlib.h>
#include <string.h>

typedef struct scene {
  keeping *k;
  fcgi_holder *holder;
} scene;

static scene begin(fcgi_retry retry) {
  scene s = {.k = calloc(1, sizeof *s.k)};
  fcgi_resource_config config = keeping_config(s.k);
  config.retry = retry;
  config.check_after_ms = FCGI_WAIT_NEVER;
  keeping_begin(s.k, &config);
  assert_int_equal(fcgi_holder_new(&s.holder, NULL), 0);
  return s;
}

static void end(scene *s) {
  fcgi_holder_free(s->holder);
  keeping_end(s->k);
  free(s->k);
}

static void by_call(scene *s) {
  void *value;
  assert_int_equal(fcgi_resource_take(s->k->resource, s->holder, &value), 0);
  fcgi_resource_invalidate(s->k->resource, s->holder);
  assert_int_equal(fcgi_resource_give(s->k->resource, s->holder), 0);
}

static void by_reset(scene *s) {
  void *value;
  assert_int_equal(fcgi_resource_take(s->k->resource, s->holder, &value), 0);
  atomic_store(&((keeping_value *)value)->broken, 1);
  assert_int_equal(fcgi_resource_give(s->k->resource, s->holder), 0);
}

static void (*const ways[])(scene *) = {by_call, by_reset};

static void test_what_broke_in_use(void **state) {
  for (int i = 0; i < 2; i++) {
    scene s = begin(FCGI_RETRY_SAFE);
    assert_false(fcgi_holder_wants_retry(s.holder));
    keeping_value *value = keeping_take(s.k, s.holder);
    assert_true(fcgi_holder_wants_retry(s.holder));
    keeping_give(s.k, s.holder, value);
    assert_false(fcgi_holder_wants_retry(s.holder));
    ways[i](&s);
    assert_true(fcgi_holder_wants_retry(s.holder));
    assert_true(fcgi__holder_is_to_retry(s.holder));
    fcgi__holder_again(s.holder);
    assert_false(fcgi__holder_is_to_retry(s.holder));
    ways[i](&s);
    fcgi_holder_begin(s.holder);
    assert_false(fcgi_holder_wants_retry(s.holder));
    assert_false(fcgi__holder_is_to_retry(s.holder));
    end(&s);
  }
  (void)state;
}

static void test_only_where_it_is_wanted(void **state) {
  for (int i = 0; i < 2; i++) {
    scene s = begin(FCGI_RETRY_NEVER);
    ways[i](&s);
    assert_false(fcgi_holder_wants_retry(s.holder));
    assert_false(fcgi__holder_is_to_retry(s.holder));
    fcgi_holder_want_retry(s.holder);
    assert_true(fcgi_holder_wants_retry(s.holder));
    assert_true(fcgi__holder_is_to_retry(s.holder));
    end(&s);
  }
  (void)state;
}

/* The taker gets another one. */
static void test_not_for_the_check_of_a_take(void **state) {
  scene s = begin(FCGI_RETRY_SAFE);
  keeping_value *value = keeping_take(s.k, s.holder);
  keeping_give(s.k, s.holder, value);
  atomic_store(&value->broken, 1);
  keeping_value *other = keeping_take(s.k, s.holder);
  assert_ptr_not_equal(other, value);
  assert_int_equal(keeping_stats(s.k).closed[FCGI_RESOURCE_BY_CHECK], 1);
  keeping_give(s.k, s.holder, other);
  assert_false(fcgi__holder_is_to_retry(s.holder));
  end(&s);
  (void)state;
}

static void test_wrong_options(void **state) {
  keeping *k = calloc(1, sizeof *k);
  fcgi_resource_config config = keeping_config(k);
  char why[200];
  config.retry = FCGI_RETRIES;
  assert_int_equal(fcgi_resource_new(&k->resource, &config, why, sizeof why),
                   FCGI_ERR_INVALID);
  assert_non_null(strstr(why, "retry is neither never nor safe"));
  free(k);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_broke_in_use),
      cmocka_unit_test(test_only_where_it_is_wanted),
      cmocka_unit_test(test_not_for_the_check_of_a_take),
      cmocka_unit_test(test_wrong_options),
  };
  return cmocka_run_group_tests_name("resource retry", tests, NULL, NULL);
}
