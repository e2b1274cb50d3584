/* SPDX-License-Identifier: MIT */
/* What a worker and its supervisor read about the workers of a scoreboard. */
#include "board/scoreboard.h"
#include "os/clock.h"
#include "support/unit.h"

#include <stdlib.h>

enum { LIMIT = 10, SECOND = 1000000 };

static int set_up(void **state) {
  fcgi__board *board = calloc(1, sizeof *board);
  *state = board;
  return fcgi__board_new(board, 4);
}

static int tear_down(void **state) {
  fcgi__board_free(*state);
  free(*state);
  return 0;
}

static void set(fcgi__board_slot *slot, fcgi_metric metric, uint64_t value) {
  atomic_store(&slot->counts.values[metric], value);
}

/* A worker that serves. */
static fcgi__board_slot *ready(fcgi__board *board, int number,
                               uint64_t connections, uint64_t requests) {
  fcgi__board_slot *slot = fcgi__board_slot_at(board, number);
  atomic_store(&slot->state, FCGI_WORKER_READY);
  set(slot, FCGI_METRIC_OPEN, connections);
  set(slot, FCGI_METRIC_QUEUED, requests);
  return slot;
}

static fcgi__board_others count(const fcgi__board *board, uint64_t open) {
  return fcgi__board_count_others(board, fcgi__board_slot_at(board, 0), open,
                                  LIMIT);
}

static void test_only_others_that_serve_are_counted(void **state) {
  fcgi__board *board = *state;
  ready(board, 0, 50, 50);
  atomic_store(&ready(board, 2, 50, 50)->state, FCGI_WORKER_DRAINING);
  fcgi__board_others others = count(board, 50);
  assert_int_equal(others.ready, 0);
  assert_int_equal(others.over, 0);
  assert_int_equal(others.least, UINT64_MAX);
  atomic_store(&ready(board, 1, 1, 3)->idle, 2);
  set(ready(board, 3, 1, 4), FCGI_METRIC_ACTIVE, 1);
  others = count(board, 0);
  assert_int_equal(others.ready, 2);
  assert_int_equal(others.idle, 2);
  assert_int_equal(others.open, 8);
  assert_int_equal(others.least, 3);
}

/* Equal numbers are not made unequal, and who is busy gets nothing. */
static void test_who_has_two_connections_less_is_poorer(void **state) {
  fcgi__board *board = *state;
  fcgi__board_slot *other = ready(board, 1, 3, 0);
  assert_false(count(board, 5).poorer);
  atomic_store(&other->idle, 1);
  assert_true(count(board, 5).poorer);
  assert_false(count(board, 4).poorer);
  atomic_store(&other->taking, 1);
  assert_false(count(board, 5).poorer);
  assert_true(count(board, 6).poorer);
}

static void test_connections_beyond_the_limit(void **state) {
  fcgi__board *board = *state;
  fcgi__board_slot *other = ready(board, 1, LIMIT, 0);
  ready(board, 2, LIMIT + 3, 0);
  ready(board, 3, LIMIT - 1, 0);
  assert_int_equal(count(board, 0).over, 3);
  atomic_store(&other->taking, 2);
  assert_int_equal(count(board, 0).over, 5);
}

/* It is past the deadline in every handler, and nothing else waits for it. */
static void test_nothing_is_lost_with_one_that_is_overdue(void **state) {
  fcgi__board *board = *state;
  fcgi__board_slot *slot = ready(board, 1, 0, 0);
  assert_false(fcgi__board_only_overdue(board, 1));
  set(slot, FCGI_METRIC_ACTIVE, 2);
  set(slot, FCGI_METRIC_OVERDUE, 1);
  assert_false(fcgi__board_only_overdue(board, 1));
  set(slot, FCGI_METRIC_OVERDUE, 2);
  assert_true(fcgi__board_only_overdue(board, 1));
  set(slot, FCGI_METRIC_QUEUED, 1);
  assert_false(fcgi__board_only_overdue(board, 1));
  assert_false(fcgi__board_only_overdue(board, -1));
}

static void test_how_long_a_worker_is_silent(void **state) {
  fcgi__board *board = *state;
  fcgi__board_slot *slot = ready(board, 1, 0, 0);
  uint64_t now = fcgi__now_us();
  atomic_store(&slot->alive_us, now - 2 * SECOND);
  assert_in_range(fcgi__board_silent_ms(board, 1), 2000, 60000);
  atomic_store(&slot->alive_us, now + 100ull * SECOND);
  assert_int_equal(fcgi__board_silent_ms(board, 1), 0);
  assert_int_equal(fcgi__board_silent_ms(board, 4), -1);
}

/* The one that has been late for longest counts; one that has come back does
   not. */
static void test_how_late_the_latest_handler_is(void **state) {
  fcgi__board *board = *state;
  fcgi__board_slot *slot = ready(board, 1, 0, 0);
  uint64_t now = fcgi__now_us();
  const int seconds[] = {5, 50, 500};
  for (int i = 0; i < 3; i++) {
    atomic_store(&slot->entries[i].overdue_us,
                 now - (uint64_t)seconds[i] * SECOND);
    atomic_store(&slot->entries[i].phase, FCGI_PHASE_OVERDUE);
  }
  atomic_store(&slot->entries[2].phase, FCGI_PHASE_SENDING);
  assert_in_range(fcgi__board_overdue_ms(board, 1), 50000, 400000);
}

/* The most that ever waited stays. */
static void test_how_many_waited_at_once(void **state) {
  fcgi__board *board = *state;
  fcgi__board_note_backlog(board, (fcgi__backlog){3, 128});
  fcgi__board_note_backlog(board, (fcgi__backlog){5, 128});
  fcgi__board_note_backlog(board, (fcgi__backlog){4, 100});
  assert_int_equal(atomic_load(&board->head->listen_queue), 4);
  assert_int_equal(atomic_load(&board->head->listen_queue_max), 5);
  assert_int_equal(atomic_load(&board->head->listen_queue_limit), 100);
}

#define BOARD_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BOARD_TEST(test_only_others_that_serve_are_counted),
      BOARD_TEST(test_who_has_two_connections_less_is_poorer),
      BOARD_TEST(test_connections_beyond_the_limit),
      BOARD_TEST(test_nothing_is_lost_with_one_that_is_overdue),
      BOARD_TEST(test_how_long_a_worker_is_silent),
      BOARD_TEST(test_how_late_the_latest_handler_is),
      BOARD_TEST(test_how_many_waited_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
