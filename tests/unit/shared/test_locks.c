/* SPDX-License-Identifier: MIT */
/* Locks that programs take, and the latch that every operation takes: whoever
   holds one may be killed. */
#include "os/clock.h"
#include "shared/visit.h"
#include "support/sound.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROMPT_MS = 5000 }; /* Far less than any time to live here. */

static int set_up(void **state) {
  *state = unit_shared(FCGI_SHARED_LEAST);
  return 0;
}

static int tear_down(void **state) {
  fcgi_shared_free(*state);
  return 0;
}

static int lock(fcgi_shared *d, int wait_ms, uint64_t *token) {
  return fcgi_shared_lock(d, "key", 3, 600000, wait_ms, token);
}

static int unlock(fcgi_shared *d, uint64_t token) {
  return fcgi_shared_unlock(d, "key", 3, token);
}

static void test_one_holds_it(void **state) {
  fcgi_shared *d = *state;
  uint64_t first, second, other;
  fcgi_shared_value value;
  assert_int_equal(lock(d, FCGI_WAIT_NEVER, &first), 1);
  assert_int_equal(lock(d, FCGI_WAIT_NEVER, &second), 0);
  assert_int_equal(lock(d, 30, &second), 0);
  assert_int_equal(fcgi_shared_lock(d, "other", 5, 0, 0, &other), 1);
  assert_int_equal(unlock(d, first + 100), 0);
  assert_int_equal(unlock(d, first), 1);
  assert_int_equal(unlock(d, first), 0);
  assert_int_equal(lock(d, FCGI_WAIT_NEVER, &second), 1);
  assert_int_not_equal(first, second);
  assert_int_equal(fcgi_shared_get(d, "key", 3, NULL, 0, &value), 0);
  assert_int_equal(fcgi_shared_delete(d, "key", 3), 0);
  assert_int_equal(unlock(d, second), 1);
  assert_int_equal(fcgi_shared_lock(d, "", 0, 0, 0, &other), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_shared_lock(d, "a", 1, -1, 0, &other),
                   FCGI_ERR_INVALID);
}

static void test_time_ends_it(void **state) {
  fcgi_shared *d = *state;
  uint64_t first, second;
  assert_int_equal(lock(d, 0, &first), 1);
  d->ahead_ms += 600000;
  assert_int_equal(lock(d, 0, &second), 1);
  assert_int_equal(unlock(d, first), 0);
  assert_int_equal(unlock(d, second), 1);
}

/* Entries that come do not make it go. */
static void test_it_is_not_evicted(void **state) {
  fcgi_shared *d = *state;
  const fcgi_shared_value value = {.kind = FCGI_SHARED_INTEGER};
  uint64_t token, tokens = 0;
  char key[16];
  int result;
  assert_int_equal(lock(d, 0, &token), 1);
  for (int i = 0; i < 2000; i++)
    assert_true(fcgi_shared_set(d, &i, sizeof i, &value) >= 0);
  assert_int_equal(unlock(d, token), 1);
  for (int i = 0; i < 2000; i++) {
    snprintf(key, sizeof key, "lock%d", i);
    result = fcgi_shared_lock(d, key, strlen(key), 0, 0, &token);
    if (result == FCGI_ERR_LIMIT)
      break;
    assert_int_equal(result, 1);
    tokens++;
  }
  assert_int_equal(tokens, d->block_count);
  assert_int_equal(fcgi_shared_set(d, "a", 1, &value), FCGI_ERR_LIMIT);
  assert_null(unit_unsound(d));
}

static void *wait_for_it(void *data) {
  uint64_t token;
  int result = lock(data, FCGI_WAIT_FOREVER, &token);
  return result == 1 && unlock(data, token) == 1 ? data : NULL;
}

static void test_a_waiter_gets_it(void **state) {
  fcgi_shared *d = *state;
  pthread_t threads[3];
  uint64_t token;
  void *result;
  assert_int_equal(lock(d, 0, &token), 1);
  for (int i = 0; i < 3; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, d), 0);
  assert_int_equal(unlock(d, token), 1);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(pthread_join(threads[i], &result), 0);
    assert_ptr_equal(result, d);
  }
}

