/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "os/allow.h"
#include "support/unit.h"

#include <arpa/inet.h>
#include <fastcgi/error.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* Any socket address. */
typedef union peer {
  struct sockaddr any;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
  struct sockaddr_un un;
} peer;

static peer address(const char *text) {
  peer made = {.any.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET};
  void *bytes = made.any.sa_family == AF_INET ? (void *)&made.in.sin_addr
                                              : (void *)&made.in6.sin6_addr;
  assert_int_equal(inet_pton(made.any.sa_family, text, bytes), 1);
  return made;
}

static fcgi_allocator memory(void) {
  return fcgi__allocator(&(fcgi_allocator){0});
}

static int has_peer(const char *list, const struct sockaddr *any) {
  fcgi_allocator allocator = memory();
  fcgi__allow allow;
  char why[256] = "";
  assert_int_equal(fcgi__allow_parse(&allow, &allocator, list, why, sizeof why),
                   0);
  assert_string_equal(why, "");
  int has = fcgi__allow_has(&allow, any);
  fcgi__allow_clear(&allow, &allocator);
  return has;
}

static int has(const char *list, const char *text) {
  peer at = address(text);
  return has_peer(list, &at.any);
}

static void test_allow_has_whole_addresses(void **state) {
  (void)state;
  assert_true(has("10.1.2.3", "10.1.2.3"));
  assert_false(has("10.1.2.3", "10.1.2.4"));
  assert_false(has("10.1.2.3", "110.1.2.3"));
  assert_true(has("fd00::1", "fd00::1"));
  assert_true(has("FD00::0:1", "fd00::1"));
}

static void test_allow_has_any_of_several(void **state) {
  (void)state;
  const char *list = " 127.0.0.1,10.0.0.0/8 ,\t::1, fd00::/8 ";
  assert_true(has(list, "127.0.0.1"));
  assert_true(has(list, "10.255.0.1"));
  assert_true(has(list, "::1"));
  assert_true(has(list, "fdff::9"));
  assert_false(has(list, "11.0.0.1"));
  assert_false(has(list, "127.0.0.2"));
  assert_false(has(list, "::2"));
  assert_false(has(list, "fe00::"));
}

/* A byte that is not looked at lets a whole network in. */
static void test_allow_compares_each_byte(void **state) {
  (void)state;
  const char *text = "2001:db8:1122:3344:5566:7788:99aa:bbcc";
  for (int i = 0; i < 16; i++) {
    peer at = address(text);
    assert_true(has_peer(text, &at.any));
    at.in6.sin6_addr.s6_addr[i] ^= 1;
    assert_false(has_peer(text, &at.any));
  }
  for (int i = 0; i < 4; i++) {
    peer at = address("192.0.2.1");
    ((uint8_t *)&at.in.sin_addr)[i] ^= 0x80;
    assert_false(has_peer("192.0.2.1", &at.any));
  }
}

/* With a prefix of `bits`, bit number `bits` is free and the one before not. */
static void check_prefix(const char *text, int bits, int most) {
  char list[80];
  snprintf(list, sizeof list, "%s/%d", text, bits);
  for (int bit = 0; bit < most; bit++) {
    peer at = address(text);
    uint8_t *bytes =
        most == 32 ? (uint8_t *)&at.in.sin_addr : at.in6.sin6_addr.s6_addr;
    bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    assert_int_equal(has_peer(list, &at.any), bit >= bits);
  }
}

static void test_allow_compares_each_bit_of_a_prefix(void **state) {
  (void)state;
  for (int bits = 0; bits <= 32; bits++)
    check_prefix("203.0.113.77", bits, 32);
  for (int bits = 0; bits <= 128; bits++)
    check_prefix("2001:db8:1:2:3:4:5:6", bits, 128);
}

static void test_allow_ignores_bits_behind_the_prefix(void **state) {
  (void)state;
  assert_true(has("10.9.8.7/8", "10.1.1.1"));
}

static void test_allow_keeps_families_apart(void **state) {
  (void)state;
  assert_false(has("0.0.0.0/0", "::1"));
  assert_false(has("::/0", "127.0.0.1"));
  assert_false(has("::/0", "::ffff:127.0.0.1"));
  assert_true(has("::/0", "2001:db8::1"));
  assert_true(has("0.0.0.0/0", "255.255.255.255"));
}

static void test_allow_takes_mapped_addresses_for_v4(void **state) {
  (void)state;
  assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
  assert_true(has("::ffff:10.1.2.3", "10.1.2.3"));
  assert_true(has("::ffff:10.0.0.0/104", "10.9.9.9"));
  assert_false(has("::ffff:10.0.0.0/104", "11.0.0.0"));
  assert_false(has("::ffff:10.1.2.3", "::10.1.2.3"));
}

static void test_allow_has_no_other_family(void **state) {
  (void)state;
  peer at = {.un = {.sun_family = AF_UNIX, .sun_path = "/run/x"}};
  assert_false(has_peer("0.0.0.0/0, ::/0", &at.any));
}

static void test_allow_empty_has_nobody(void **state) {
  (void)state;
  const fcgi__allow none = {0};
  peer at = address("127.0.0.1");
  assert_false(fcgi__allow_has(&none, &at.any));
}

