/* SPDX-License-Identifier: MIT */
/* What a dictionary does as long as nobody is killed. */
#include "support/sound.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int set_up(void **state) {
  *state = unit_shared(FCGI_SHARED_LEAST);
  return 0;
}

static int tear_down(void **state) {
  assert_null(unit_unsound(*state));
  fcgi_shared_free(*state);
  return 0;
}

static int set_text(fcgi_shared *d, const char *key, const char *text,
                    int64_t ttl_ms) {
  const fcgi_shared_value value = {.kind = FCGI_SHARED_STRING,
                                   .data = text,
                                   .len = strlen(text),
                                   .ttl_ms = ttl_ms};
  return fcgi_shared_set(d, key, strlen(key), &value);
}

static int set_integer(fcgi_shared *d, const char *key, int64_t integer) {
  const fcgi_shared_value value = {.kind = FCGI_SHARED_INTEGER,
                                   .integer = integer};
  return fcgi_shared_set(d, key, strlen(key), &value);
}

static int get(fcgi_shared *d, const char *key, fcgi_shared_value *out) {
  static char buffer[4096];
  return fcgi_shared_get(d, key, strlen(key), buffer, sizeof buffer, out);
}

static int has(fcgi_shared *d, const char *key) {
  fcgi_shared_value value;
  return get(d, key, &value);
}

static void expect_text(fcgi_shared *d, const char *key, const char *text) {
  fcgi_shared_value value;
  assert_int_equal(get(d, key, &value), 1);
  assert_int_equal(value.kind, FCGI_SHARED_STRING);
  assert_int_equal(value.len, strlen(text));
  assert_memory_equal(value.data, text, value.len);
}

static uint64_t count(fcgi_shared *d, fcgi_shared_count which) {
  uint64_t all[FCGI_SHARED_COUNTS];
  assert_int_equal(fcgi_shared_counts(d, all, FCGI_SHARED_COUNTS), 0);
  return all[which];
}

static void test_every_kind_comes_back(void **state) {
  fcgi_shared *d = *state;
  fcgi_shared_value value = {.kind = FCGI_SHARED_REAL, .real = -0.1};
  assert_int_equal(fcgi_shared_set(d, "real", 4, &value), 0);
  value = (fcgi_shared_value){.kind = FCGI_SHARED_BOOLEAN, .integer = 7};
  assert_int_equal(fcgi_shared_set(d, "yes", 3, &value), 0);
  value =
      (fcgi_shared_value){.kind = FCGI_SHARED_BYTES, .data = "a\0b", .len = 3};
  assert_int_equal(fcgi_shared_set(d, "k\0y", 3, &value), 0);
  assert_int_equal(set_integer(d, "least", INT64_MIN), 0);
  assert_int_equal(set_text(d, "empty", "", 0), 0);
  assert_int_equal(get(d, "real", &value), 1);
  assert_true(value.kind == FCGI_SHARED_REAL && value.real == -0.1);
  assert_int_equal(get(d, "yes", &value), 1);
  assert_true(value.kind == FCGI_SHARED_BOOLEAN && value.integer == 1);
  assert_int_equal(get(d, "least", &value), 1);
  assert_true(value.kind == FCGI_SHARED_INTEGER && value.integer == INT64_MIN);
  expect_text(d, "empty", "");
  assert_int_equal(get(d, "k", &value), 0);
  char bytes[3];
  assert_int_equal(fcgi_shared_get(d, "k\0y", 3, bytes, 3, &value), 1);
  assert_true(value.kind == FCGI_SHARED_BYTES && value.len == 3);
  assert_memory_equal(bytes, "a\0b", 3);
}

/* From one block to many, also with a key that does not fit into one. */
static void test_any_size_comes_back(void **state) {
  fcgi_shared *d = *state;
  char *bytes = malloc(40000), *back = malloc(40000), key[FCGI_SHARED_KEY];
  for (int i = 0; i < 40000; i++)
    bytes[i] = (char)(i * 7 + i / 251);
  memset(key, 'k', sizeof key);
  for (size_t len = 0; len < 40000; len += len / 9 + 1) {
    size_t key_len = len % sizeof key + 1;
    fcgi_shared_value value = {
        .kind = FCGI_SHARED_BYTES, .data = bytes, .len = len};
    assert_true(fcgi_shared_set(d, key, key_len, &value) >= 0);
    memset(back, 0, 40000);
    assert_int_equal(fcgi_shared_get(d, key, key_len, back, len, &value), 1);
    assert_int_equal(value.len, len);
    assert_memory_equal(back, bytes, len);
    assert_null(unit_unsound(d));
  }
  free(bytes);
  free(back);
}

static void test_what_does_not_fit_is_told(void **state) {
  fcgi_shared *d = *state;
  fcgi_shared_value value;
  char buffer[4];
  set_text(d, "key", "hello", 0);
  assert_int_equal(fcgi_shared_get(d, "key", 3, buffer, 4, &value), 1);
  assert_int_equal(value.len, 5);
  assert_null(value.data);
}

