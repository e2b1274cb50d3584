/* SPDX-License-Identifier: MIT */
/* Every test runs for epoll and for poll(2). */
#include "support/polling.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 8, PAIRS = 200 };

/* A thread that waits without end until it has something to return. */
typedef struct waiter {
  pthread_t thread;    /* The thread that waits. */
  polling *polling;    /* Whose poller it waits on. */
  int result;          /* What the wait gave. */
  atomic_int *started; /* Counts the threads about to wait. */
  atomic_int *ended;   /* Counts the threads that are back. */
} waiter;

static void *wait_once(void *arg) {
  waiter *w = arg;
  fcgi__ready ready;
  atomic_fetch_add(w->started, 1);
  w->result = fcgi__poller_wait(w->polling->poller, &ready, 1, -1);
  atomic_fetch_add(w->ended, 1);
  return NULL;
}

static void sleep_ms(int ms) {
  poll(NULL, 0, ms);
}

/* Sleep until `*value` reaches `wanted`; 1 when it does within 20 s. */
static int reaches(atomic_int *value, int wanted) {
  for (int i = 0; i < LONG_MS && atomic_load(value) < wanted; i++)
    sleep_ms(1);
  return atomic_load(value) >= wanted;
}

static void start_waiters(polling *f, waiter *waiters, int count,
                          atomic_int *started, atomic_int *ended) {
  for (int i = 0; i < count; i++) {
    waiters[i] = (waiter){.polling = f, .started = started, .ended = ended};
    pthread_create(&waiters[i].thread, NULL, wait_once, &waiters[i]);
  }
  assert_true(reaches(started, count));
  sleep_ms(SHORT_MS);
}

static void join_waiters(waiter *waiters, int count) {
  for (int i = 0; i < count; i++)
    pthread_join(waiters[i].thread, NULL);
}

static void test_poller_wake_ends_a_wait_elsewhere(void **state) {
  waiter waiters[1];
  atomic_int started = 0, ended = 0;
  polling *f = *state;
  start_waiters(f, waiters, 1, &started, &ended);
  assert_int_equal(atomic_load(&ended), 0);
  fcgi__poller_wake(f->poller);
  join_waiters(waiters, 1);
  assert_int_equal(waiters[0].result, 0);
}

static void test_poller_each_wake_ends_a_wait(void **state) {
  waiter waiters[THREADS];
  atomic_int started = 0, ended = 0;
  polling *f = *state;
  start_waiters(f, waiters, THREADS, &started, &ended);
  for (int i = 1; i <= THREADS; i++) {
    fcgi__poller_wake(f->poller);
    assert_true(reaches(&ended, i));
  }
  join_waiters(waiters, THREADS);
}

static void test_poller_a_burst_of_wakes_ends_all_waits(void **state) {
  waiter waiters[THREADS];
  atomic_int started = 0, ended = 0;
  polling *f = *state;
  start_waiters(f, waiters, THREADS, &started, &ended);
  for (int i = 0; i < THREADS; i++)
    fcgi__poller_wake(f->poller);
  join_waiters(waiters, THREADS);
  assert_int_equal(atomic_load(&ended), THREADS);
}

static void test_poller_wake_all_ends_every_wait(void **state) {
  waiter waiters[THREADS];
  atomic_int started = 0, ended = 0;
  polling *f = *state;
  start_waiters(f, waiters, THREADS, &started, &ended);
  fcgi__poller_wake_all(f->poller);
  join_waiters(waiters, THREADS);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(waiters[i].result, 0);
}

static void test_poller_sees_what_is_added_while_waiting(void **state) {
  waiter waiters[1];
  atomic_int started = 0, ended = 0;
  polling *f = *state;
  start_waiters(f, waiters, 1, &started, &ended);
  polling_send(f);
  polling_watch(f, FCGI__POLL_IN);
  join_waiters(waiters, 1);
  assert_int_equal(waiters[0].result, 1);
}

static void test_poller_gives_an_edge_to_one_thread(void **state) {
  waiter waiters[THREADS];
  atomic_int started = 0, ended = 0;
  polling *f = *state;
  polling_watch(f, FCGI__POLL_IN);
  start_waiters(f, waiters, THREADS, &started, &ended);
  polling_send(f);
  assert_true(reaches(&ended, 1));
  sleep_ms(SHORT_MS);
  int back = atomic_load(&ended);
  fcgi__poller_wake_all(f->poller);
  join_waiters(waiters, THREADS);
  assert_int_equal(back, 1);
}

static void ignore_signal(int number) {
  (void)number;
}

