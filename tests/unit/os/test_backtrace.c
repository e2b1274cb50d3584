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

/* A call that does not return, and right after it another function. */
#if defined __x86_64__ && defined __linux__
#define HAVE_NEIGHBOURS 1
__asm__(".text\n"
        ".type ends_in_a_call, @function\n"
        "ends_in_a_call: ret\n"
        "call abort@PLT\n"
        ".size ends_in_a_call, . - ends_in_a_call\n"
        ".type begins_after_it, @function\n"
        "begins_after_it: ret\n"
        ".size begins_after_it, . - begins_after_it\n");
void begins_after_it(void);
#endif

typedef struct sleeper {
  int pipes[2];     /* What it waits for. */
  atomic_long tid;  /* Its number, once it is about to wait. */
  atomic_int after; /* Keeps calls from being the last thing done. */
} sleeper;

/* Not read(3), for which a sanitizer's own one stands: that has a large frame
   with remains of older ones in it. */
__attribute__((noinline)) static void waits_inside(sleeper *s) {
  char byte;
  atomic_store(&s->tid, syscall(SYS_gettid));
  assert_int_equal(syscall(SYS_read, s->pipes[0], &byte, 1), 1);
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

static void start(sleeper *s, pthread_t *thread, void *(*run)(void *)) {
  assert_int_equal(pipe(s->pipes), 0);
  assert_int_equal(pthread_create(thread, NULL, run, s), 0);
  while (atomic_load(&s->tid) == 0)
    usleep(1000);
}

static void finish(sleeper *s, pthread_t thread) {
  assert_int_equal(write(s->pipes[1], "x", 1), 1);
  pthread_join(thread, NULL);
  close(s->pipes[0]);
  close(s->pipes[1]);
}

#ifdef HAVE_NEIGHBOURS
static void *sleep_with_pointer(void *data) {
  void (*volatile on_the_stack)(void) = begins_after_it;
  sleeper *s = data;
  calls_it(s);
  on_the_stack();
  return NULL;
}

/* A function's address is no place that a call returns to. */
static void test_pointers_are_no_calls(void **state) {
  static char text[8192];
  sleeper s = {.pipes = {-1, -1}};
  pthread_t thread;
  (void)state;
  if (access("/proc/self/task", R_OK) != 0)
    skip();
  start(&s, &thread, sleep_with_pointer);
  assert_true(
      finds(atomic_load(&s.tid), text, sizeof text, "sleep_with_pointer"));
  assert_null(strstr(text, "ends_in_a_call"));
  assert_null(strstr(text, "begins_after_it"));
  finish(&s, thread);
}
#endif

static void test_functions_of_a_sleeping_thread(void **state) {
  static char text[8192];
  sleeper s = {.pipes = {-1, -1}};
  pthread_t thread;
  (void)state;
#ifndef __linux__
  skip();
#endif
  start(&s, &thread, sleep_in_thread);
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
  finish(&s, thread);
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
#ifdef HAVE_NEIGHBOURS
      cmocka_unit_test(test_pointers_are_no_calls),
#endif
      cmocka_unit_test(test_no_thread_and_little_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