static void test_add_and_replace_look_first(void **state) {
  fcgi_shared *d = *state;
  fcgi_shared_value value = {.kind = FCGI_SHARED_INTEGER, .integer = 1};
  assert_int_equal(fcgi_shared_replace(d, "a", 1, &value), 0);
  assert_int_equal(has(d, "a"), 0);
  assert_int_equal(fcgi_shared_add(d, "a", 1, &value), 1);
  value.integer = 2;
  assert_int_equal(fcgi_shared_add(d, "a", 1, &value), 0);
  assert_int_equal(get(d, "a", &value), 1);
  assert_int_equal(value.integer, 1);
  value.integer = 3;
  assert_int_equal(fcgi_shared_replace(d, "a", 1, &value), 1);
  assert_int_equal(get(d, "a", &value), 1);
  assert_int_equal(value.integer, 3);
  assert_int_equal(fcgi_shared_delete(d, "a", 1), 1);
  assert_int_equal(fcgi_shared_delete(d, "a", 1), 0);
  assert_int_equal(fcgi_shared_add(d, "a", 1, &value), 1);
}

static void test_increments_are_exact(void **state) {
  fcgi_shared *d = *state;
  const int64_t zero = 0;
  int64_t sum;
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 1, NULL, 0, &sum), 0);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 5, &zero, 0, &sum), 1);
  assert_int_equal(sum, 5);
  set_integer(d, "n", (INT64_C(1) << 53) + 1);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 1, NULL, 0, &sum), 1);
  assert_true(sum == (INT64_C(1) << 53) + 2);
  set_integer(d, "n", INT64_MAX - 1);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 1, NULL, 0, &sum), 1);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 1, NULL, 0, &sum),
                   FCGI_ERR_LIMIT);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, -1, NULL, 0, &sum), 1);
  assert_true(sum == INT64_MAX - 1);
  set_text(d, "n", "1", 0);
  assert_int_equal(fcgi_shared_incr(d, "n", 1, 1, &zero, 0, &sum),
                   FCGI_ERR_STATE);
  expect_text(d, "n", "1");
}

static void test_time_ends_an_entry(void **state) {
  fcgi_shared *d = *state;
  const int64_t zero = 0;
  int64_t sum;
  fcgi_shared_value value;
  set_text(d, "short", "x", 1000);
  set_text(d, "long", "x", 0);
  fcgi_shared_incr(d, "counter", 7, 1, &zero, 5000, &sum);
  assert_int_equal(get(d, "short", &value), 1);
  assert_in_range(value.ttl_ms, 1, 1000);
  assert_int_equal(fcgi_shared_expire(d, "long", 4, 10000), 1);
  assert_int_equal(fcgi_shared_expire(d, "none", 4, 10000), 0);
  d->ahead_ms += 1000;
  assert_int_equal(has(d, "short"), 0);
  assert_int_equal(fcgi_shared_incr(d, "counter", 7, 1, &zero, 5000, &sum), 1);
  assert_int_equal(sum, 2);
  assert_int_equal(fcgi_shared_expire(d, "counter", 7, 0), 1);
  d->ahead_ms += 9000;
  assert_int_equal(has(d, "long"), 0);
  assert_int_equal(get(d, "counter", &value), 1);
  assert_int_equal(value.ttl_ms, 0);
  assert_int_equal(count(d, FCGI_SHARED_EXPIRED), 2);
  assert_int_equal(count(d, FCGI_SHARED_ENTRIES), 1);
}

static void test_the_least_used_go_and_it_is_told(void **state) {
  fcgi_shared *d = *state;
  char key[16];
  int gone = 0, there = 0, i = 0;
  for (; gone == 0; i++) {
    snprintf(key, sizeof key, "key%d", i);
    gone = set_integer(d, key, i);
    has(d, "key0"); /* The first one stays in use. */
  }
  assert_int_equal(gone, 1);
  assert_int_equal(has(d, "key0"), 1);
  assert_int_equal(has(d, "key1"), 0);
  assert_int_equal(has(d, "key2"), 1);
  assert_int_equal(count(d, FCGI_SHARED_EVICTED), 1);
  assert_int_equal(count(d, FCGI_SHARED_USED), count(d, FCGI_SHARED_SIZE));
  for (int j = 0; j < i; j++) {
    snprintf(key, sizeof key, "key%d", j);
    there += has(d, key);
  }
  assert_int_equal(there, i - 1);
}

/* Those that are over go before others that live. */
static void test_the_expired_go_first(void **state) {
  fcgi_shared *d = *state;
  char key[16];
  set_text(d, "first", "x", 0);
  set_text(d, "second", "x", 1);
  d->ahead_ms += 2;
  for (int i = 0; count(d, FCGI_SHARED_EXPIRED) == 0; i++) {
    snprintf(key, sizeof key, "key%d", i);
    assert_int_equal(set_integer(d, key, i), 0);
  }
  assert_int_equal(has(d, "first"), 1);
}

