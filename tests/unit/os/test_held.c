/* SPDX-License-Identifier: MIT */
#include "os/held.h"
#include "support/unit.h"

#include <sched.h>

enum { THREADS = 2, EACH = 20000 };

static fcgi__late late(unsigned number) {
  return (fcgi__late){.report = {.events = number}, .at = (long long)number};
}

static void put(fcgi__held *held, unsigned first, int count, int room) {
  fcgi__late list[FCGI__HELD_MOST + 8];
  for (int i = 0; i < count; i++)
    list[i] = late(first + (unsigned)i);
  assert_int_equal(fcgi__held_put(held, list, count), room);
}

static void expect(fcgi__held *held, unsigned first, int count) {
  fcgi__late found;
  for (int i = 0; i < count; i++) {
    assert_true(fcgi__held_any(held));
    assert_int_equal(fcgi__held_take(held, &found), 1);
    assert_int_equal(found.report.events, first + (unsigned)i);
    assert_int_equal(found.at, first + (unsigned)i);
  }
}

static void test_they_come_in_their_order(void **state) {
  fcgi__held held = {.first = 0};
  fcgi__late found;
  (void)state;
  fcgi__held_init(&held);
  assert_int_equal(fcgi__held_take(&held, &found), 0);
  for (unsigned turn = 0; turn < 100; turn++) {
    put(&held, turn, 3, 3);
    put(&held, turn + 3, 2, 2);
    expect(&held, turn, 5);
    assert_false(fcgi__held_any(&held));
  }
  fcgi__held_clear(&held);
}

static void test_there_is_room_for_so_many(void **state) {
  fcgi__held held = {.first = 0};
  (void)state;
  fcgi__held_init(&held);
  put(&held, 0, 5, 5);
  expect(&held, 0, 5);
  put(&held, 10, FCGI__HELD_MOST + 8, FCGI__HELD_MOST);
  put(&held, 900, 1, 0);
  expect(&held, 10, 1);
  put(&held, 10 + FCGI__HELD_MOST, 2, 1);
  expect(&held, 11, FCGI__HELD_MOST);
  assert_false(fcgi__held_any(&held));
  fcgi__held_clear(&held);
}

/* Threads that put and threads that take. */
typedef struct crowd {
  fcgi__held held;       /* What they share. */
  atomic_uint seen;      /* How many were taken. */
  atomic_ullong numbers; /* Their sum. */
} crowd;

static void *put_all(void *data) {
  crowd *c = data;
  for (unsigned i = 0; i < EACH; i++) {
    fcgi__late one = late(i);
    while (fcgi__held_put(&c->held, &one, 1) == 0)
      sched_yield();
  }
  return NULL;
}

static void *take_all(void *data) {
  crowd *c = data;
  fcgi__late found;
  while (atomic_load(&c->seen) < THREADS * EACH)
    if (fcgi__held_take(&c->held, &found)) {
      atomic_fetch_add(&c->numbers, found.report.events);
      atomic_fetch_add(&c->seen, 1);
    } else {
      sched_yield();
    }
  return NULL;
}

static void test_each_is_taken_once_by_whichever_thread(void **state) {
  crowd c = {.held = {.first = 0}};
  pthread_t threads[2 * THREADS];
  (void)state;
  fcgi__held_init(&c.held);
  for (int i = 0; i < 2 * THREADS; i++)
    assert_int_equal(
        pthread_create(&threads[i], NULL, i % 2 ? put_all : take_all, &c), 0);
  for (int i = 0; i < 2 * THREADS; i++)
    pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&c.seen), THREADS * EACH);
  assert_true(atomic_load(&c.numbers) ==
              (unsigned long long)THREADS * EACH * (EACH - 1) / 2);
  assert_false(fcgi__held_any(&c.held));
  fcgi__held_clear(&c.held);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_they_come_in_their_order),
      cmocka_unit_test(test_there_is_room_for_so_many),
      cmocka_unit_test(test_each_is_taken_once_by_whichever_thread),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
