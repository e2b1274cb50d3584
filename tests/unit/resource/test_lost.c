/* SPDX-License-Identifier: MIT */
/* Handles whose takers go, or are several threads of one holder. */
#include "resource/holder.h"
#include "support/keeping.h"
#include "support/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { LONG_MS = 20000 };

typedef int open_fn(void **value, char *why, size_t len, void *data);

/* `k` is the user data of the callbacks, so it is the first member. */
typedef struct scene {
  keeping k;                  /* What they want. */
  open_fn *open;              /* Its own open. */
  pthread_barrier_t together; /* Of two threads. */
  fcgi_holder *holder;        /* Theirs, or NULL. */
  atomic_int wrong;           /* What has failed. */
} scene;

static scene *begin(fcgi_resource_scope scope) {
  scene *s = calloc(1, sizeof *s);
  fcgi_resource_config config = keeping_config(&s->k);
  config.scope = scope;
  config.acquire_timeout_ms = LONG_MS;
  s->open = config.open;
  keeping_begin(&s->k, &config);
  assert_int_equal(fcgi_holder_new(&s->holder, NULL), 0);
  assert_int_equal(pthread_barrier_init(&s->together, NULL, 2), 0);
  return s;
}

static void end(scene *s) {
  fcgi_holder_free(s->holder);
  pthread_barrier_destroy(&s->together);
  assert_int_equal(atomic_load(&s->wrong), 0);
  keeping_end(&s->k);
  free(s);
}

static void await_waiting(scene *s, unsigned count) {
  for (int i = 0; i < LONG_MS && keeping_stats(&s->k).waiting != count; i++)
    usleep(1000);
}

/* Assertions of cmocka's belong to the main thread. */
static void *take_and_give(void *data) {
  scene *s = data;
  void *value;
  if (fcgi_resource_take(s->k.resource, NULL, &value) ||
      fcgi_resource_give(s->k.resource, NULL))
    atomic_fetch_add(&s->wrong, 1);
  return NULL;
}

static void test_an_abandoned_one_goes_to_who_waits(void **state) {
  scene *s = begin(FCGI_RESOURCE_WORKER);
  pthread_t thread;
  void *value;
  assert_int_equal(fcgi_resource_take(s->k.resource, s->holder, &value), 0);
  assert_int_equal(pthread_create(&thread, NULL, take_and_give, s), 0);
  await_waiting(s, 1);
  fcgi__holder_abandon(s->holder);
  pthread_join(thread, NULL);
  assert_int_equal(atomic_load(&s->k.closes), 1);
  assert_true(keeping_stats(&s->k).waited_ms < LONG_MS);
  end(s);
  (void)state;
}

static void *take_and_end(void *data) {
  scene *s = data;
  void *value;
  if (fcgi_resource_take(s->k.resource, NULL, &value))
    atomic_fetch_add(&s->wrong, 1);
  else
    await_waiting(s, 1);
  return NULL;
}

/* A later thread may have the same number, and would have its handle. */
static void test_a_thread_that_ends_keeps_nothing(void **state) {
  scene *s = begin(FCGI_RESOURCE_WORKER);
  pthread_t one, two;
  assert_int_equal(pthread_create(&one, NULL, take_and_end, s), 0);
  for (int i = 0; i < LONG_MS && keeping_stats(&s->k).in_use == 0; i++)
    usleep(1000);
  assert_int_equal(pthread_create(&two, NULL, take_and_give, s), 0);
  pthread_join(two, NULL);
  pthread_join(one, NULL);
  assert_int_equal(keeping_stats(&s->k).in_use, 0);
  assert_int_equal(keeping_stats(&s->k).unended, 1);
  end(s);
  (void)state;
}

static void *take_give_and_stay(void *data) {
  scene *s = data;
  take_and_give(s);
  pthread_barrier_wait(&s->together);
  pthread_barrier_wait(&s->together);
  return NULL;
}

/* What it had before may be somebody else's when it ends. */
static void test_a_thread_that_ends_takes_nothing(void **state) {
  for (int with = 0; with < 2; with++) {
    scene *s = begin(FCGI_RESOURCE_POOL);
    fcgi_holder *holder = with ? s->holder : NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_give_and_stay, s), 0);
    pthread_barrier_wait(&s->together);
    keeping_value *value = keeping_take(&s->k, holder);
    assert_ptr_equal(value, &s->k.values[0]);
    pthread_barrier_wait(&s->together);
    pthread_join(thread, NULL);
    assert_int_equal(keeping_stats(&s->k).in_use, 1);
    assert_int_equal(keeping_stats(&s->k).unended, 0);
    keeping_give(&s->k, holder, value);
    end(s);
  }
  (void)state;
}

static int open_together(void **value, char *why, size_t len, void *data) {
  scene *s = data;
  pthread_barrier_wait(&s->together);
  return s->open(value, why, len, &s->k);
}

/* Who has not the first of the holder's list gives back before the other. */
static void *take_together(void *data) {
  scene *s = data;
  void *value = NULL;
  if (fcgi_resource_take(s->k.resource, s->holder, &value))
    atomic_fetch_add(&s->wrong, 1);
  keeping_value *v = value;
  atomic_fetch_add(&v->users, 1);
  pthread_barrier_wait(&s->together);
  int later = fcgi_handle_value(fcgi__holder_first(s->holder)) == value;
  pthread_barrier_wait(&s->together);
  if (later)
    pthread_barrier_wait(&s->together);
  atomic_fetch_sub(&v->users, 1);
  if (fcgi_resource_give(s->k.resource, s->holder))
    atomic_fetch_add(&s->wrong, 1);
  if (!later)
    pthread_barrier_wait(&s->together);
  return NULL;
}

static void test_threads_of_a_holder_give_their_own(void **state) {
  scene *s = calloc(1, sizeof *s);
  fcgi_resource_config config = keeping_config(&s->k);
  pthread_t threads[2];
  config.scope = FCGI_RESOURCE_POOL;
  s->open = config.open;
  config.open = open_together;
  keeping_begin(&s->k, &config);
  assert_int_equal(fcgi_holder_new(&s->holder, NULL), 0);
  assert_int_equal(pthread_barrier_init(&s->together, NULL, 2), 0);
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, take_together, s), 0);
  for (int i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(keeping_stats(&s->k).in_use, 0);
  end(s);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_an_abandoned_one_goes_to_who_waits),
      cmocka_unit_test(test_a_thread_that_ends_keeps_nothing),
      cmocka_unit_test(test_a_thread_that_ends_takes_nothing),
      cmocka_unit_test(test_threads_of_a_holder_give_their_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
