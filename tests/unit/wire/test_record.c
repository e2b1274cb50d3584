/* SPDX-License-Identifier: MIT */
#include "support/unit.h"

#include <fastcgi/record.h>
#include <stdlib.h>

static void test_record_encode_writes_big_endian(void **state) {
  (void)state;
  const fcgi_record record = {1, FCGI_RECORD_STDIN, 0x1234, 0xabcd, 0x7f};
  const uint8_t expected[] = {1, 5, 0x12, 0x34, 0xab, 0xcd, 0x7f, 0};
  uint8_t out[FCGI_RECORD_HEADER];
  fcgi_record_encode(out, &record);
  assert_memory_equal(out, expected, sizeof expected);
}

static void test_record_decode_reads_big_endian(void **state) {
  (void)state;
  const uint8_t bytes[] = {9, 250, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa};
  uint8_t *in = unit_exact_copy(bytes, sizeof bytes);
  fcgi_record record;
  fcgi_record_decode(&record, in);
  assert_int_equal(record.version, 9);
  assert_int_equal(record.type, 250);
  assert_int_equal(record.id, 0xfffe);
  assert_int_equal(record.content_len, 0xfdfc);
  assert_int_equal(record.padding_len, 0xfb);
  free(in);
}

static void test_record_decode_undoes_encode(void **state) {
  (void)state;
  for (unsigned i = 0; i <= 0xffff; i += 13) {
    const fcgi_record in = {(uint8_t)i, (uint8_t)(i >> 3), (uint16_t)i,
                            (uint16_t)(0xffff - i), (uint8_t)(i >> 8)};
    uint8_t bytes[FCGI_RECORD_HEADER];
    fcgi_record out;
    fcgi_record_encode(bytes, &in);
    fcgi_record_decode(&out, bytes);
    assert_int_equal(out.version, in.version);
    assert_int_equal(out.type, in.type);
    assert_int_equal(out.id, in.id);
    assert_int_equal(out.content_len, in.content_len);
    assert_int_equal(out.padding_len, in.padding_len);
  }
}

static void test_record_encode_clears_the_reserved_byte(void **state) {
  (void)state;
  uint8_t out[FCGI_RECORD_HEADER] = {0, 0, 0, 0, 0, 0, 0, 0xff};
  fcgi_record_encode(out, &(fcgi_record){.version = 1});
  assert_int_equal(out[7], 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_record_encode_writes_big_endian),
      cmocka_unit_test(test_record_decode_reads_big_endian),
      cmocka_unit_test(test_record_decode_undoes_encode),
      cmocka_unit_test(test_record_encode_clears_the_reserved_byte),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