static void assert_refused(const char *list, const char *reason) {
  fcgi_allocator allocator = memory();
  fcgi__allow allow;
  char why[256] = "";
  peer at = address("127.0.0.1");
  assert_int_equal(fcgi__allow_parse(&allow, &allocator, list, why, sizeof why),
                   FCGI_ERR_INVALID);
  assert_non_null(strstr(why, reason));
  assert_null(strchr(why, '\n'));
  assert_false(fcgi__allow_has(&allow, &at.any));
  fcgi__allow_clear(&allow, &allocator);
}

static void test_allow_refuses_what_is_no_address(void **state) {
  (void)state;
  static const char *const wrong[] = {"localhost",
                                      "127.0.0",
                                      "127.0.0.1.1",
                                      "127.0.0.256",
                                      "127.0.0.1/33",
                                      "127.0.0.1/",
                                      "127.0.0.1/-",
                                      "127.0.0.1/8x",
                                      "127.0.0.1 ::1",
                                      "::1/129",
                                      "::1/ 8",
                                      "::g",
                                      "fe80::1%eth0",
                                      "[::1]",
                                      "127.0.0.1:9",
                                      "*",
                                      "127.0.0.1;::1",
                                      "1.2.3.4/00000008",
                                      "/8",
                                      "::1/8/8"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char list[80];
    assert_refused(wrong[i], wrong[i]);
    snprintf(list, sizeof list, "127.0.0.1, %s", wrong[i]);
    assert_refused(list, wrong[i]);
  }
}

static void test_allow_refuses_what_is_missing(void **state) {
  (void)state;
  assert_refused("", "missing");
  assert_refused(" \t", "missing");
  assert_refused("127.0.0.1,", "missing");
  assert_refused(",127.0.0.1", "missing");
  assert_refused("127.0.0.1,,::1", "missing");
}

static void test_allow_refuses_a_long_entry(void **state) {
  (void)state;
  char list[400];
  memset(list, '1', sizeof list - 1);
  list[sizeof list - 1] = '\0';
  assert_refused(list, "1111");
}

static void assert_meet(const char *one, const char *other, const char *both) {
  fcgi_allocator allocator = memory();
  fcgi__allow a, b, out;
  char why[256], *text;
  assert_int_equal(fcgi__allow_parse(&a, &allocator, one, why, sizeof why), 0);
  assert_int_equal(fcgi__allow_parse(&b, &allocator, other, why, sizeof why),
                   0);
  assert_int_equal(fcgi__allow_meet(&out, &allocator, &a, &b), 0);
  text = fcgi__allow_text(&out, &allocator);
  assert_string_equal(text, both);
  fcgi__free(&allocator, text);
  fcgi__allow_clear(&out, &allocator);
  fcgi__allow_clear(&a, &allocator);
  fcgi__allow_clear(&b, &allocator);
}

static void test_allow_meets_another(void **state) {
  (void)state;
  assert_meet("10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16");
  assert_meet("10.1.0.0/16,::1", "10.0.0.0/8, fd00::/8, ::1",
              "10.1.0.0/16,::1");
  assert_meet("127.0.0.1", "127.0.0.2", "");
  assert_meet("127.0.0.1,127.0.0.2", "127.0.0.2,127.0.0.1",
              "127.0.0.1,127.0.0.2");
  assert_meet("0.0.0.0/0", "::/0", "");
  assert_meet("0.0.0.0/0", "1.2.3.4", "1.2.3.4");
  assert_meet("::ffff:1.2.3.4", "1.2.3.0/24", "1.2.3.4");
}

static void test_allow_knows_loopback(void **state) {
  (void)state;
  static const char *const yes[] = {"127.0.0.1", "127.255.0.9", "::1",
                                    "::ffff:127.0.0.1"};
  static const char *const no[] = {"0.0.0.0",  "::",  "128.0.0.1",
                                   "10.0.0.1", "::2", "::ffff:10.0.0.1"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
    peer at = address(yes[i]);
    assert_true(fcgi__allow_is_loopback(&at.any));
  }
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
    peer at = address(no[i]);
    assert_false(fcgi__allow_is_loopback(&at.any));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_allow_has_whole_addresses),
      cmocka_unit_test(test_allow_has_any_of_several),
      cmocka_unit_test(test_allow_compares_each_byte),
      cmocka_unit_test(test_allow_compares_each_bit_of_a_prefix),
      cmocka_unit_test(test_allow_ignores_bits_behind_the_prefix),
      cmocka_unit_test(test_allow_keeps_families_apart),
      cmocka_unit_test(test_allow_takes_mapped_addresses_for_v4),
      cmocka_unit_test(test_allow_has_no_other_family),
      cmocka_unit_test(test_allow_empty_has_nobody),
      cmocka_unit_test(test_allow_refuses_what_is_no_address),
      cmocka_unit_test(test_allow_refuses_what_is_missing),
      cmocka_unit_test(test_allow_refuses_a_long_entry),
      cmocka_unit_test(test_allow_meets_another),
      cmocka_unit_test(test_allow_knows_loopback),
  };
  return cmocka_run_group_tests_name("allow", tests, NULL, NULL);
}
