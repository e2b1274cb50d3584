/* SPDX-License-Identifier: MIT */
/* Bytes that wait to be read: where they lie, and that their order stays. */
#include "os/spool.h"
#include "support/unit.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LIMIT = 5, LARGE = 65536 };

typedef struct scene {
  fcgi__spool spool;        /* Under test. */
  fcgi_allocator allocator; /* Of its memory. */
} scene;

static int set_up(void **state) {
  scene *s = calloc(1, sizeof *s);
  s->spool.fd = -1;
  s->allocator = fcgi__allocator(NULL);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  scene *s = *state;
  fcgi__spool_clear(&s->spool, &s->allocator);
  free(s);
  return 0;
}

static int add_bytes(scene *s, const void *data, size_t len) {
  return fcgi__spool_append(&s->spool, &s->allocator, data, len, LIMIT, "/tmp");
}

static void add(scene *s, const char *text) {
  assert_int_equal(add_bytes(s, text, strlen(text)), 0);
}

/* What is read with so much room at once; "" for nothing. */
static const char *take(scene *s, char out[64], size_t most) {
  ptrdiff_t len = fcgi__spool_read(&s->spool, out, most);
  assert_in_range(len, 0, most);
  out[len] = '\0';
  return out;
}

static void test_what_reaches_the_limit_stays_in_memory(void **state) {
  scene *s = *state;
  add(s, "ab");
  add(s, "cde");
  assert_int_equal(s->spool.fd, -1);
  add(s, "f");
  assert_true(s->spool.fd >= 0);
  assert_int_equal(s->spool.memory.len, LIMIT);
  assert_int_equal(s->spool.file_len, 1);
}

static void test_without_a_limit_all_is_in_memory(void **state) {
  scene *s = *state;
  assert_int_equal(
      fcgi__spool_append(&s->spool, &s->allocator, "abcdefgh", 8, 0, "/tmp"),
      0);
  assert_int_equal(s->spool.fd, -1);
  assert_int_equal(fcgi__spool_unread(&s->spool), 8);
}

static void test_memory_comes_before_the_file(void **state) {
  scene *s = *state;
  char text[64];
  add(s, "abcdefgh");
  assert_int_equal(fcgi__spool_unread(&s->spool), 8);
  assert_string_equal(take(s, text, 3), "abc");
  assert_int_equal(fcgi__spool_unread(&s->spool), 5);
  assert_string_equal(take(s, text, 60), "de");
  assert_string_equal(take(s, text, 2), "fg");
  assert_int_equal(fcgi__spool_unread(&s->spool), 1);
  assert_string_equal(take(s, text, 60), "h");
  assert_string_equal(take(s, text, 60), "");
  assert_int_equal(fcgi__spool_unread(&s->spool), 0);
}

/* Memory that has been read has room, but what lies in the file is older. */
static void test_what_comes_later_is_read_later(void **state) {
  scene *s = *state;
  char text[64];
  add(s, "abcdefgh");
  assert_string_equal(take(s, text, 60), "abcde");
  add(s, "ij");
  assert_int_equal(s->spool.memory.len, 0);
  assert_string_equal(take(s, text, 60), "fghij");
}

static void test_a_file_that_is_read_makes_room(void **state) {
  scene *s = *state;
  char text[64];
  add(s, "abcdefgh");
  take(s, text, 60);
  assert_string_equal(take(s, text, 60), "fgh");
  add(s, "ijklmno");
  assert_int_equal(s->spool.memory.len, LIMIT);
  assert_int_equal(lseek(s->spool.fd, 0, SEEK_END), 2);
  assert_string_equal(take(s, text, 60), "ijklm");
  assert_string_equal(take(s, text, 60), "no");
  assert_int_equal(fcgi__spool_rewind(&s->spool), FCGI_ERR_STATE);
}

static void test_all_is_read_once_more(void **state) {
  scene *s = *state;
  char text[64];
  add(s, "abcdefgh");
  take(s, text, 60);
  take(s, text, 60);
  assert_int_equal(fcgi__spool_rewind(&s->spool), 0);
  assert_int_equal(fcgi__spool_unread(&s->spool), 8);
  assert_string_equal(take(s, text, 60), "abcde");
  assert_string_equal(take(s, text, 60), "fgh");
}

/* What is read is held until more comes in its place; a little of it also
   then. */
