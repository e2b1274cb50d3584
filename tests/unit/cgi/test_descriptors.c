/* SPDX-License-Identifier: MIT */
/* A CGI start without one of the standard descriptors, or with none left. */
#include "cgi/cgi.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_SECONDS = 60, ROOM = 32 };

static void do_nothing(void *data) {
  (void)data;
}

static void say_nothing(void *data, const char *line) {
  (void)data;
  (void)line;
}

/* 0: it was started; 1: refused for the system's sake, and nothing is left. */
static int start(void) {
  static const fcgi__cgi_owner owner = {say_nothing, do_nothing, NULL, 10};
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  char method[] = "REQUEST_METHOD=GET";
  char *environment[] = {method, NULL};
  fcgi__cgi *cgi;
  int offer, error;
  error = fcgi__cgi_start(&cgi, &owner, &allocator, environment, &offer);
  if (error)
    return error == FCGI_ERR_SYSTEM && offer < 0 ? 1 : 2;
  close(offer);
  fcgi__cgi_free(cgi, &allocator);
  return 0;
}

/* What `start` says in a child that lacks `closed`, and may have `most`. */
static int start_without(int closed, rlim_t most) {
  int status;
  pid_t child = fork();
  if (child == 0) {
    const struct rlimit limit = {most, most};
    alarm(CHILD_SECONDS);
    for (int fd = STDERR_FILENO + 1; fd < ROOM; fd++)
      close(fd);
    if (closed >= 0)
      close(closed);
    setrlimit(RLIMIT_NOFILE, &limit);
    _exit(start());
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void test_each_standard_descriptor_is_needed(void **state) {
  (void)state;
  assert_int_equal(start_without(-1, ROOM), 0);
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    assert_int_equal(start_without(fd, ROOM), 1);
}

static void test_none_is_left(void **state) {
  rlim_t most = STDERR_FILENO + 1;
  (void)state;
  while (start_without(-1, most) == 1)
    assert_true(++most < ROOM);
  assert_int_equal(start_without(-1, most), 0);
  assert_in_range(most, STDERR_FILENO + 6, ROOM);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_standard_descriptor_is_needed),
      cmocka_unit_test(test_none_is_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
