/* SPDX-License-Identifier: MIT */
/* Many threads that want the same. */
#include "support/keeping.h"
#include "support/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 8, ROUNDS = 2000 };

typedef struct crowd {
  keeping *k;         /* What they want. */
  int rounds;         /* How often each. */
  atomic_int wrong;   /* Takes that failed. */
  atomic_int order;   /* How many have been served. */
  atomic_int started; /* How many wait. */
} crowd;

static void run_all(void *(*run)(void *), crowd *c, int count) {
  pthread_t threads[THREADS];
  for (int i = 0; i < count; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, run, c), 0);
  for (int i = 0; i < count; i++)
    pthread_join(threads[i], NULL);
}

/* cmocka's assertions belong to the main thread. */
static void *take_often(void *data) {
  crowd *c = data;
  fcgi_holder *holder = NULL;
  fcgi_holder_new(&holder, NULL);
  for (int i = 0; i < c->rounds; i++) {
    void *value;
    if (fcgi_resource_take(c->k->resource, holder, &value)) {
      atomic_fetch_add(&c->wrong, 1);
      continue;
    }
    keeping_value *v = value;
    if (atomic_fetch_add(&v->users, 1) || !atomic_load(&v->open) ||
        atomic_exchange(&v->dirty, 1))
      atomic_fetch_add(&c->k->faults, 1);
    if (i % 200 == 77)
      fcgi_resource_invalidate(c->k->resource, holder);
    if (i % 500 == 99)
      fcgi_resource_drain(c->k->resource);
    if (i % 50 == 3)
      fcgi_resource_tidy(c->k->resource, FCGI_RESOURCE_REAP);
    atomic_fetch_sub(&v->users, 1);
    if (i % 100 == 11)
      fcgi_holder_end(holder);
    else
      fcgi_resource_give(c->k->resource, holder);
  }
  fcgi_holder_free(holder);
  return NULL;
}

static void contend(fcgi_resource_scope scope, unsigned most) {
  crowd c = {.k = calloc(1, sizeof(keeping)), .rounds = ROUNDS};
  fcgi_resource_config config = keeping_config(c.k);
  config.scope = scope;
  config.most = most;
  config.check_after_ms = FCGI_WAIT_NEVER;
  config.acquire_timeout_ms = 60000;
  keeping_begin(c.k, &config);
  run_all(take_often, &c, THREADS);
  assert_int_equal(atomic_load(&c.wrong), 0);
  assert_int_equal(keeping_stats(c.k).in_use, 0);
  assert_int_equal(keeping_stats(c.k).waiting, 0);
  if (scope != FCGI_RESOURCE_THREAD)
    assert_true(keeping_stats(c.k).open <= (most ? most : 1));
  keeping_end(c.k);
  free(c.k);
}

static void test_threads_contend(void **state) {
  contend(FCGI_RESOURCE_POOL, 3);
  contend(FCGI_RESOURCE_WORKER, 0);
  contend(FCGI_RESOURCE_THREAD, 0);
  (void)state;
}

static void *take_once(void *data) {
  crowd *c = data;
  void *value;
  if (fcgi_resource_take(c->k->resource, NULL, &value))
    atomic_fetch_add(&c->wrong, 1);
  else
    fcgi_resource_give(c->k->resource, NULL);
  return NULL;
}

/* The handle of a thread that has ended is closed by whoever tidies up, and its
   place is used again. */
static void test_threads_end(void **state) {
  crowd c = {.k = calloc(1, sizeof(keeping))};
  fcgi_resource_config config = keeping_config(c.k);
  keeping_begin(c.k, &config);
  for (int i = 0; i < 20; i++) {
    run_all(take_once, &c, 4);
    fcgi_resource_tidy(c.k->resource, FCGI_RESOURCE_REAP);
    assert_int_equal(keeping_stats(c.k).open, 0);
  }
  assert_int_equal(atomic_load(&c.wrong), 0);
  keeping_end(c.k);
  free(c.k);
  (void)state;
}

static void *take_and_forget(void *data) {
  crowd *c = data;
  void *value;
  if (fcgi_resource_take(c->k->resource, NULL, &value))
    atomic_fetch_add(&c->wrong, 1);
  return NULL;
}

static void test_a_thread_ends_with_its_handle(void **state) {
  crowd c = {.k = calloc(1, sizeof(keeping))};
  fcgi_resource_config config = keeping_config(c.k);
  keeping_begin(c.k, &config);
  run_all(take_and_forget, &c, 4);
  assert_int_equal(keeping_stats(c.k).in_use, 0);
  fcgi_resource_tidy(c.k->resource, FCGI_RESOURCE_REAP);
  assert_int_equal(keeping_stats(c.k).open, 0);
  assert_int_equal(keeping_stats(c.k).closed[FCGI_RESOURCE_BY_KEPT], 4);
  keeping_end(c.k);
  free(c.k);
  (void)state;
}

static void *leave(void *data) {
  crowd *c = data;
  void *value;
  fcgi_resource_take(c->k->resource, NULL, &value);
  fcgi_resource_give(c->k->resource, NULL);
  fcgi_resource_tidy(c->k->resource, FCGI_RESOURCE_LEAVE);
  if (atomic_load(&((keeping_value *)value)->open))
    atomic_fetch_add(&c->wrong, 1);
  return NULL;
}

