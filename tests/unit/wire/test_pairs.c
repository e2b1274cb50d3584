/* SPDX-License-Identifier: MIT */
#include "support/unit.h"

#include "wire/pairs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACE = 4096 };

/* What a decoder found: "<name>=<value>;" for each pair, a "!" before it for
   its lengths. Slices of one part are joined. */
typedef struct trace {
  char text[TRACE];  /* The bytes, some of them NUL. */
  size_t len;        /* Number of bytes. */
  fcgi_pairs pairs;  /* The decoder. */
  unsigned has_name; /* 1 when the "=" of the current pair was written. */
} trace;

static void put(trace *t, const void *data, size_t len) {
  assert_true(t->len + len <= TRACE);
  memcpy(t->text + t->len, data, len);
  t->len += len;
}

static void put_equals(trace *t) {
  if (!t->has_name)
    put(t, "=", 1);
  t->has_name = 1;
}

/* Decode `len` bytes, copied to a block of just that size. */
static void decode(trace *t, const uint8_t *bytes, size_t len) {
  uint8_t *copy = unit_exact_copy(bytes, len);
  const uint8_t *at = copy;
  const uint8_t *part = NULL;
  size_t part_len = 0;
  fcgi_pairs_part found;
  while ((found = fcgi_pairs_next(&t->pairs, &at, &len, &part, &part_len)) !=
         FCGI_PAIRS_MORE) {
    if (found == FCGI_PAIRS_LENGTHS) {
      put(t, "!", 1);
      t->has_name = 0;
      continue;
    }
    if (found != FCGI_PAIRS_NAME)
      put_equals(t);
    if (found == FCGI_PAIRS_END) {
      put(t, ";", 1);
      continue;
    }
    assert_true(part_len > 0);
    put(t, part, part_len);
  }
  assert_int_equal(len, 0);
  free(copy);
}

/* Decode the pairs that lie whole in `len` bytes; returns what is left. */
static size_t decode_whole(trace *t, const uint8_t *bytes, size_t len) {
  uint8_t *copy = unit_exact_copy(bytes, len);
  const uint8_t *at = copy;
  fcgi__pair_lengths pair;
  size_t lengths;
  while ((lengths = fcgi__pair_peek(at, len, &pair)) > 0) {
    put(t, "!", 1);
    put(t, at + lengths, pair.name);
    put(t, "=", 1);
    put(t, at + lengths + pair.name, pair.value);
    put(t, ";", 1);
    at += lengths + pair.name + pair.value;
    len -= lengths + pair.name + pair.value;
  }
  free(copy);
  return len;
}

/* A cut in any place leaves the pairs before it whole. */
static void assert_decodes_whole(const uint8_t *bytes, size_t len,
                                 const char *expected, size_t expected_len) {
  for (size_t cut = 0; cut <= len; cut++) {
    trace whole = {0}, rest = {0};
    size_t left = decode_whole(&whole, bytes, cut);
    decode(&rest, bytes + cut - left, len - cut + left);
    assert_int_equal(whole.len + rest.len, expected_len);
    assert_memory_equal(whole.text, expected, whole.len);
    assert_memory_equal(rest.text, expected + whole.len, rest.len);
    assert_true(cut < len || left == 0);
  }
}

/* All bytes in two calls, split at every place, and one by one. */
static void assert_decodes(const uint8_t *bytes, size_t len,
                           const char *expected, size_t expected_len) {
  for (size_t split = 0; split <= len; split++) {
    trace t = {0};
    decode(&t, bytes, split);
    decode(&t, bytes + split, len - split);
    assert_int_equal(t.len, expected_len);
    assert_memory_equal(t.text, expected, expected_len);
    assert_true(fcgi_pairs_complete(&t.pairs));
  }
  trace t = {0};
  for (size_t i = 0; i < len; i++)
    decode(&t, bytes + i, 1);
  assert_int_equal(t.len, expected_len);
  assert_memory_equal(t.text, expected, expected_len);
  assert_true(fcgi_pairs_complete(&t.pairs));
  assert_decodes_whole(bytes, len, expected, expected_len);
}

#define ASSERT_DECODES(bytes, expected)                                        \
  assert_decodes((const uint8_t *)(bytes), sizeof(bytes) - 1, expected,        \
                 sizeof(expected) - 1)

static void test_pairs_decodes_two_short_lengths(void **state) {
  (void)state;
  ASSERT_DECODES("\3\5abcvalue", "!abc=value;");
}