static void test_what_has_been_read_is_held_for_a_while(void **state) {
  scene *s = *state;
  char text[64];
  add(s, "abc");
  take(s, text, 2);
  add(s, "d");
  assert_int_equal(fcgi__spool_rewind(&s->spool), 0);
  assert_string_equal(take(s, text, 60), "abcd");
  add(s, "e");
  assert_int_equal(fcgi__spool_rewind(&s->spool), FCGI_ERR_STATE);
  assert_string_equal(take(s, text, 60), "e");
}

/* Of much that is in memory, half has to be read before it moves: 1 when more
   has come in place of what was read. */
static int moves(scene *s, size_t len, size_t read) {
  static char bytes[4 * LARGE];
  fcgi__spool_clear(&s->spool, &s->allocator);
  assert_int_equal(
      fcgi__spool_append(&s->spool, &s->allocator, bytes, len, 0, "/tmp"), 0);
  assert_int_equal(fcgi__spool_read(&s->spool, bytes, read), read);
  assert_int_equal(
      fcgi__spool_append(&s->spool, &s->allocator, "x", 1, 0, "/tmp"), 0);
  assert_int_equal(fcgi__spool_unread(&s->spool), len - read + 1);
  return fcgi__spool_rewind(&s->spool) == FCGI_ERR_STATE;
}

static void test_half_of_much_is_read_before_it_moves(void **state) {
  scene *s = *state;
  assert_true(moves(s, 2 * LARGE, LARGE));
  assert_false(moves(s, 2 * LARGE + 2, LARGE));
  assert_false(moves(s, LARGE, LARGE - 1));
  assert_true(moves(s, LARGE - 1, LARGE - 1));
}

static void test_a_file_that_is_cut_is_a_fault(void **state) {
  scene *s = *state;
  char text[64];
  add(s, "abcdefgh");
  take(s, text, 60);
  assert_int_equal(ftruncate(s->spool.fd, 0), 0);
  assert_int_equal(fcgi__spool_read(&s->spool, text, 60), FCGI_ERR_SYSTEM);
}

static void test_without_a_folder_nothing_goes_past_the_limit(void **state) {
  scene *s = *state;
  assert_int_equal(fcgi__spool_append(&s->spool, &s->allocator, "abcdefgh", 8,
                                      LIMIT, "/nowhere/at/all"),
                   FCGI_ERR_SYSTEM);
  assert_int_equal(errno, ENOENT);
}

/* Beyond RLIMIT_FSIZE a write would end the program. */
static void test_the_largest_file(void **state) {
  scene *s = *state;
  struct rlimit before, few;
  int at_limit, beyond, why;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  few = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
  at_limit = add_bytes(s, "abcdefgh", 8);
  beyond = add_bytes(s, "i", 1);
  why = errno;
  setrlimit(RLIMIT_FSIZE, &before);
  assert_int_equal(at_limit, 0);
  assert_int_equal(beyond, FCGI_ERR_SYSTEM);
  assert_int_equal(why, EFBIG);
  assert_int_equal(fcgi__spool_unread(&s->spool), 8);
}

static void test_the_file_goes_with_the_rest(void **state) {
  scene *s = *state;
  int fd;
  add(s, "abcdefgh");
  fd = s->spool.fd;
  assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
  fcgi__spool_clear(&s->spool, &s->allocator);
  assert_int_equal(fcntl(fd, F_GETFD), -1);
  assert_int_equal(fcgi__spool_unread(&s->spool), 0);
}

#define SPOOL_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      SPOOL_TEST(test_what_reaches_the_limit_stays_in_memory),
      SPOOL_TEST(test_without_a_limit_all_is_in_memory),
      SPOOL_TEST(test_memory_comes_before_the_file),
      SPOOL_TEST(test_what_comes_later_is_read_later),
      SPOOL_TEST(test_a_file_that_is_read_makes_room),
      SPOOL_TEST(test_all_is_read_once_more),
      SPOOL_TEST(test_what_has_been_read_is_held_for_a_while),
      SPOOL_TEST(test_half_of_much_is_read_before_it_moves),
      SPOOL_TEST(test_a_file_that_is_cut_is_a_fault),
      SPOOL_TEST(test_without_a_folder_nothing_goes_past_the_limit),
      SPOOL_TEST(test_the_largest_file),
      SPOOL_TEST(test_the_file_goes_with_the_rest),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
