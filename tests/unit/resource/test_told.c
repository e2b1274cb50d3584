/* SPDX-License-Identifier: MIT */
/* What a pool of the program's own counts, and an open that finds none free. */
#include "resource/resource.h"
#include "resource/told.h"
#include "support/keeping.h"
#include "support/unit.h"

#include <stdlib.h>

typedef struct scene {
  keeping k;                                   /* The resource under test. */
  fcgi_resource_stats pool;                    /* What its pool says. */
  fcgi__sink sink;                             /* Where both are counted. */
  _Atomic uint64_t rows[2 * FCGI__ROW_COUNTS]; /* Two rows there. */
} scene;

static scene *begin(void) {
  scene *s = calloc(1, sizeof *s);
  fcgi_resource_config config = keeping_config(&s->k);
  config.scope = FCGI_RESOURCE_POOL;
  s->pool.size = sizeof s->pool;
  s->sink = (fcgi__sink){.memory = s->rows, .size = sizeof s->rows, .users = 1};
  keeping_begin(&s->k, &config);
  return s;
}

/* The scene's memory is not mapped, so the last user of it is the scene. */
static void end(scene *s) {
  keeping_end(&s->k);
  assert_int_equal(atomic_load(&s->sink.users), 1);
  free(s);
}

static void tell(scene *s) {
  assert_int_equal(fcgi_resource_tell(s->k.resource, &s->pool), 0);
}

static void count_in(scene *s, size_t row) {
  fcgi__resource_count_in(s->k.resource, NULL, 0);
  fcgi__resource_count_in(s->k.resource, &s->sink,
                          row * FCGI__ROW_COUNTS * sizeof(uint64_t));
}

static uint64_t shown(const scene *s, size_t row, fcgi_metric metric) {
  return atomic_load(&s->rows[row * FCGI__ROW_COUNTS + fcgi__row_at(metric)]);
}

/* Whatever is taken and given back. */
static void test_the_pool_counts_what_is_open(void **state) {
  scene *s = begin();
  count_in(s, 0);
  keeping_give(&s->k, NULL, keeping_take(&s->k, NULL));
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_OPEN), 1);
  s->pool.open = 7;
  s->pool.in_use = 2;
  s->pool.opened = 9;
  s->pool.closed[FCGI_RESOURCE_BY_AGE] = 2;
  tell(s);
  keeping_value *value = keeping_take(&s->k, NULL);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_OPEN), 7);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_IN_USE), 2);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_OPENED), 9);
  assert_int_equal(shown(s, 0, FCGI_METRIC_CLOSED_CHECK + FCGI_RESOURCE_BY_AGE),
                   2);
  assert_int_equal(keeping_stats(&s->k).open, 7);
  assert_int_equal(keeping_stats(&s->k).taken, 2);
  s->pool.open = s->pool.in_use = 1;
  tell(s);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_OPEN), 1);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_IN_USE), 1);
  keeping_give(&s->k, NULL, value);
  end(s);
  (void)state;
}

static void test_waits_and_failures_are_added(void **state) {
  scene *s = begin();
  void *value;
  count_in(s, 0);
  atomic_store(&s->k.away, FCGI_ERR_TIMEOUT);
  assert_int_equal(fcgi_resource_take(s->k.resource, NULL, &value),
                   FCGI_ERR_TIMEOUT);
  s->pool.failed = 3;
  s->pool.waiting = 1;
  s->pool.waits[4] = 2;
  s->pool.waited_ms = 20;
  tell(s);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_REFUSED), 1);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_FAILED), 3);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_WAITING), 1);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_WAITED), 2);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_WAITED_MS), 20);
  assert_int_equal(atomic_load(&s->rows[FCGI__ROW_METRICS + 4]), 2);
  tell(s);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_WAITED), 2);
  end(s);
  (void)state;
}

/* How things are moves along, what was counted stays where it was. */
static void test_another_server_counts_it(void **state) {
  scene *s = begin();
  s->pool.open = 4;
  s->pool.opened = 5;
  tell(s);
  count_in(s, 0);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_OPENED), 5);
  count_in(s, 1);
  s->pool.opened = 6;
  tell(s);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_OPEN), 0);
  assert_int_equal(shown(s, 0, FCGI_METRIC_RESOURCES_OPENED), 5);
  assert_int_equal(shown(s, 1, FCGI_METRIC_RESOURCES_OPEN), 4);
  assert_int_equal(shown(s, 1, FCGI_METRIC_RESOURCES_OPENED), 1);
  end(s);
  (void)state;
}

static void test_a_size_of_another_version(void **state) {
  scene *s = begin();
  s->pool.size = 1;
  assert_int_equal(fcgi_resource_tell(s->k.resource, &s->pool),
                   FCGI_ERR_INVALID);
  s->pool.size = sizeof s->pool + 1;
  assert_int_equal(fcgi_resource_tell(s->k.resource, &s->pool),
                   FCGI_ERR_INVALID);
  end(s);
  (void)state;
}

/* Nobody waits for another attempt, and the next take makes one at once. */
static void test_none_free_is_no_outage(void **state) {
  scene *s = begin();
  char why[FCGI_RESOURCE_WHY];
  fcgi_holder *holder;
  void *value;
  assert_int_equal(fcgi_holder_new(&holder, NULL), 0);
  atomic_store(&s->k.away, FCGI_ERR_TIMEOUT);
  assert_int_equal(fcgi_resource_take(s->k.resource, holder, &value),
                   FCGI_ERR_TIMEOUT);
  fcgi_resource_message(s->k.resource, why, sizeof why);
  assert_string_equal(why, "resource 'db': none was free: nobody listens");
  assert_true(atomic_load(&holder->wanted));
  assert_int_equal(atomic_load(&s->k.attempts), 1);
  assert_int_equal(keeping_stats(&s->k).away, 0);
  assert_int_equal(keeping_stats(&s->k).failed, 0);
  assert_int_equal(keeping_stats(&s->k).refused, 1);
  atomic_store(&s->k.away, 0);
  keeping_give(&s->k, holder, keeping_take(&s->k, holder));
  assert_int_equal(atomic_load(&s->k.attempts), 2);
  fcgi_holder_free(holder);
  end(s);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_pool_counts_what_is_open),
      cmocka_unit_test(test_waits_and_failures_are_added),
      cmocka_unit_test(test_another_server_counts_it),
      cmocka_unit_test(test_a_size_of_another_version),
      cmocka_unit_test(test_none_free_is_no_outage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