static void test_pairs_decodes_long_name_length(void **state) {
  (void)state;
  ASSERT_DECODES("\x80\0\0\3\5abcvalue", "!abc=value;");
}

static void test_pairs_decodes_long_value_length(void **state) {
  (void)state;
  ASSERT_DECODES("\3\x80\0\0\5"
                 "abcvalue",
                 "!abc=value;");
}

static void test_pairs_decodes_two_long_lengths(void **state) {
  (void)state;
  ASSERT_DECODES("\x80\0\0\3\x80\0\0\5"
                 "abcvalue",
                 "!abc=value;");
}

static void test_pairs_decodes_empty_parts(void **state) {
  (void)state;
  ASSERT_DECODES("\0\0\1\0a\0\1b\0\0", "!=;!a=;!=b;!=;");
}

static void test_pairs_decodes_many_pairs(void **state) {
  (void)state;
  ASSERT_DECODES("\1\1ab\2\x80\0\0\2ccdd\3\0eee", "!a=b;!cc=dd;!eee=;");
}

static void test_pairs_keeps_nul_bytes(void **state) {
  (void)state;
  ASSERT_DECODES("\3\2a\0b\0\0", "!a\0b=\0\0;");
}

/* Encode a pair of the given lengths and decode it at every split. */
static void assert_round_trip(size_t name_len, size_t value_len) {
  char expected[1024];
  char name[256], value[256];
  uint8_t encoded[1024];
  memset(name, 'n', sizeof name);
  memset(value, 'v', sizeof value);
  size_t len = fcgi_pair_encode(encoded, name, name_len, value, value_len);
  assert_int_equal(len, fcgi_pair_size(name_len, value_len));
  int expected_len = snprintf(expected, sizeof expected, "!%.*s=%.*s;",
                              (int)name_len, name, (int)value_len, value);
  assert_decodes(encoded, len, expected, (size_t)expected_len);
}

static void test_pairs_encodes_what_it_decodes(void **state) {
  (void)state;
  const size_t lengths[] = {0, 1, 126, 127, 128, 129, 200};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++)
      assert_round_trip(lengths[i], lengths[j]);
}

static void test_pairs_encode_takes_one_byte_up_to_127(void **state) {
  (void)state;
  char text[128] = {0};
  uint8_t out[300];
  assert_int_equal(fcgi_pair_encode(out, text, 127, text, 128), 1 + 4 + 255);
  assert_int_equal(out[0], 127);
  assert_memory_equal(out + 1, "\x80\0\0\x80", 4);
}

static void test_pairs_encode_takes_null_for_nothing(void **state) {
  (void)state;
  uint8_t out[2] = {9, 9};
  assert_int_equal(fcgi_pair_encode(out, NULL, 0, NULL, 0), 2);
  assert_memory_equal(out, "\0\0", 2);
}

static void test_pairs_size_counts_the_lengths(void **state) {
  (void)state;
  assert_int_equal(fcgi_pair_size(0, 0), 2);
  assert_int_equal(fcgi_pair_size(127, 127), 256);
  assert_int_equal(fcgi_pair_size(128, 127), 4 + 1 + 255);
  assert_int_equal(fcgi_pair_size(127, 128), 1 + 4 + 255);
  assert_int_equal(fcgi_pair_size(0x7fffffff, 0), (size_t)0x7fffffff + 5);
}

static void test_pairs_size_refuses_too_long_lengths(void **state) {
  (void)state;
  assert_int_equal(fcgi_pair_size(0x80000000, 0), 0);
  assert_int_equal(fcgi_pair_size(0, 0x80000000), 0);
  assert_int_equal(fcgi_pair_size(SIZE_MAX, SIZE_MAX), 0);
}

static void test_pairs_reports_the_longest_lengths(void **state) {
  (void)state;
  const uint8_t bytes[] = "\xff\xff\xff\xff\xff\xff\xff\xff"
                          "ab";
  fcgi_pairs pairs = {0};
  const uint8_t *at = bytes, *part = NULL;
  size_t len = 10, part_len = 0;
  assert_int_equal(fcgi_pairs_next(&pairs, &at, &len, &part, &part_len),
                   FCGI_PAIRS_LENGTHS);
  assert_int_equal(pairs.name_len, 0x7fffffff);
  assert_int_equal(pairs.value_len, 0x7fffffff);
  assert_int_equal(fcgi_pairs_next(&pairs, &at, &len, &part, &part_len),
                   FCGI_PAIRS_NAME);
  assert_int_equal(part_len, 2);
  assert_ptr_equal(part, bytes + 8);
  assert_int_equal(fcgi_pairs_next(&pairs, &at, &len, &part, &part_len),
                   FCGI_PAIRS_MORE);
  assert_false(fcgi_pairs_complete(&pairs));
}

