/* SPDX-License-Identifier: MIT */
/* Resources of one name that have a limit together (limit_total): one gives way
   to the other. */
#include "resource/quota.h"
#include "support/keeping.h"
#include "support/unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 8, ROUNDS = 40, MOST = 3 };

/* Two workers, as far as the table is concerned. */
typedef struct scene {
  keeping one, other;          /* Of one name. */
  fcgi_resource_config config; /* Of both, but for the user data. */
  int fd;                      /* The table. */
  atomic_int over;             /* 1: nobody tidies up any more. */
  atomic_int wrong;            /* Takes that failed. */
  atomic_int in_use;           /* Values that are taken. */
  pthread_t tidier;            /* Serves for both. */
} scene;

static scene *begin(fcgi_resource_scope scope, unsigned limit) {
  scene *s = calloc(1, sizeof *s);
  char text[64];
  s->fd = fcgi__quota_make();
  snprintf(text, sizeof text, "%ld:%d", (long)getpid(), s->fd);
  setenv(FCGI__QUOTA_VARIABLE, text, 1);
  s->config = keeping_config(&s->one);
  s->config.scope = scope;
  s->config.limit_total = limit;
  s->config.acquire_timeout_ms = 60000;
  return s;
}

static void begin_both(scene *s) {
  s->config.user_data = &s->one;
  keeping_begin(&s->one, &s->config);
  s->config.user_data = &s->other;
  keeping_begin(&s->other, &s->config);
}

static void end(scene *s) {
  keeping_end(&s->one);
  keeping_end(&s->other);
  unsetenv(FCGI__QUOTA_VARIABLE);
  close(s->fd);
  free(s);
}

static void *tidy(void *data) {
  scene *s = data;
  while (!atomic_load(&s->over)) {
    fcgi_resource_tidy(s->one.resource, FCGI_RESOURCE_REAP);
    fcgi_resource_tidy(s->other.resource, FCGI_RESOURCE_REAP);
    usleep(1000);
  }
  return NULL;
}

static void begin_tidying(scene *s) {
  assert_int_equal(pthread_create(&s->tidier, NULL, tidy, s), 0);
}

static void end_tidying(scene *s) {
  atomic_store(&s->over, 1);
  pthread_join(s->tidier, NULL);
}

static void test_what_rests_gives_way(void **state) {
  scene *s = begin(FCGI_RESOURCE_POOL, 1);
  (void)state;
  begin_both(s);
  keeping_give(&s->one, NULL, keeping_take(&s->one, NULL));
  assert_int_equal(fcgi_resource_tidy_ms(s->one.resource), FCGI__QUOTA_LOOK_MS);
  begin_tidying(s);
  keeping_value *value = keeping_take(&s->other, NULL);
  assert_int_equal(keeping_stats(&s->one).open, 0);
  assert_int_equal(keeping_stats(&s->one).closed[FCGI_RESOURCE_BY_IDLE], 1);
  assert_int_equal(keeping_stats(&s->one).total, 1);
  assert_int_equal(keeping_stats(&s->one).limit_total, 1);
  keeping_give(&s->other, NULL, value);
  keeping_give(&s->one, NULL, keeping_take(&s->one, NULL));
  end_tidying(s);
  end(s);
}

static void test_what_is_in_use_is_waited_for(void **state) {
  scene *s = begin(FCGI_RESOURCE_POOL, 1);
  char why[FCGI_RESOURCE_WHY];
  void *value;
  (void)state;
  s->config.acquire_timeout_ms = 50;
  begin_both(s);
  keeping_value *mine = keeping_take(&s->one, NULL);
  assert_int_equal(fcgi_resource_take(s->other.resource, NULL, &value),
                   FCGI_ERR_TIMEOUT);
  fcgi_resource_message(s->other.resource, why, sizeof why);
  assert_string_equal(why, "resource 'db': all that limit_total allows the "
                           "workers were in use for 50 ms; raise it, or have "
                           "them for a shorter time");
  keeping_give(&s->one, NULL, mine);
  end(s);
}

/* A pool does not keep its least number at the cost of others. */
static void test_the_least_is_not_asked_for(void **state) {
  scene *s = begin(FCGI_RESOURCE_POOL, 2);
  (void)state;
  s->config.least = 2;
  begin_both(s);
  fcgi_resource_tidy(s->one.resource, FCGI_RESOURCE_REAP);
  fcgi_resource_tidy(s->other.resource, FCGI_RESOURCE_REAP);
  assert_int_equal(keeping_stats(&s->one).open, 2);
  assert_int_equal(keeping_stats(&s->other).open, 0);
  begin_tidying(s);
  keeping_give(&s->other, NULL, keeping_take(&s->other, NULL));
  end_tidying(s);
  end(s);
}

/* What opens and fails leaves its slot. */
static void test_an_outage_takes_no_slots(void **state) {
  scene *s = begin(FCGI_RESOURCE_POOL, 1);
  void *value;
  (void)state;
  s->config.acquire_timeout_ms = 100;
  begin_both(s);
  atomic_store(&s->one.away, FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_resource_take(s->one.resource, NULL, &value),
                   FCGI_ERR_TIMEOUT);
  assert_int_equal(keeping_stats(&s->one).total, 0);
  keeping_give(&s->other, NULL, keeping_take(&s->other, NULL));
  end(s);
}

static void work(scene *s, keeping *k) {
  void *value;
  if (fcgi_resource_take(k->resource, NULL, &value)) {
    atomic_fetch_add(&s->wrong, 1);
    return;
  }
  if (atomic_fetch_add(&s->in_use, 1) >= MOST)
    atomic_fetch_add(&s->wrong, 1);
  usleep(1000);
  atomic_fetch_sub(&s->in_use, 1);
  fcgi_resource_give(k->resource, NULL);
}

static void *work_with_one(void *data) {
  scene *s = data;
  for (int i = 0; i < ROUNDS; i++)
    work(s, &s->one);
  fcgi_resource_tidy(s->one.resource, FCGI_RESOURCE_LEAVE);
  return NULL;
}

static void *work_with_other(void *data) {
  scene *s = data;
  for (int i = 0; i < ROUNDS; i++)
    work(s, &s->other);
  fcgi_resource_tidy(s->other.resource, FCGI_RESOURCE_LEAVE);
  return NULL;
}

/* More threads than handles, all of which want one all the time: each gets
   its turn, and there are never more. */
static void contend(fcgi_resource_scope scope) {
  scene *s = begin(scope, MOST);
  pthread_t threads[THREADS];
  begin_both(s);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL,
                                    i % 2 ? work_with_one : work_with_other, s),
                     0);
  begin_tidying(s);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  end_tidying(s);
  assert_int_equal(atomic_load(&s->wrong), 0);
  assert_true(keeping_stats(&s->one).total <= MOST);
  assert_int_equal(keeping_stats(&s->one).abandoned, 0);
  end(s);
}

static void test_all_get_their_turn(void **state) {
  (void)state;
  contend(FCGI_RESOURCE_POOL);
  contend(FCGI_RESOURCE_THREAD);
  contend(FCGI_RESOURCE_WORKER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_rests_gives_way),
      cmocka_unit_test(test_what_is_in_use_is_waited_for),
      cmocka_unit_test(test_the_least_is_not_asked_for),
      cmocka_unit_test(test_an_outage_takes_no_slots),
      cmocka_unit_test(test_all_get_their_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
