/* SPDX-License-Identifier: MIT */
/* What is not written yet when a server's logs end. */
#include "base/alloc.h"
#include "observe/logs.h"
#include "os/clock.h"
#include "support/lateness.h"
#include "support/unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINES = 40, LINE = 4000, LATE_MS = 100, END_MS = 1000, MORE_MS = 100 };

/* A log that is a named pipe. */
typedef struct piped {
  char directory[32]; /* Where it is. */
  char path[64];      /* Its name. */
  int reader;         /* The other end; nobody reads yet. */
  fcgi__logs *logs;   /* What writes to it. */
} piped;

static int set_up(void **state) {
  static const fcgi__log_sink sink = {.levels = 0};
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  piped *p = calloc(1, sizeof *p);
  char why[256];
  strcpy(p->directory, "/tmp/fastcgi-unit-XXXXXX");
  assert_non_null(mkdtemp(p->directory));
  snprintf(p->path, sizeof p->path, "%s/log", p->directory);
  assert_int_equal(mkfifo(p->path, 0600), 0);
  p->reader = open(p->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  p->logs = fcgi__logs_make(&allocator, &sink);
  assert_int_equal(fcgi__logs_set(p->logs, FCGI__LOG_ERRORS, p->path, 1 << 20),
                   0);
  assert_int_equal(fcgi__logs_open(p->logs, why, sizeof why), 0);
  fcgi__logs_start(p->logs);
  *state = p;
  return 0;
}

static int tear_down(void **state) {
  piped *p = *state;
  close(p->reader);
  unlink(p->path);
  rmdir(p->directory);
  free(p);
  return 0;
}

/* More lines than the pipe holds. */
static void add_lines(piped *p) {
  char *line = malloc(LINE);
  memset(line, 'a', LINE - 1);
  line[LINE - 1] = '\n';
  for (int i = 0; i < LINES; i++)
    fcgi__logs_put(p->logs, FCGI__LOG_ERRORS, line, LINE);
  free(line);
}

/* Reads to the end of the pipe, late; returns how many bytes there were. */
static void *read_late(void *data) {
  const piped *p = data;
  char room[4096];
  size_t total = 0;
  ssize_t len;
  usleep(LATE_MS * 1000);
  fcntl(p->reader, F_SETFL, 0);
  while ((len = read(p->reader, room, sizeof room)) > 0)
    total += (size_t)len;
  return (void *)total;
}

static void test_a_late_reader_gets_them(void **state) {
  piped *p = *state;
  pthread_t thread;
  void *total;
  add_lines(p);
  assert_int_equal(pthread_create(&thread, NULL, read_late, p), 0);
  fcgi__logs_end(p->logs);
  pthread_join(thread, &total);
  assert_int_equal((size_t)total, LINES * LINE);
}

/* The end is late once, by a second, not once for the flush and once more. */
static void test_nobody_reads(void **state) {
  piped *p = *state;
  long long began = fcgi__now();
  lateness first, rest;
  add_lines(p);
  lateness_begin(&first);
  fcgi__logs_flush(p->logs);
  assert_true(fcgi__now() - began >= END_MS);
  lateness_expect(&first, END_MS);
  lateness_begin(&rest);
  fcgi__logs_flush(p->logs);
  fcgi__logs_end(p->logs);
  lateness_expect(&rest, MORE_MS);
}

static void test_nobody_reads_at_the_end(void **state) {
  piped *p = *state;
  lateness all;
  add_lines(p);
  lateness_begin(&all);
  fcgi__logs_end(p->logs);
  lateness_expect(&all, END_MS + MORE_MS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_a_late_reader_gets_them, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(test_nobody_reads, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_nobody_reads_at_the_end, set_up,
                                      tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
