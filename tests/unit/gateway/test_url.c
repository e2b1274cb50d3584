/* SPDX-License-Identifier: MIT */
/* Targets, dots, doubled slashes and escapes in paths. */
#include "gateway/url.h"
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

static void expect_tidy(const char *path, int merge, const char *wanted) {
  char text[64];
  size_t len = strlen(path);
  memcpy(text, path, len);
  len = fcgi__url_tidy(text, len, merge);
  if (len != strlen(wanted) || memcmp(text, wanted, len) != 0)
    fail_msg("\"%s\" is \"%.*s\", not \"%s\"", path, (int)len, text, wanted);
}

static void test_targets(void **state) {
  static const struct {
    const char *target, *path;
  } targets[] = {{"", ""},
                 {"/", "/"},
                 {"/a?b", "/a"},
                 {"?b", ""},
                 {"a:b", "a:b"},
                 {"a:/b", "a:/b"},
                 {"http://", "/"},
                 {"http://h", "/"},
                 {"http://h/a/b?c", "/a/b"},
                 {"http://h?c/d", "/"},
                 {"/a://b/c", "/a://b/c"}};
  fcgi__span none = fcgi__url_path((fcgi__span){NULL, 0});
  (void)state;
  assert_int_equal(none.len, 0);
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
    size_t len = strlen(targets[i].target);
    char *exact = unit_exact_copy(targets[i].target, len);
    fcgi__span got = fcgi__url_path((fcgi__span){exact, len});
    assert_int_equal(got.len, strlen(targets[i].path));
    assert_memory_equal(got.data, targets[i].path, got.len);
    free(exact);
  }
}

static void test_tidy(void **state) {
  static const char *const merged[][2] = {
      {"/", "/"},
      {"", ""},
      {"/.", "/"},
      {"/..", "/"},
      {"/../..", "/"},
      {"/a/.", "/a/"},
      {"/a/..", "/"},
      {"/a/../", "/"},
      {"/a/../b", "/b"},
      {"/a/b/../../c", "/c"},
      {"/a/./b", "/a/b"},
      {"//", "/"},
      {"//a///b//", "/a/b/"},
      {"/a//../b", "/b"},
      {"/...", "/..."},
      {"/a/.b/..c", "/a/.b/..c"},
      {"/..a/../b", "/b"},
      {"a/../b", "a/../b"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof merged / sizeof *merged; i++)
    expect_tidy(merged[i][0], 1, merged[i][1]);
  expect_tidy("/a//b", 0, "/a//b");
  expect_tidy("//a/", 0, "//a/");
  expect_tidy("/a//../b", 0, "/a/b");
  expect_tidy("/a//./c/../b", 0, "/a//b");
}
static void expect_decoded(const char *raw, int keep, const char *wanted) {
  char text[64];
  fcgi__span span = {raw, strlen(raw)};
  size_t len = fcgi__url_decode(span, text, keep);
  if (len != strlen(wanted) || memcmp(text, wanted, len) != 0)
    fail_msg("\"%s\" is \"%.*s\", not \"%s\"", raw, (int)len, text, wanted);
}

static void test_decode(void **state) {
  (void)state;
  expect_decoded("/a%2fb%2Fc%20d", 0, "/a/b/c d");
  expect_decoded("/a%2fb%2Fc%20d", 1, "/a%2fb%2Fc d");
  expect_decoded("/a%252fb%2", 1, "/a%2fb%2");
  assert_int_equal(fcgi__url_has_slashes((fcgi__span){"/a%2", 4}), 0);
  assert_int_equal(fcgi__url_has_slashes((fcgi__span){"%20%2F", 6}), 1);
  assert_int_equal(fcgi__url_has_slashes((fcgi__span){NULL, 0}), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_targets),
      cmocka_unit_test(test_tidy),
      cmocka_unit_test(test_decode),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
