/* SPDX-License-Identifier: MIT */
/* When the threads of a server tidy up what is kept, and in which order. */
#include "os/clock.h"
#include "server/server.h"
#include "support/keeping.h"
#include "support/serving.h"

#include <stdlib.h>
#include <unistd.h>

enum { SECOND = 1000, AGES = 60000, LONG_MS = 20000 };

/* Of a pool whose handles may rest for so long; the server keeps it. */
static keeping *keep(serving *f, int idle_ms) {
  keeping *k = calloc(1, sizeof *k);
  fcgi_resource_config config = keeping_config(k);
  config.scope = FCGI_RESOURCE_POOL;
  config.max_idle_ms = idle_ms;
  keeping_begin(k, &config);
  assert_int_equal(fcgi_server_keep(f->server, k->resource), 0);
  return k;
}

static void let_go(keeping *k) {
  keeping_end(k);
  free(k);
}

static void test_the_shortest_time_counts(void **state) {
  static const int every[] = {3 * SECOND, 2 * SECOND, 4 * SECOND};
  static const int least[] = {3 * SECOND, 2 * SECOND, 2 * SECOND};
  serving *f = *state;
  keeping *kept[3];
  assert_int_equal(fcgi__kept_wait_ms(f->server), -1);
  for (int i = 0; i < 3; i++) {
    kept[i] = keep(f, 8 * every[i]);
    assert_int_equal(fcgi__kept_wait_ms(f->server), least[i]);
  }
  for (int i = 0; i < 3; i++)
    let_go(kept[i]);
}

/* One that has rested for longer than it may. */
static keeping *rested(serving *f) {
  keeping *k = keep(f, 1);
  keeping_give(k, NULL, keeping_take(k, NULL));
  usleep(3000);
  return k;
}

/* Not before the time has come, and not at the first look. */
static void test_the_time_has_to_come(void **state) {
  serving *f = *state;
  keeping *k = rested(f);
  long long due = 0, now = fcgi__now();
  fcgi__kept_tidy(f->server, -1, &due);
  assert_int_equal(due, 0);
  fcgi__kept_tidy(f->server, AGES, &due);
  assert_in_range(due, now + AGES, now + AGES + LONG_MS);
  assert_int_equal(atomic_load(&k->closes), 0);
  due = now;
  fcgi__kept_tidy(f->server, AGES, &due);
  assert_int_equal(atomic_load(&k->closes), 1);
  assert_in_range(due, now + AGES, now + AGES + LONG_MS);
  let_go(k);
}

typedef struct order {
  atomic_int closed; /* How many are. */
} order;

/* A value that notes the order of its closing. */
typedef struct noted {
  order *all; /* Of all of them. */
  int place;  /* From 1. */
} noted;

static int open_noted(void **value, char *why, size_t len, void *data) {
  (void)why;
  (void)len;
  *value = data;
  return 0;
}

static void close_noted(void *value, void *data) {
  noted *at = value;
  (void)data;
  at->place = atomic_fetch_add(&at->all->closed, 1) + 1;
}

/* What was made last may need the others. */
static void test_what_was_made_last_is_closed_first(void **state) {
  serving *f = *state;
  order all = {.closed = 0};
  noted values[3];
  fcgi_resource *kept[3];
  for (int i = 0; i < 3; i++) {
    fcgi_resource_config config = {.size = sizeof config,
                                   .open = open_noted,
                                   .close = close_noted,
                                   .user_data = &values[i]};
    void *value;
    values[i] = (noted){.all = &all};
    config.scope = FCGI_RESOURCE_POOL;
    assert_int_equal(fcgi_resource_new(&kept[i], &config, NULL, 0), 0);
    assert_int_equal(fcgi_server_keep(f->server, kept[i]), 0);
    assert_int_equal(fcgi_resource_take(kept[i], NULL, &value), 0);
    assert_int_equal(fcgi_resource_give(kept[i], NULL), 0);
  }
  fcgi__kept_leave(f->server, 0);
  assert_int_equal(atomic_load(&all.closed), 0); /* Others use the pool. */
  fcgi__kept_leave(f->server, 1);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(values[i].place, 3 - i);
    fcgi_resource_free(kept[i]);
  }
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_the_shortest_time_counts),
      SERVING_TEST(test_the_time_has_to_come),
      SERVING_TEST(test_what_was_made_last_is_closed_first),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
