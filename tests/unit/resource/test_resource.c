/* SPDX-License-Identifier: MIT */
/* A resource with callbacks, on one thread and in a fork. */
#include "support/failing.h"
#include "support/keeping.h"
#include "support/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TAKES = 100000 };

static keeping *begin(fcgi_resource_config *config, fcgi_resource_scope scope) {
  keeping *k = calloc(1, sizeof *k);
  *config = keeping_config(k);
  config->scope = scope;
  return k;
}

static void end(keeping *k) {
  keeping_end(k);
  free(k);
}

static const char *message(keeping *k) {
  static char text[FCGI_RESOURCE_WHY];
  fcgi_resource_message(k->resource, text, sizeof text);
  return text;
}

static void test_a_hundred_thousand_takes(void **state) {
  for (int scope = 0; scope < FCGI_RESOURCE_SCOPES; scope++) {
    fcgi_resource_config config;
    keeping *k = begin(&config, (fcgi_resource_scope)scope);
    failing memory = {.until_failure = -1};
    config.allocator = failing_allocator(&memory);
    keeping_begin(k, &config);
    keeping_give(k, NULL, keeping_take(k, NULL));
    long live = memory.live;
    for (int i = 0; i < TAKES; i++)
      keeping_give(k, NULL, keeping_take(k, NULL));
    assert_int_equal(memory.live, live);
    assert_int_equal(atomic_load(&k->opens), 1);
    assert_int_equal(atomic_load(&k->resets), TAKES + 1);
    assert_int_equal(keeping_stats(k).taken, TAKES + 1);
    end(k);
    assert_int_equal(memory.live, 0);
  }
  (void)state;
}

/* Each time another one, so that every way of opening and closing is taken. */
static void test_no_slot_leaks(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_POOL);
  failing memory = {.until_failure = -1};
  config.allocator = failing_allocator(&memory);
  config.most = 2;
  keeping_begin(k, &config);
  for (int i = 0; i < KEEPING_VALUES / 2 - 2; i++) {
    keeping_value *value = keeping_take(k, NULL);
    if (i % 3 == 0)
      assert_int_equal(fcgi_resource_invalidate(k->resource, NULL), 0);
    else if (i % 3 == 1)
      fcgi_resource_drain(k->resource);
    else
      atomic_store(&value->broken, 1);
    keeping_give(k, NULL, value);
  }
  assert_int_equal(keeping_stats(k).open, 0);
  assert_true(memory.live <= 3);
  end(k);
  (void)state;
}

static void test_memory_may_run_out_anywhere(void **state) {
  for (int scope = 0; scope < FCGI_RESOURCE_SCOPES; scope++)
    for (long i = 0; i < 4; i++) {
      fcgi_resource_config config;
      keeping *k = begin(&config, (fcgi_resource_scope)scope);
      failing memory = {.until_failure = i, .once = 1};
      fcgi_holder *holder = NULL;
      void *value;
      config.allocator = failing_allocator(&memory);
      int error = fcgi_resource_new(&k->resource, &config, NULL, 0);
      if (error) {
        assert_int_equal(error, FCGI_ERR_NOMEM);
        assert_int_equal(memory.live, 0);
        free(k);
        continue;
      }
      if (fcgi_holder_new(&holder, &config.allocator))
        assert_int_equal(fcgi_holder_new(&holder, &config.allocator), 0);
      error = fcgi_resource_take(k->resource, holder, &value);
      assert_true(error == 0 || error == FCGI_ERR_NOMEM);
      if (error)
        assert_int_equal(fcgi_resource_take(k->resource, holder, &value), 0);
      assert_int_equal(fcgi_resource_give(k->resource, holder), 0);
      fcgi_holder_free(holder);
      end(k);
      assert_int_equal(memory.live, 0);
    }
  (void)state;
}

static void test_a_holder_gives_back_at_its_end(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_POOL);
  fcgi_holder *holder;
  void *value, *again;
  keeping_begin(k, &config);
  assert_int_equal(fcgi_holder_new(&holder, NULL), 0);
  assert_int_equal(fcgi_resource_get(k->resource, holder, &value), 0);
  assert_int_equal(fcgi_resource_get(k->resource, holder, &again), 0);
  assert_ptr_equal(value, again);
  assert_int_equal(fcgi_resource_give(k->resource, holder), FCGI_ERR_STATE);
  assert_int_equal(fcgi_resource_take(k->resource, holder, &again), 0);
  assert_int_equal(fcgi_resource_give(k->resource, holder), 0);
  assert_int_equal(fcgi_holder_is_busy(holder), 1);
  assert_int_equal(fcgi_holder_end(holder), 0);
  assert_int_equal(fcgi_holder_is_busy(holder), 0);
  assert_int_equal(keeping_stats(k).in_use, 0);
  assert_int_equal(keeping_stats(k).open, 1);
  fcgi_holder_free(holder);
  end(k);
  (void)state;
}

