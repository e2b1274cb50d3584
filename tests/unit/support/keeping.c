/* SPDX-License-Identifier: MIT */
#include "support/keeping.h"
#include "support/unit.h"

#include <stdio.h>
#include <time.h>

static void sleep_ms(int ms) {
  const struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
  if (ms > 0)
    nanosleep(&time, NULL);
}

static int open_value(void **value, char *why, size_t len, void *data) {
  keeping *k = data;
  int now = atomic_fetch_add(&k->at_once, 1) + 1, error = atomic_load(&k->away);
  int most = atomic_load(&k->most_at_once);
  while (now > most &&
         !atomic_compare_exchange_weak(&k->most_at_once, &most, now))
    ;
  atomic_fetch_add(&k->attempts, 1);
  sleep_ms(atomic_load(&k->slow_ms));
  if (error) {
    snprintf(why, len, "nobody listens");
  } else if (atomic_load(&k->same)) {
    *value = &k->values[0];
  } else {
    keeping_value *made = &k->values[atomic_fetch_add(&k->opens, 1)];
    atomic_store(&made->open, 1);
    *value = made;
  }
  atomic_fetch_sub(&k->at_once, 1);
  return error;
}

static void expect_unused(keeping *k, keeping_value *value) {
  if (atomic_load(&value->users) || !atomic_load(&value->open))
    atomic_fetch_add(&k->faults, 1);
}

static int check_value(void *value, void *data) {
  keeping *k = data;
  keeping_value *v = value;
  expect_unused(k, v);
  atomic_fetch_add(&k->checks, 1);
  return atomic_load(&v->broken) ? FCGI_ERR_CLOSED : 0;
}

static int reset_value(void *value, void *data) {
  keeping *k = data;
  keeping_value *v = value;
  expect_unused(k, v);
  atomic_fetch_add(&k->resets, 1);
  atomic_store(&v->dirty, 0);
  return atomic_load(&v->broken) ? FCGI_ERR_CLOSED : 0;
}

static void close_value(void *value, void *data) {
  keeping *k = data;
  keeping_value *v = value;
  if (atomic_exchange(&v->open, 0) != 1)
    atomic_fetch_add(&k->faults, 1);
  atomic_fetch_add(&k->closes, 1);
}

fcgi_resource_config keeping_config(keeping *k) {
  return (fcgi_resource_config){.size = sizeof(fcgi_resource_config),
                                .name = "db",
                                .user_data = k,
                                .open = open_value,
                                .check = check_value,
                                .reset = reset_value,
                                .close = close_value};
}

void keeping_begin(keeping *k, const fcgi_resource_config *config) {
  char why[FCGI_RESOURCE_WHY] = "";
  int error = fcgi_resource_new(&k->resource, config, why, sizeof why);
  assert_string_equal(why, "");
  assert_int_equal(error, 0);
}

void keeping_end(keeping *k) {
  fcgi_resource_free(k->resource);
  k->resource = NULL;
  assert_int_equal(atomic_load(&k->closes), atomic_load(&k->opens));
  assert_int_equal(atomic_load(&k->faults), 0);
}

keeping_value *keeping_take(keeping *k, fcgi_holder *holder) {
  void *value = NULL;
  keeping_value *v;
  assert_int_equal(fcgi_resource_take(k->resource, holder, &value), 0);
  v = value;
  if (atomic_fetch_add(&v->users, 1) || !atomic_load(&v->open))
    atomic_fetch_add(&k->faults, 1);
  return v;
}

void keeping_give(keeping *k, fcgi_holder *holder, keeping_value *value) {
  atomic_fetch_sub(&value->users, 1);
  assert_int_equal(fcgi_resource_give(k->resource, holder), 0);
}

fcgi_resource_stats keeping_stats(keeping *k) {
  fcgi_resource_stats stats = {.size = sizeof stats};
  assert_int_equal(fcgi_resource_count(k->resource, &stats), 0);
  return stats;
}
