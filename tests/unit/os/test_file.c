/* SPDX-License-Identifier: MIT */
/* Files by their descriptors: how much of one is left, and copies. */
#include "os/file.h"
#include "support/unit.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <fastcgi/request.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_MOST = 64 << 20 };

/* A file without a name that has this text. */
static int file_of(const char *text) {
  int fd = fcgi__file_temporary("/tmp");
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, strlen(text)), strlen(text));
  return fd;
}

static void test_what_is_left_of_a_file(void **state) {
  int fd = file_of("abcdef");
  (void)state;
  assert_int_equal(fcgi_file_rest(fd, 0), 6);
  assert_int_equal(fcgi_file_rest(fd, 5), 1);
  assert_int_equal(fcgi_file_rest(fd, 6), 0);
  assert_int_equal(fcgi_file_rest(fd, 7), 0);
  close(fd);
  assert_int_equal(fcgi_file_rest(fd, 0), FCGI_ERR_SYSTEM);
  assert_int_equal(errno, EBADF);
}

static void test_an_empty_file_is_empty(void **state) {
  int fd = file_of("");
  (void)state;
  assert_int_equal(fcgi_file_rest(fd, 0), 0);
  close(fd);
}

static void test_a_folder_is_no_file(void **state) {
  int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  (void)state;
  assert_int_equal(fcgi_file_rest(fd, 0), FCGI_ERR_INVALID);
  close(fd);
}

static void test_whether_a_file_has_so_much(void **state) {
  int fd = file_of("abc");
  (void)state;
  assert_true(fcgi__file_has(fd, 2));
  assert_true(fcgi__file_has(fd, 3));
  assert_false(fcgi__file_has(fd, 4));
  close(fd);
  assert_false(fcgi__file_has(fd, 1));
}

/* Its size is 0, whatever it has. */
static void test_whether_a_file_of_the_kernel_has_so_much(void **state) {
  int fd = open("/proc/sys/kernel/ostype", O_RDONLY | O_CLOEXEC);
  (void)state;
  if (fd < 0)
    skip();
  assert_true(fcgi__file_has(fd, 1));
  assert_false(fcgi__file_has(fd, 4096));
  close(fd);
}

static void test_a_copy_has_the_rest(void **state) {
  int fd = file_of("abcdef"), copy = -1;
  struct stat about;
  char text[8] = "";
  (void)state;
  assert_int_equal(fcgi__file_copy(fd, 2, "/tmp", &copy), 4);
  assert_int_equal(pread(copy, text, sizeof text, 0), 4);
  assert_string_equal(text, "cdef");
  assert_int_equal(fstat(copy, &about), 0);
  assert_int_equal(about.st_nlink, 0);
  assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
  close(copy);
  assert_int_equal(fcgi__file_copy(fd, 6, "/tmp", &copy), 0);
  close(copy);
  close(fd);
}

static int next_descriptor(void) {
  int fd = dup(0);
  close(fd);
  return fd;
}

/* What has no end must not fill the disk; and no descriptor stays. */
static void test_a_copy_has_a_most(void **state) {
  int fd = file_of(""), copy = -1, next;
  (void)state;
  assert_int_equal(ftruncate(fd, COPY_MOST), 0);
  assert_int_equal(fcgi__file_copy(fd, 0, "/tmp", &copy), COPY_MOST);
  close(copy);
  next = next_descriptor();
  assert_int_equal(ftruncate(fd, COPY_MOST + 1), 0);
  assert_int_equal(fcgi__file_copy(fd, 0, "/tmp", &copy), FCGI_ERR_LIMIT);
  assert_int_equal(next_descriptor(), next);
  assert_int_equal(fcgi__file_copy(fd, 1, "/tmp", &copy), COPY_MOST);
  close(copy);
  close(fd);
}

static void test_what_cannot_be_read_is_not_copied(void **state) {
  int fd = open("/dev/null", O_WRONLY | O_CLOEXEC), copy = -1;
  int next = next_descriptor();
  (void)state;
  assert_int_equal(fcgi__file_copy(fd, 0, "/tmp", &copy), FCGI_ERR_SYSTEM);
  assert_int_equal(errno, EBADF);
  assert_int_equal(next_descriptor(), next);
  assert_int_equal(fcgi__file_copy(fd, 0, "/nowhere/at/all", &copy),
                   FCGI_ERR_SYSTEM);
  assert_int_equal(errno, ENOENT);
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_left_of_a_file),
      cmocka_unit_test(test_an_empty_file_is_empty),
      cmocka_unit_test(test_a_folder_is_no_file),
      cmocka_unit_test(test_whether_a_file_has_so_much),
      cmocka_unit_test(test_whether_a_file_of_the_kernel_has_so_much),
      cmocka_unit_test(test_a_copy_has_the_rest),
      cmocka_unit_test(test_a_copy_has_a_most),
      cmocka_unit_test(test_what_cannot_be_read_is_not_copied),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