static void test_poller_signal_ends_the_wait(void **state) {
  waiter waiters[1];
  atomic_int started = 0, ended = 0;
  struct sigaction action = {.sa_handler = ignore_signal}, old;
  sigaction(SIGUSR1, &action, &old);
  start_waiters(*state, waiters, 1, &started, &ended);
  pthread_kill(waiters[0].thread, SIGUSR1);
  join_waiters(waiters, 1);
  sigaction(SIGUSR1, &old, NULL);
  assert_int_equal(waiters[0].result, 0);
}

/* A connection whose bytes are counted as they are read. */
typedef struct counted {
  int near;        /* The watched end. */
  int far;         /* The end that bytes are written to. */
  atomic_int seen; /* Bytes read. */
} counted;

/* What the threads of the crowd test share. */
typedef struct crowd {
  fcgi__poller *poller;      /* Driven by all of them. */
  counted pairs[PAIRS];      /* Their connections. */
  atomic_int total;          /* Bytes read by all. */
  atomic_int stop, failures; /* Told to end; waits that failed. */
} crowd;

static void read_all(crowd *c, counted *pair) {
  char bytes[16];
  ssize_t got;
  while ((got = recv(pair->near, bytes, sizeof bytes, 0)) > 0) {
    atomic_fetch_add(&pair->seen, (int)got);
    atomic_fetch_add(&c->total, (int)got);
  }
  fcgi__poller_rearm(c->poller, pair->near, FCGI__POLL_IN);
}

static void *work(void *arg) {
  crowd *c = arg;
  fcgi__ready ready[7];
  while (!atomic_load(&c->stop)) {
    int found = fcgi__poller_wait(c->poller, ready, 7, 1000);
    if (found < 0)
      atomic_fetch_add(&c->failures, 1);
    for (int i = 0; i < found; i++)
      read_all(c, ready[i].owner);
  }
  return NULL;
}

static void open_pairs(crowd *c) {
  for (int i = 0; i < PAIRS; i++) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    c->pairs[i].near = fds[0];
    c->pairs[i].far = fds[1];
    assert_int_equal(
        fcgi__poller_add(c->poller, fds[0], FCGI__POLL_IN, &c->pairs[i]), 0);
  }
}

static void close_pairs(crowd *c) {
  for (int i = 0; i < PAIRS; i++) {
    fcgi__poller_remove(c->poller, c->pairs[i].near);
    close(c->pairs[i].near);
    close(c->pairs[i].far);
  }
}

static void test_poller_many_threads_lose_no_byte(void **state) {
  enum { ROUNDS = 20 };
  polling *f = *state;
  crowd *c = calloc(1, sizeof *c);
  pthread_t threads[THREADS];
  c->poller = f->poller;
  open_pairs(c);
  for (int i = 0; i < THREADS; i++)
    pthread_create(&threads[i], NULL, work, c);
  for (int round = 0; round < ROUNDS; round++)
    for (int i = 0; i < PAIRS; i++)
      assert_int_equal(send(c->pairs[i].far, "x", 1, 0), 1);
  int all = reaches(&c->total, ROUNDS * PAIRS);
  atomic_store(&c->stop, 1);
  fcgi__poller_wake_all(f->poller);
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  assert_true(all);
  assert_int_equal(c->total, ROUNDS * PAIRS);
  assert_int_equal(c->failures, 0);
  close_pairs(c);
  free(c);
}

static void test_poller_reports_more_than_fit_later(void **state) {
  polling *f = *state;
  crowd *c = calloc(1, sizeof *c);
  fcgi__ready ready[7];
  int seen = 0, found;
  c->poller = f->poller;
  open_pairs(c);
  for (int i = 0; i < PAIRS; i++)
    assert_int_equal(send(c->pairs[i].far, "x", 1, 0), 1);
  while ((found = fcgi__poller_wait(f->poller, ready, 7, SHORT_MS)) > 0) {
    seen += found;
    for (int i = 0; i < found; i++)
      assert_int_equal(atomic_fetch_add(&((counted *)ready[i].owner)->seen, 1),
                       0);
  }
  assert_int_equal(seen, PAIRS);
  close_pairs(c);
  free(c);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      POLLING_TEST(test_poller_signal_ends_the_wait),
      POLLING_TEST(test_poller_wake_ends_a_wait_elsewhere),
      POLLING_TEST(test_poller_each_wake_ends_a_wait),
      POLLING_TEST(test_poller_a_burst_of_wakes_ends_all_waits),
      POLLING_TEST(test_poller_wake_all_ends_every_wait),
      POLLING_TEST(test_poller_sees_what_is_added_while_waiting),
      POLLING_TEST(test_poller_gives_an_edge_to_one_thread),
      POLLING_TEST(test_poller_many_threads_lose_no_byte),
      POLLING_TEST(test_poller_reports_more_than_fit_later),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return polling_run(run);
}
