/* SPDX-License-Identifier: MIT */
/* What a log shows of bytes that somebody else chose. */
#include "observe/logtext.h"
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(const char *bytes, size_t len, fcgi__log_style style,
                   size_t most, const char *wanted) {
  fcgi__log_text line = {.len = 0};
  char *exact = unit_exact_copy(bytes, len);
  fcgi__log_escape(&line, exact, len, style, most);
  free(exact);
  if (line.len != strlen(wanted) || memcmp(line.data, wanted, line.len) != 0)
    fail_msg("'%.*s' for '%s'", (int)line.len, line.data, wanted);
}

/* Each byte alone: as it is only from blank to tilde, but for two of them. */
static void test_every_single_byte(void **state) {
  (void)state;
  for (int byte = 0; byte < 256; byte++) {
    char text[1] = {(char)byte}, plain[8], json[8];
    int as_is = byte >= 0x20 && byte <= 0x7E && byte != '"' && byte != '\\';
    snprintf(plain, sizeof plain, as_is ? "%c" : "\\x%02x", byte);
    snprintf(json, sizeof json,
             as_is                         ? "%c"
             : byte == '"' || byte == '\\' ? "\\%c"
             : byte < 0x80                 ? "\\u%04x"
                                           : "\\\\x%02x",
             byte);
    expect(text, 1, FCGI__LOG_PLAIN, 100, plain);
    expect(text, 1, FCGI__LOG_JSON, 100, json);
  }
}

/* The first and the last of each kind of character, and what is beside them
   (RFC 3629): the bytes of that are shown one by one. */
static void test_characters_of_several_bytes(void **state) {
  static const struct {
    const char *bytes; /* The character, or what is none. */
    int good;          /* 1: it is shown as it is. */
  } rows[] = {
      {"\xC2\xA0", 1},         {"\xC2\x9F", 0},         {"\xC1\xBF", 0},
      {"\xC2\xBF", 1},         {"\xC2\xC0", 0},         {"\xDF\xBF", 1},
      {"\xDF\xC0", 0},         {"\xDF\x80", 1},         {"\xDF\x7F", 0},
      {"\xE0\xA0\x80", 1},     {"\xE0\x9F\xBF", 0},     {"\xE0\xBF\xBF", 1},
      {"\xE1\x80\x80", 1},     {"\xE1\x80\x7F", 0},     {"\xE1\x80\xBF", 1},
      {"\xE1\x80\xC0", 0},     {"\xED\x9F\xBF", 1},     {"\xED\xA0\x80", 0},
      {"\xEF\xBF\xBD", 1},     {"\xF0\x90\x80\x80", 1}, {"\xF0\x8F\xBF\xBF", 0},
      {"\xF1\x80\x80\x80", 1}, {"\xF1\x80\x80\x7F", 0}, {"\xF4\x8F\xBF\xBF", 1},
      {"\xF4\x90\x80\x80", 0}, {"\xF5\x80\x80\x80", 0}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char escaped[32] = "", *at = escaped;
    for (const char *b = rows[i].bytes; *b; b++)
      at += (unsigned char)*b < 0x80
                ? sprintf(at, (unsigned char)*b == 0x7F ? "\\x7f" : "%c", *b)
                : sprintf(at, "\\x%02x", (unsigned char)*b);
    if (rows[i].good)
      expect(rows[i].bytes, strlen(rows[i].bytes), FCGI__LOG_PLAIN, 100,
             rows[i].bytes);
    else if (strlen(rows[i].bytes) == 2)
      expect(rows[i].bytes, 2, FCGI__LOG_PLAIN, 100, escaped);
    else
      expect(rows[i].bytes, 1, FCGI__LOG_PLAIN, 4,
             (char[5]){escaped[0], escaped[1], escaped[2], escaped[3]});
  }
}

static void test_a_character_that_is_cut_is_none(void **state) {
  (void)state;
  expect("\xE1\x80", 2, FCGI__LOG_PLAIN, 100, "\\xe1\\x80");
  expect("a\xC3", 2, FCGI__LOG_PLAIN, 100, "a\\xc3");
  expect("\xF0\x9F\x98", 3, FCGI__LOG_JSON, 100, "\\\\xf0\\\\x9f\\\\x98");
}

static void test_no_more_than_the_most(void **state) {
  (void)state;
  expect("abcd", 4, FCGI__LOG_PLAIN, 4, "abcd");
  expect("abcde", 5, FCGI__LOG_PLAIN, 4, "abcd...");
  expect("ab\n", 3, FCGI__LOG_PLAIN, 6, "ab\\x0a");
  expect("ab\n", 3, FCGI__LOG_PLAIN, 5, "ab...");
  expect("a\xC3\xA4", 3, FCGI__LOG_PLAIN, 2, "a...");
}

static void test_a_line_that_is_full_says_so(void **state) {
  static char full[FCGI__LOG_LINE];
  (void)state;
  memset(full, 'x', sizeof full);
  for (size_t over = 0; over < 2; over++) {
    fcgi__log_text line = {.len = 0};
    size_t room = FCGI__LOG_LINE - strlen("...\n");
    fcgi__log_put(&line, full, room - 1);
    fcgi__log_escape(&line, over ? "\n" : "y", 1, FCGI__LOG_PLAIN, 100);
    fcgi__log_put(&line, "", 0);
    assert_int_equal(line.cut, over);
    fcgi__log_finish(&line);
    assert_int_equal(line.len, room - over + (over ? 4 : 1));
    assert_int_equal(line.data[line.len - 1], '\n');
    assert_int_equal(line.data[line.len - 2], over ? '.' : 'y');
  }
}

static void test_put_takes_what_fits(void **state) {
  static char full[FCGI__LOG_LINE];
  fcgi__log_text line = {.len = 0};
  (void)state;
  fcgi__log_put(&line, full, sizeof full);
  assert_int_equal(line.len, FCGI__LOG_LINE - 4);
  assert_int_equal(line.cut, 1);
  fcgi__log_put(&line, "a", 1);
  assert_int_equal(line.len, FCGI__LOG_LINE - 4);
}

static void test_print_keeps_to_its_room(void **state) {
  fcgi__log_text line = {.len = 0};
  (void)state;
  fcgi__log_print(&line, "%d-%s", 7, "a");
  assert_int_equal(line.len, 3);
  assert_memory_equal(line.data, "7-a", 3);
  fcgi__log_print(&line, "%300d", 1);
  assert_int_equal(line.len, 3 + 255);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_single_byte),
      cmocka_unit_test(test_characters_of_several_bytes),
      cmocka_unit_test(test_a_character_that_is_cut_is_none),
      cmocka_unit_test(test_no_more_than_the_most),
      cmocka_unit_test(test_a_line_that_is_full_says_so),
      cmocka_unit_test(test_put_takes_what_fits),
      cmocka_unit_test(test_print_keeps_to_its_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