static void test_a_large_value_has_its_room(void **state) {
  fcgi_shared *d = *state;
  char *bytes = calloc(1, FCGI_SHARED_LEAST), key[16];
  fcgi_shared_value value = {
      .kind = FCGI_SHARED_BYTES, .data = bytes, .len = 50000};
  for (int i = 0; i < 400; i++) {
    snprintf(key, sizeof key, "key%d", i);
    set_integer(d, key, i);
  }
  assert_true(fcgi_shared_set(d, "large", 5, &value) > 300);
  assert_null(unit_unsound(d));
  assert_int_equal(has(d, "large"), 1);
  assert_true(fcgi_shared_set(d, "large", 5, &value) > 0);
  assert_int_equal(has(d, "large"), 1);
  assert_int_equal(count(d, FCGI_SHARED_ENTRIES), 1);
  value.len = FCGI_SHARED_LEAST;
  assert_int_equal(fcgi_shared_set(d, "larger", 6, &value), FCGI_ERR_LIMIT);
  assert_int_equal(count(d, FCGI_SHARED_REFUSED), 1);
  free(bytes);
}

static void test_keys_come_once(void **state) {
  fcgi_shared *d = *state;
  char key[FCGI_SHARED_KEY], seen[100] = {0};
  uint64_t place = 0, token;
  int len;
  for (int i = 0; i < 100; i++) {
    snprintf(key, sizeof key, "%d", i);
    set_text(d, key, "x", i == 50 ? 1 : 0);
  }
  fcgi_shared_lock(d, "lock", 4, 0, FCGI_WAIT_NEVER, &token);
  d->ahead_ms += 2;
  while ((len = fcgi_shared_next(d, &place, key)) > 0) {
    key[len] = '\0';
    seen[atoi(key)]++;
  }
  assert_int_equal(len, 0);
  for (int i = 0; i < 100; i++)
    assert_int_equal(seen[i], i != 50);
  assert_int_equal(fcgi_shared_clear(d), 0);
  place = 0;
  assert_int_equal(fcgi_shared_next(d, &place, key), 0);
  assert_int_equal(count(d, FCGI_SHARED_ENTRIES), 0);
}

static void test_wrong_arguments_are_refused(void **state) {
  fcgi_shared *d = *state, *other;
  static char long_key[FCGI_SHARED_KEY + 1];
  fcgi_shared_value value = {.kind = FCGI_SHARED_INTEGER};
  int64_t sum;
  assert_int_equal(fcgi_shared_set(d, "", 0, &value), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_shared_set(d, long_key, sizeof long_key, &value),
                   FCGI_ERR_INVALID);
  assert_int_equal(fcgi_shared_set(d, long_key, FCGI_SHARED_KEY, &value), 0);
  value.kind = 0;
  assert_int_equal(fcgi_shared_set(d, "a", 1, &value), FCGI_ERR_INVALID);
  value.kind = FCGI_SHARED_BOOLEAN + 1;
  assert_int_equal(fcgi_shared_set(d, "a", 1, &value), FCGI_ERR_INVALID);
  value = (fcgi_shared_value){.kind = FCGI_SHARED_INTEGER, .ttl_ms = -1};
  assert_int_equal(fcgi_shared_set(d, "a", 1, &value), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_shared_expire(d, "a", 1, -1), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_shared_incr(d, "a", 1, 1, NULL, -1, &sum),
                   FCGI_ERR_INVALID);
  static const char *const names[] = {
      "", "a b", "a/b", "\303\244", NULL, "a2345678901234567890123456789012"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    assert_int_equal(fcgi_shared_open(&other, names[i], NULL),
                     FCGI_ERR_INVALID);
  const fcgi_shared_config small = {.size = sizeof small, .private_size = 100};
  assert_int_equal(fcgi_shared_open(&other, "small", &small), FCGI_ERR_INVALID);
  assert_null(other);
  fcgi_shared_free(NULL);
}

#define ENTRY_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      ENTRY_TEST(test_every_kind_comes_back),
      ENTRY_TEST(test_any_size_comes_back),
      ENTRY_TEST(test_what_does_not_fit_is_told),
      ENTRY_TEST(test_add_and_replace_look_first),
      ENTRY_TEST(test_increments_are_exact),
      ENTRY_TEST(test_time_ends_an_entry),
      ENTRY_TEST(test_the_least_used_go_and_it_is_told),
      ENTRY_TEST(test_the_expired_go_first),
      ENTRY_TEST(test_a_large_value_has_its_room),
      ENTRY_TEST(test_keys_come_once),
      ENTRY_TEST(test_wrong_arguments_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