static void test_pairs_lends_slices_of_the_input(void **state) {
  (void)state;
  const uint8_t bytes[] = "\1\2abc";
  fcgi_pairs pairs = {0};
  const uint8_t *at = bytes, *part = NULL;
  size_t len = 5, part_len = 0;
  fcgi_pairs_next(&pairs, &at, &len, &part, &part_len);
  fcgi_pairs_next(&pairs, &at, &len, &part, &part_len);
  assert_ptr_equal(part, bytes + 2);
  assert_int_equal(part_len, 1);
  fcgi_pairs_next(&pairs, &at, &len, &part, &part_len);
  assert_ptr_equal(part, bytes + 3);
  assert_int_equal(part_len, 2);
}

static void test_pairs_truncated_is_not_complete(void **state) {
  (void)state;
  const uint8_t bytes[] = "\x80\0\0\2\x80\0\0\3aabbb";
  for (size_t len = 1; len < sizeof bytes - 1; len++) {
    trace t = {0};
    decode(&t, bytes, len);
    assert_false(fcgi_pairs_complete(&t.pairs));
  }
}

/* A caller may stop before it asks for END. */
static void test_pairs_may_be_complete_before_its_end(void **state) {
  static const struct {
    const char *bytes; /* The encoded pair, or its beginning. */
    size_t len;        /* Number of bytes. */
    int parts;         /* Taken before the question. */
    int complete;      /* The answer. */
  } cases[] = {
      {"\0\0", 2, 1, 1},    {"\1\0", 2, 1, 0},    {"\0\1", 2, 1, 0},
      {"\1\0A", 3, 2, 1},   {"\1\1Ab", 4, 2, 0},  {"\1\1Ab", 4, 3, 1},
      {"\1\2Abc", 4, 3, 0}, {"\1\2Abc", 5, 3, 1}, {"\1", 1, 1, 0},
      {"\200", 1, 1, 0},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fcgi_pairs pairs = {0};
    const uint8_t *at = (const uint8_t *)cases[i].bytes, *part;
    size_t len = cases[i].len, part_len;
    for (int n = 0; n < cases[i].parts; n++)
      fcgi_pairs_next(&pairs, &at, &len, &part, &part_len);
    assert_int_equal(fcgi_pairs_complete(&pairs), cases[i].complete);
  }
}

static void test_pairs_nothing_is_complete(void **state) {
  (void)state;
  fcgi_pairs pairs = {0};
  const uint8_t *at = NULL, *part = NULL;
  size_t len = 0, part_len = 0;
  assert_int_equal(fcgi_pairs_next(&pairs, &at, &len, &part, &part_len),
                   FCGI_PAIRS_MORE);
  assert_true(fcgi_pairs_complete(&pairs));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pairs_decodes_two_short_lengths),
      cmocka_unit_test(test_pairs_decodes_long_name_length),
      cmocka_unit_test(test_pairs_decodes_long_value_length),
      cmocka_unit_test(test_pairs_decodes_two_long_lengths),
      cmocka_unit_test(test_pairs_decodes_empty_parts),
      cmocka_unit_test(test_pairs_decodes_many_pairs),
      cmocka_unit_test(test_pairs_keeps_nul_bytes),
      cmocka_unit_test(test_pairs_encodes_what_it_decodes),
      cmocka_unit_test(test_pairs_encode_takes_one_byte_up_to_127),
      cmocka_unit_test(test_pairs_encode_takes_null_for_nothing),
      cmocka_unit_test(test_pairs_size_counts_the_lengths),
      cmocka_unit_test(test_pairs_size_refuses_too_long_lengths),
      cmocka_unit_test(test_pairs_reports_the_longest_lengths),
      cmocka_unit_test(test_pairs_lends_slices_of_the_input),
      cmocka_unit_test(test_pairs_truncated_is_not_complete),
      cmocka_unit_test(test_pairs_may_be_complete_before_its_end),
      cmocka_unit_test(test_pairs_nothing_is_complete),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