/* A child does something and says so; then it is killed. */
static void kill_after(fcgi_shared *d, void (*does)(fcgi_shared *d)) {
  int ends[2], status;
  char byte;
  assert_int_equal(pipe(ends), 0);
  pid_t pid = fork();
  if (pid == 0) {
    does(d);
    if (write(ends[1], "", 1) != 1)
      _exit(1);
    for (;;)
      pause();
  }
  assert_int_equal(read(ends[0], &byte, 1), 1);
  kill(pid, SIGKILL);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  close(ends[0]);
  close(ends[1]);
}

static void take_it(fcgi_shared *d) {
  uint64_t token;
  lock(d, 0, &token);
}

static void test_a_dead_holder_does_not_keep_it(void **state) {
  fcgi_shared *d = *state;
  uint64_t token;
  long long began = fcgi__now();
  kill_after(d, take_it);
  assert_int_equal(lock(d, FCGI_WAIT_NEVER, &token), 1);
  assert_int_equal(unlock(d, token), 1);
  assert_in_range(fcgi__now() - began, 0, PROMPT_MS);
}

static void enter(fcgi_shared *d) {
  fcgi__visit v;
  fcgi__visit_begin(&v, d);
  fcgi__put(&v, &d->head->entries, 77);
}

static void test_a_dead_process_does_not_keep_the_latch(void **state) {
  fcgi_shared *d = *state;
  uint64_t counts[FCGI_SHARED_COUNTS];
  long long began = fcgi__now();
  kill_after(d, enter);
  assert_int_equal(fcgi_shared_counts(d, counts, FCGI_SHARED_COUNTS), 0);
  assert_in_range(fcgi__now() - began, 0, PROMPT_MS);
  assert_int_equal(counts[FCGI_SHARED_ENTRIES], 0);
  assert_int_equal(counts[FCGI_SHARED_RECOVERED], 1);
}

static void test_who_was_killed_and_not_reaped_does_not_either(void **state) {
  fcgi_shared *d = *state;
  uint64_t counts[FCGI_SHARED_COUNTS];
  siginfo_t about;
  pid_t pid = fork();
  if (pid == 0) {
    enter(d);
    kill(getpid(), SIGKILL);
  }
  assert_int_equal(waitid(P_PID, (id_t)pid, &about, WEXITED | WNOWAIT), 0);
  assert_int_equal(fcgi_shared_counts(d, counts, FCGI_SHARED_COUNTS), 0);
  assert_int_equal(counts[FCGI_SHARED_RECOVERED], 1);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Another process has its id by now: it began at another time. */
static void test_an_id_that_is_used_again_is_no_owner(void **state) {
  fcgi_shared *d = *state;
  uint64_t counts[FCGI_SHARED_COUNTS], self = fcgi__owner_self(&d->here);
  atomic_store(&d->head->latch.word, self + (UINT64_C(5) << 32));
  assert_int_equal(fcgi_shared_counts(d, counts, FCGI_SHARED_COUNTS), 0);
  assert_int_equal(fcgi__owner_is_dead(self), 0);
  assert_int_equal(fcgi__owner_is_dead(0), 1);
  assert_int_equal(fcgi__owner_is_dead(1), 0);
}

static void *slept(void *data) {
  ++*(int *)data;
  return data;
}

static void woken(void *data, void *kept) {
  if (data == kept)
    *(int *)data += 100;
}

/* Whoever is alive keeps it, but not for ever. */
static void test_waiting_for_the_living_ends(void **state) {
  fcgi_shared *d = *state;
  uint64_t counts[FCGI_SHARED_COUNTS];
  int told = 0;
  d->sleep = (fcgi__latch_sleep){slept, woken, &told};
  atomic_store(&d->head->latch.word, fcgi__owner_self(&d->here));
  assert_int_equal(fcgi_shared_counts(d, counts, 1), FCGI_ERR_TIMEOUT);
  assert_int_equal(told, 101);
}

#define LOCK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      LOCK_TEST(test_one_holds_it),
      LOCK_TEST(test_time_ends_it),
      LOCK_TEST(test_it_is_not_evicted),
      LOCK_TEST(test_a_waiter_gets_it),
      LOCK_TEST(test_a_dead_holder_does_not_keep_it),
      LOCK_TEST(test_a_dead_process_does_not_keep_the_latch),
      LOCK_TEST(test_who_was_killed_and_not_reaped_does_not_either),
      LOCK_TEST(test_an_id_that_is_used_again_is_no_owner),
      LOCK_TEST(test_waiting_for_the_living_ends),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
