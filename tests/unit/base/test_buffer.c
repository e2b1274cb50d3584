/* SPDX-License-Identifier: MIT */
#include "base/buffer.h"
#include "support/failing.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <string.h>

static void test_buffer_keeps_appended_bytes(void **state) {
  (void)state;
  fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__buffer buffer = {0};
  assert_int_equal(fcgi__buffer_append(&buffer, &allocator, "abc", 3), 0);
  assert_int_equal(fcgi__buffer_append(&buffer, &allocator, "defg", 4), 0);
  assert_int_equal(buffer.len, 7);
  assert_memory_equal(buffer.data, "abcdefg", 7);
  fcgi__buffer_clear(&buffer, &allocator);
}

static void test_buffer_keeps_bytes_while_growing(void **state) {
  (void)state;
  fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__buffer buffer = {0};
  for (int i = 0; i < 10000; i++) {
    uint8_t byte = (uint8_t)i;
    assert_int_equal(fcgi__buffer_append(&buffer, &allocator, &byte, 1), 0);
  }
  for (int i = 0; i < 10000; i++)
    assert_int_equal(buffer.data[i], (uint8_t)i);
  fcgi__buffer_clear(&buffer, &allocator);
}

static void test_buffer_append_takes_null_for_nothing(void **state) {
  (void)state;
  fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__buffer buffer = {0};
  assert_int_equal(fcgi__buffer_append(&buffer, &allocator, NULL, 0), 0);
  assert_null(buffer.data);
  assert_int_equal(buffer.len, 0);
}

static void test_buffer_reserve_gives_the_room_asked_for(void **state) {
  (void)state;
  fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__buffer buffer = {0};
  assert_int_equal(fcgi__buffer_reserve(&buffer, &allocator, 5000), 0);
  assert_true(buffer.cap >= 5000);
  assert_int_equal(buffer.len, 0);
  memset(buffer.data, 'x', 5000);
  fcgi__buffer_clear(&buffer, &allocator);
}

static void test_buffer_grows_by_at_least_a_half(void **state) {
  (void)state;
  fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__buffer buffer = {0};
  assert_int_equal(fcgi__buffer_reserve(&buffer, &allocator, 1000), 0);
  buffer.len = buffer.cap;
  size_t before = buffer.cap;
  assert_int_equal(fcgi__buffer_reserve(&buffer, &allocator, 1), 0);
  assert_true(buffer.cap >= before + before / 2);
  fcgi__buffer_clear(&buffer, &allocator);
}

static void test_buffer_is_unchanged_without_memory(void **state) {
  (void)state;
  failing memory = {.until_failure = 1};
  fcgi_allocator allocator = failing_allocator(&memory);
  fcgi__buffer buffer = {0};
  char big[4096] = {0};
  assert_int_equal(fcgi__buffer_append(&buffer, &allocator, "abc", 3), 0);
  fcgi__buffer before = buffer;
  assert_int_equal(fcgi__buffer_append(&buffer, &allocator, big, sizeof big),
                   FCGI_ERR_NOMEM);
  assert_memory_equal(&buffer, &before, sizeof before);
  assert_memory_equal(buffer.data, "abc", 3);
  fcgi__buffer_clear(&buffer, &allocator);
}

static void test_buffer_refuses_a_sum_that_overflows(void **state) {
  (void)state;
  fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__buffer buffer = {0};
  assert_int_equal(fcgi__buffer_append(&buffer, &allocator, "abc", 3), 0);
  assert_int_equal(fcgi__buffer_reserve(&buffer, &allocator, SIZE_MAX - 2),
                   FCGI_ERR_NOMEM);
  assert_int_equal(buffer.len, 3);
  fcgi__buffer_clear(&buffer, &allocator);
}

static void test_buffer_clear_frees_and_empties(void **state) {
  (void)state;
  failing memory = {.until_failure = -1};
  fcgi_allocator allocator = failing_allocator(&memory);
  fcgi__buffer buffer = {0};
  assert_int_equal(fcgi__buffer_append(&buffer, &allocator, "abc", 3), 0);
  assert_int_equal(memory.live, 1);
  fcgi__buffer_clear(&buffer, &allocator);
  assert_int_equal(memory.live, 0);
  assert_null(buffer.data);
  assert_int_equal(buffer.cap, 0);
}

static void test_alloc_calloc_zeroes(void **state) {
  (void)state;
  fcgi_allocator allocator = fcgi__allocator(NULL);
  unsigned char zeroes[512] = {0};
  unsigned char *used = fcgi__calloc(&allocator, sizeof zeroes);
  memset(used, 0xff, sizeof zeroes);
  fcgi__free(&allocator, used);
  unsigned char *fresh = fcgi__calloc(&allocator, sizeof zeroes);
  assert_memory_equal(fresh, zeroes, sizeof zeroes);
  fcgi__free(&allocator, fresh);
}

static void test_alloc_null_function_means_the_c_library(void **state) {
  (void)state;
  fcgi_allocator none = {NULL, NULL};
  fcgi_allocator allocator = fcgi__allocator(&none);
  char *bytes = fcgi__realloc(&allocator, NULL, 4);
  memcpy(bytes, "abc", 4);
  bytes = fcgi__realloc(&allocator, bytes, 4096);
  assert_string_equal(bytes, "abc");
  fcgi__free(&allocator, bytes);
  fcgi__free(&allocator, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_buffer_keeps_appended_bytes),
      cmocka_unit_test(test_buffer_keeps_bytes_while_growing),
      cmocka_unit_test(test_buffer_append_takes_null_for_nothing),
      cmocka_unit_test(test_buffer_reserve_gives_the_room_asked_for),
      cmocka_unit_test(test_buffer_grows_by_at_least_a_half),
      cmocka_unit_test(test_buffer_is_unchanged_without_memory),
      cmocka_unit_test(test_buffer_refuses_a_sum_that_overflows),
      cmocka_unit_test(test_buffer_clear_frees_and_empties),
      cmocka_unit_test(test_alloc_calloc_zeroes),
      cmocka_unit_test(test_alloc_null_function_means_the_c_library),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