static void test_a_thread_closes_its_own(void **state) {
  crowd c = {.k = calloc(1, sizeof(keeping))};
  fcgi_resource_config config = keeping_config(c.k);
  keeping_begin(c.k, &config);
  keeping_value *mine = keeping_take(c.k, NULL);
  keeping_give(c.k, NULL, mine);
  run_all(leave, &c, 1);
  assert_int_equal(atomic_load(&c.wrong), 0);
  assert_int_equal(atomic_load(&mine->open), 1);
  keeping_end(c.k);
  free(c.k);
  (void)state;
}

static void *take_late(void *data) {
  crowd *c = data;
  void *value;
  if (fcgi_resource_take(c->k->resource, NULL, &value) != FCGI_ERR_TIMEOUT)
    atomic_fetch_add(&c->wrong, 1);
  return NULL;
}

/* While it is away, one thread tries at a time and each fails in time. */
static void test_a_herd_waits_for_one_attempt(void **state) {
  crowd c = {.k = calloc(1, sizeof(keeping))};
  fcgi_resource_config config = keeping_config(c.k);
  void *value;
  config.acquire_timeout_ms = 400;
  keeping_begin(c.k, &config);
  atomic_store(&c.k->away, FCGI_ERR_CLOSED);
  fcgi_resource_take(c.k->resource, NULL, &value);
  atomic_store(&c.k->most_at_once, 0);
  atomic_store(&c.k->attempts, 0);
  atomic_store(&c.k->slow_ms, 20);
  for (int i = 0; i < 5; i++)
    run_all(take_late, &c, THREADS);
  assert_int_equal(atomic_load(&c.wrong), 0);
  assert_true(atomic_load(&c.k->most_at_once) <= 1);
  assert_true(atomic_load(&c.k->attempts) < 5 * THREADS);
  keeping_end(c.k);
  free(c.k);
  (void)state;
}

static void *wait_through(void *data) {
  crowd *c = data;
  void *value;
  atomic_fetch_add(&c->started, 1);
  if (fcgi_resource_take(c->k->resource, NULL, &value))
    atomic_fetch_add(&c->wrong, 1);
  else
    fcgi_resource_give(c->k->resource, NULL);
  return NULL;
}

static void *bring_back(void *data) {
  crowd *c = data;
  while (atomic_load(&c->started) < THREADS - 1 ||
         atomic_load(&c->k->attempts) == 0)
    usleep(1000);
  usleep(50000);
  atomic_store(&c->k->away, 0);
  return NULL;
}

/* All who wait are served once it is back, in every scope. */
static void test_an_outage_is_waited_through(void **state) {
  for (int scope = 0; scope < FCGI_RESOURCE_SCOPES; scope++) {
    crowd c = {.k = calloc(1, sizeof(keeping))};
    fcgi_resource_config config = keeping_config(c.k);
    pthread_t other;
    config.scope = (fcgi_resource_scope)scope;
    config.most = 2;
    config.acquire_timeout_ms = 60000;
    keeping_begin(c.k, &config);
    atomic_store(&c.k->away, FCGI_ERR_CLOSED);
    assert_int_equal(pthread_create(&other, NULL, bring_back, &c), 0);
    run_all(wait_through, &c, THREADS - 1);
    pthread_join(other, NULL);
    assert_int_equal(atomic_load(&c.wrong), 0);
    keeping_end(c.k);
    free(c.k);
  }
  (void)state;
}

/* Those that wait when it is stopped are told. */
static void *wait_until_stopped(void *data) {
  crowd *c = data;
  void *value;
  if (fcgi_resource_take(c->k->resource, NULL, &value) != FCGI_ERR_CLOSED)
    atomic_fetch_add(&c->wrong, 1);
  return NULL;
}

static void *stop_soon(void *data) {
  crowd *c = data;
  while (keeping_stats(c->k).waiting < 3)
    usleep(1000);
  fcgi_resource_stop(c->k->resource);
  return NULL;
}

static void test_a_stop_wakes_those_that_wait(void **state) {
  crowd c = {.k = calloc(1, sizeof(keeping))};
  fcgi_resource_config config = keeping_config(c.k);
  pthread_t other;
  config.scope = FCGI_RESOURCE_WORKER;
  config.acquire_timeout_ms = FCGI_WAIT_FOREVER;
  keeping_begin(c.k, &config);
  keeping_value *mine = keeping_take(c.k, NULL);
  assert_int_equal(pthread_create(&other, NULL, stop_soon, &c), 0);
  run_all(wait_until_stopped, &c, 3);
  pthread_join(other, NULL);
  assert_int_equal(atomic_load(&c.wrong), 0);
  keeping_give(c.k, NULL, mine);
  keeping_end(c.k);
  free(c.k);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_threads_contend),
      cmocka_unit_test(test_threads_end),
      cmocka_unit_test(test_a_thread_ends_with_its_handle),
      cmocka_unit_test(test_a_thread_closes_its_own),
      cmocka_unit_test(test_a_herd_waits_for_one_attempt),
      cmocka_unit_test(test_an_outage_is_waited_through),
      cmocka_unit_test(test_a_stop_wakes_those_that_wait),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
