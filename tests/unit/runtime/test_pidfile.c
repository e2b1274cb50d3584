/* SPDX-License-Identifier: MIT */
#include "runtime/pidfile.h"
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct place {
  char directory[64]; /* Temporary. */
  char path[96];      /* A file in it. */
  char why[256];      /* The complaint. */
} place;

static void set_up(place *p) {
  *p = (place){.directory = "/tmp/fastcgi-unit-XXXXXX"};
  assert_non_null(mkdtemp(p->directory));
  snprintf(p->path, sizeof p->path, "%s/pid", p->directory);
}

static void tear_down(place *p) {
  unlink(p->path);
  assert_int_equal(rmdir(p->directory), 0);
}

static long read_number(const place *p) {
  long number = -1;
  FILE *file = fopen(p->path, "r");
  assert_non_null(file);
  if (fscanf(file, "%ld", &number) != 1)
    number = -1;
  fclose(file);
  return number;
}

static void test_holds_our_number_until_removed(void **state) {
  place p;
  fcgi__pidfile file;
  (void)state;
  set_up(&p);
  assert_int_equal(fcgi__pidfile_open(&file, p.path, p.why, sizeof p.why), 0);
  fcgi__pidfile_write(&file);
  assert_int_equal(read_number(&p), getpid());
  fcgi__pidfile_remove(&file);
  assert_int_equal(access(p.path, F_OK), -1);
  fcgi__pidfile_remove(&file);
  tear_down(&p);
}

/* What counts is the lock: an old file with any number in it is taken over. */
static void test_second_one_is_refused_while_the_first_lives(void **state) {
  place p;
  fcgi__pidfile first, second;
  char number[24];
  (void)state;
  set_up(&p);
  assert_int_equal(fcgi__pidfile_open(&first, p.path, p.why, sizeof p.why), 0);
  fcgi__pidfile_write(&first);
  assert_int_equal(fcgi__pidfile_open(&second, p.path, p.why, sizeof p.why),
                   -1);
  snprintf(number, sizeof number, "pid %ld,", (long)getpid());
  assert_non_null(strstr(p.why, number));
  assert_non_null(strstr(p.why, p.path));
  fcgi__pidfile_leave(&first);
  assert_int_equal(fcgi__pidfile_open(&second, p.path, p.why, sizeof p.why), 0);
  fcgi__pidfile_remove(&second);
  tear_down(&p);
}

static void test_path_that_cannot_be_made_is_explained(void **state) {
  fcgi__pidfile file;
  char why[256];
  (void)state;
  assert_int_equal(
      fcgi__pidfile_open(&file, "/nonexistent/pid", why, sizeof why), -1);
  assert_string_equal(why,
                      "pid file /nonexistent/pid: No such file or directory");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_holds_our_number_until_removed),
      cmocka_unit_test(test_second_one_is_refused_while_the_first_lives),
      cmocka_unit_test(test_path_that_cannot_be_made_is_explained),
  };
  return cmocka_run_group_tests_name("pidfile", tests, NULL, NULL);
}