static void test_what_was_not_given_back_is_closed(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_POOL);
  fcgi_holder *holder;
  void *value;
  keeping_begin(k, &config);
  assert_int_equal(fcgi_holder_new(&holder, NULL), 0);
  assert_int_equal(fcgi_resource_take(k->resource, holder, &value), 0);
  assert_int_equal(fcgi_holder_end(holder), 1);
  assert_int_equal(keeping_stats(k).open, 0);
  assert_int_equal(keeping_stats(k).unended, 1);
  assert_int_equal(keeping_stats(k).closed[FCGI_RESOURCE_BY_KEPT], 1);
  assert_int_equal(fcgi_resource_give(k->resource, holder), FCGI_ERR_STATE);
  fcgi_holder_free(holder);
  end(k);
  (void)state;
}

static void test_only_a_taker_gives_back(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_WORKER);
  fcgi_holder *holder;
  keeping_begin(k, &config);
  assert_int_equal(fcgi_holder_new(&holder, NULL), 0);
  keeping_value *value = keeping_take(k, holder);
  assert_int_equal(fcgi_resource_give(k->resource, NULL), FCGI_ERR_STATE);
  assert_string_equal(
      message(k),
      "resource 'db' is given back by somebody who has not taken it");
  assert_int_equal(fcgi_resource_invalidate(k->resource, NULL), FCGI_ERR_STATE);
  keeping_give(k, holder, value);
  assert_int_equal(fcgi_resource_give(k->resource, holder), FCGI_ERR_STATE);
  fcgi_holder_free(holder);
  end(k);
  (void)state;
}

static void test_a_full_pool_times_out(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_WORKER);
  fcgi_holder *holder;
  void *other;
  config.acquire_timeout_ms = 30;
  keeping_begin(k, &config);
  assert_int_equal(fcgi_holder_new(&holder, NULL), 0);
  keeping_value *value = keeping_take(k, NULL);
  assert_int_equal(fcgi_resource_take(k->resource, holder, &other),
                   FCGI_ERR_TIMEOUT);
  assert_string_equal(message(k),
                      "resource 'db': none of 1 was free within 30 ms; allow "
                      "more, or have them for a shorter time");
  assert_int_equal(keeping_stats(k).refused, 1);
  keeping_give(k, NULL, value);
  keeping_give(k, holder, keeping_take(k, holder));
  fcgi_holder_free(holder);
  end(k);
  (void)state;
}

static void test_away_and_back(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_THREAD);
  void *value;
  config.acquire_timeout_ms = 200;
  keeping_begin(k, &config);
  atomic_store(&k->away, FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_resource_take(k->resource, NULL, &value),
                   FCGI_ERR_TIMEOUT);
  assert_string_equal(message(k),
                      "resource 'db' cannot be opened: nobody listens");
  assert_true(atomic_load(&k->attempts) >= 2 && atomic_load(&k->attempts) <= 8);
  assert_int_equal(keeping_stats(k).away, 1);
  atomic_store(&k->away, 0);
  while (fcgi_resource_take(k->resource, NULL, &value))
    usleep(1000);
  assert_int_equal(keeping_stats(k).away, 0);
  assert_int_equal(fcgi_resource_give(k->resource, NULL), 0);
  end(k);
  (void)state;
}

static void test_what_cannot_work_is_told_at_once(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_POOL);
  fcgi_holder *holder;
  void *value;
  config.acquire_timeout_ms = FCGI_WAIT_FOREVER;
  keeping_begin(k, &config);
  assert_int_equal(fcgi_holder_new(&holder, NULL), 0);
  keeping_value *first = keeping_take(k, NULL);
  atomic_store(&k->same, 1);
  assert_int_equal(fcgi_resource_take(k->resource, holder, &value),
                   FCGI_ERR_INVALID);
  assert_non_null(strstr(message(k), "open already"));
  assert_int_equal(atomic_load(&first->open), 1);
  keeping_give(k, NULL, first);
  fcgi_holder_free(holder);
  end(k);
  (void)state;
}

static int take_itself(void **value, char *why, size_t len, void *data) {
  keeping *k = data;
  (void)value;
  (void)why;
  (void)len;
  atomic_store(&k->faults,
               fcgi_resource_take(k->resource, NULL, value) != FCGI_ERR_STATE);
  return FCGI_ERR_INVALID;
}

