/* SPDX-License-Identifier: MIT */
/* Where a thread waits, in names of functions. */
#include "os/backtrace.h"
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct sleeper {
  int pipes[2];     /* What it waits for. */
  atomic_long tid;  /* Its number, once it is about to wait. */
  atomic_int after; /* Keeps calls from being the last thing done. */
} sleeper;

__attribute__((noinline)) static void waits_inside(sleeper *s) {
  char byte;
  atomic_store(&s->tid, syscall(SYS_gettid));
  assert_int_equal(read(s->pipes[0], &byte, 1), 1);
  atomic_fetch_add(&s->after, 1);
}

__attribute__((noinline)) static void calls_it(sleeper *s) {
  waits_inside(s);
  atomic_fetch_add(&s->after, 1);
}

static void *sleep_in_thread(void *data) {
  calls_it(data);
  return NULL;
}

/* 1 as soon as the thread sleeps. */
static int finds(long tid, char *text, size_t len, const char *name) {
  for (int i = 0; i < 20000; i++) {
    fcgi__backtrace(tid, text, len);
    if (strstr(text, name))
      return 1;
    usleep(1000);
  }
  return 0;
}

static void test_functions_of_a_sleeping_thread(void **state) {
  static char text[8192];
  sleeper s = {.pipes = {-1, -1}};
  pthread_t thread;
  (void)state;
#ifndef __linux__
  skip();
#endif
  assert_int_equal(pipe(s.pipes), 0);
  pthread_create(&thread, NULL, sleep_in_thread, &s);
  while (atomic_load(&s.tid) == 0)
    usleep(1000);
  fcgi__backtrace(atomic_load(&s.tid), text, sizeof text);
  if (access("/proc/self/task", R_OK) == 0)
    assert_true(finds(atomic_load(&s.tid), text, sizeof text, "waits_inside"));
  const char *inner = strstr(text, " waits_inside (unit_os_backtrace)\n");
  const char *outer = strstr(text, " calls_it (unit_os_backtrace)\n");
  const char *libc = strstr(text, "(libc");
  assert_non_null(inner);
  assert_non_null(outer);
  assert_true(inner < outer);
  assert_true(!libc || outer < libc);
  assert_int_equal(text[0], '#');
  assert_int_equal(write(s.pipes[1], "x", 1), 1);
  pthread_join(thread, NULL);
  close(s.pipes[0]);
  close(s.pipes[1]);
}

static void test_no_thread_and_little_room(void **state) {
  char text[64] = "x", little[4] = "x";
  (void)state;
  fcgi__backtrace(0, text, sizeof text);
  assert_string_equal(text, "");
  fcgi__backtrace(syscall(SYS_gettid), little, sizeof little);
  assert_true(strlen(little) < sizeof little);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_functions_of_a_sleeping_thread),
      cmocka_unit_test(test_no_thread_and_little_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
