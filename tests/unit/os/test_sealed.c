/* SPDX-License-Identifier: MIT */
/* Memory that processes share, where files may not be as large. */
#include "os/sealed.h"
#include "support/unit.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 65536 };

/* In a child, as the limit stays: 0 for what was expected. */
static int status_of_child(rlim_t largest) {
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const struct rlimit limit = {largest, largest};
    int fd = setrlimit(RLIMIT_FSIZE, &limit) ? -2 : fcgi__sealed_new("x", SIZE);
    _exit(largest < SIZE ? fd != -1 || errno != EFBIG : fd < 0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void test_a_limit_of_files_ends_no_program(void **state) {
  (void)state;
  assert_int_equal(status_of_child(SIZE - 1), 0);
  assert_int_equal(status_of_child(SIZE), 0);
}

static void test_other_memory_is_refused(void **state) {
  int ends[2];
  void *memory = NULL;
  size_t size = 0;
  (void)state;
  assert_int_equal(pipe(ends), 0);
  assert_true(fcgi__sealed_map(ends[0], SIZE, &memory, &size) < 0);
  close(ends[0]);
  close(ends[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_limit_of_files_ends_no_program),
      cmocka_unit_test(test_other_memory_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