static void test_a_callback_takes_its_own(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_THREAD);
  void *value;
  config.open = take_itself;
  keeping_begin(k, &config);
  assert_int_equal(fcgi_resource_take(k->resource, NULL, &value),
                   FCGI_ERR_INVALID);
  end(k);
  (void)state;
}

static void test_a_stopped_one_gives_nothing(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_THREAD);
  void *value;
  keeping_begin(k, &config);
  keeping_value *mine = keeping_take(k, NULL);
  fcgi_resource_stop(k->resource);
  assert_int_equal(fcgi_resource_take(k->resource, NULL, &value),
                   FCGI_ERR_CLOSED);
  keeping_give(k, NULL, mine);
  assert_int_equal(keeping_stats(k).open, 0);
  end(k);
  (void)state;
}

/* The exit status of a child that does this. */
static int in_a_fork(int (*run)(keeping *), keeping *k) {
  int status = -1;
  pid_t pid = fork();
  if (pid == 0)
    _exit(run(k));
  assert_true(pid > 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int is_refused(keeping *k) {
  void *value;
  int opens = atomic_load(&k->opens), closes = atomic_load(&k->closes);
  if (!fcgi_resource_forked(k->resource) ||
      fcgi_resource_take(k->resource, NULL, &value) != FCGI_ERR_STATE ||
      !strstr(message(k), "of which this one is a fork"))
    return 1;
  if (fcgi_resource_give(k->resource, NULL) != FCGI_ERR_STATE ||
      fcgi_resource_invalidate(k->resource, NULL) != FCGI_ERR_STATE)
    return 2;
  fcgi_resource_drain(k->resource);
  fcgi_resource_tidy(k->resource, FCGI_RESOURCE_ALL);
  fcgi_resource_stop(k->resource);
  fcgi_resource_free(k->resource);
  return atomic_load(&k->opens) != opens || atomic_load(&k->closes) != closes
             ? 3
             : 0;
}

static int has_its_own(keeping *k) {
  int opens = atomic_load(&k->opens);
  void *value;
  fcgi_resource_renew(k->resource);
  if (fcgi_resource_take(k->resource, NULL, &value) ||
      value != &k->values[opens] || fcgi_resource_give(k->resource, NULL))
    return 1;
  fcgi_resource_free(k->resource);
  return atomic_load(&k->closes) == 1 ? 0 : 2;
}

static void test_a_fork_has_nothing(void **state) {
  for (int scope = 0; scope < FCGI_RESOURCE_SCOPES; scope++) {
    fcgi_resource_config config;
    keeping *k = begin(&config, (fcgi_resource_scope)scope);
    keeping_begin(k, &config);
    keeping_value *value = keeping_take(k, NULL);
    assert_int_equal(in_a_fork(is_refused, k), 0);
    assert_int_equal(in_a_fork(has_its_own, k), 0);
    keeping_give(k, NULL, value);
    keeping_give(k, NULL, keeping_take(k, NULL));
    assert_int_equal(atomic_load(&k->opens), 1);
    end(k);
  }
  (void)state;
}

static void test_counts_of_another_version(void **state) {
  fcgi_resource_config config;
  keeping *k = begin(&config, FCGI_RESOURCE_THREAD);
  struct {
    fcgi_resource_stats stats;
    unsigned char beyond[16];
  } larger = {.stats = {.size = sizeof larger}};
  keeping_begin(k, &config);
  assert_int_equal(fcgi_resource_count(k->resource, &larger.stats), 0);
  larger.stats.size = 0;
  assert_int_equal(fcgi_resource_count(k->resource, &larger.stats),
                   FCGI_ERR_INVALID);
  end(k);
  config.size = 8;
  assert_int_equal(fcgi_resource_new(&k->resource, &config, NULL, 0),
                   FCGI_ERR_INVALID);
  (void)state;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_hundred_thousand_takes),
      cmocka_unit_test(test_no_slot_leaks),
      cmocka_unit_test(test_memory_may_run_out_anywhere),
      cmocka_unit_test(test_a_holder_gives_back_at_its_end),
      cmocka_unit_test(test_what_was_not_given_back_is_closed),
      cmocka_unit_test(test_only_a_taker_gives_back),
      cmocka_unit_test(test_a_full_pool_times_out),
      cmocka_unit_test(test_away_and_back),
      cmocka_unit_test(test_what_cannot_work_is_told_at_once),
      cmocka_unit_test(test_a_callback_takes_its_own),
      cmocka_unit_test(test_a_stopped_one_gives_nothing),
      cmocka_unit_test(test_a_fork_has_nothing),
      cmocka_unit_test(test_counts_of_another_version),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
