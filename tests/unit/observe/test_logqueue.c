/* SPDX-License-Identifier: MIT */
/* Which lines find room in the queue of a log, which is a ring. */
#include "base/alloc.h"
#include "observe/logqueue.h"
#include "support/failing.h"
#include "support/unit.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 20 }; /* Each line takes two bytes more than it has. */

static void begin(fcgi__logs *logs, size_t first) {
  memset(logs, 0, sizeof *logs);
  logs->allocator = fcgi__allocator(NULL);
  logs->logs[0].room = ROOM;
  logs->logs[0].first = first;
}

static int push(fcgi__logs *logs, size_t len) {
  static const char text[] = "abcdefghijklmnopqrstuvwxyz";
  return fcgi__logqueue_push(logs, &logs->logs[0], text, len);
}

static void test_the_last_byte_is_used(void **state) {
  static fcgi__logs logs;
  (void)state;
  begin(&logs, 0);
  assert_int_equal(push(&logs, 6), 1);
  assert_int_equal(push(&logs, 11), 0);
  assert_int_equal(push(&logs, 10), 1);
  assert_int_equal(logs.logs[0].used, ROOM);
  assert_int_equal(push(&logs, 0), 0);
  free(logs.logs[0].queue);
}

/* From wherever the oldest line begins, round its end. */
static void test_lines_go_round(void **state) {
  static fcgi__logs logs;
  char expected[ROOM], *queue;
  (void)state;
  for (size_t first = 0; first < ROOM; first++) {
    begin(&logs, first);
    assert_int_equal(push(&logs, 5), 1);
    assert_int_equal(push(&logs, 11), 1);
    queue = logs.logs[0].queue;
    for (size_t i = 0; i < ROOM; i++)
      expected[i] = queue[(first + i) % ROOM];
    assert_memory_equal(expected + 2, "abcde", 5);
    assert_memory_equal(expected + 9, "abcdefghijk", 11);
    free(queue);
  }
}

static void test_without_memory_there_is_no_room(void **state) {
  static fcgi__logs logs;
  failing memory = {.until_failure = 0};
  (void)state;
  begin(&logs, 0);
  logs.allocator = failing_allocator(&memory);
  assert_int_equal(push(&logs, 5), 0);
  assert_int_equal(logs.logs[0].used, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_last_byte_is_used),
      cmocka_unit_test(test_lines_go_round),
      cmocka_unit_test(test_without_memory_there_is_no_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
