/* SPDX-License-Identifier: MIT */
/* How much of what waits at a worker is for the others, whose numbers on the
   scoreboard the test writes itself. */
#include "os/clock.h"
#include "server/server.h"
#include "support/serving.h"

#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT = 10 };

typedef struct scene {
  fcgi_server *server; /* One of the workers, */
  serving *f;          /* and its clients. */
  int queue[2];        /* What they share. */
} scene;

static scene *begin(scene *s, serving *f) {
  *s = (scene){.f = f};
  f->config.limit_connections = LIMIT;
  serving_restart(f);
  s->server = f->server;
  assert_int_equal(fcgi__board_new(&s->server->observer.board, 3), 0);
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s->queue), 0);
  atomic_store(&s->server->observer.slot,
               fcgi__board_slot_at(&s->server->observer.board, 0));
  atomic_store(&s->server->share.queue.out, s->queue[0]);
  atomic_store(&s->server->share.queue.in, s->queue[1]);
  atomic_store(&s->server->waits, 1);
  return s;
}

static void end(const scene *s) {
  close(s->queue[0]);
  close(s->queue[1]);
}

/* Another worker that serves. */
static fcgi__board_slot *other(scene *s, int number, uint64_t connections,
                               uint64_t requests, unsigned idle) {
  fcgi__board_slot *slot =
      fcgi__board_slot_at(&s->server->observer.board, number);
  atomic_store(&slot->state, FCGI_WORKER_READY);
  atomic_store(&slot->counts.values[FCGI_METRIC_OPEN], connections);
  atomic_store(&slot->counts.values[FCGI_METRIC_ACTIVE], requests);
  atomic_store(&slot->idle, idle);
  return slot;
}

static int portion(scene *s) {
  s->server->share.pace.used_until = 0;
  return fcgi__share_portion(s->server);
}

static int portion_of_slow(scene *s) {
  s->server->share.turn_at = 0;
  return portion(s);
}

static int portion_of_quick(scene *s) {
  s->server->share.turn_at = fcgi__now() + 1000;
  return portion(s);
}

static void test_free_threads_get_what_waits_for_slow_handlers(void **state) {
  scene place, *s = begin(&place, *state);
  assert_int_equal(portion_of_slow(s), 0);
  other(s, 1, 1, 0, 3);
  other(s, 2, 1, 0, 2);
  assert_int_equal(portion_of_slow(s), 5);
  end(s);
}

/* One connection, and only where another one has less. */
static void test_quick_handlers_make_numbers_equal(void **state) {
  scene place, *s = begin(&place, *state);
  other(s, 1, 3, 0, 5);
  atomic_store(&s->server->open, 4);
  assert_int_equal(portion_of_quick(s), 0);
  atomic_store(&s->server->open, 5);
  assert_int_equal(portion_of_quick(s), 1);
  atomic_store(&s->server->open, 0);
  end(s);
}

static void test_a_turn_makes_the_next_one_quick(void **state) {
  long long before = fcgi__now();
  scene place, *s = begin(&place, *state);
  portion_of_slow(s);
  assert_true(s->server->share.turn_at >= before);
  end(s);
}

/* It keeps to its pace, and looks at nobody when that is used up. */
static void test_nothing_is_given_ahead_of_the_pace(void **state) {
  scene place, *s = begin(&place, *state);
  other(s, 1, 1, 0, 200);
  s->server->share.turn_at = 0;
  s->server->share.pace.used_until = fcgi__now() + 60000;
  assert_int_equal(fcgi__share_portion(s->server), 0);
  assert_in_range(portion_of_slow(s), 63, 64);
  end(s);
}

static int portion_of_loop(scene *s, unsigned open) {
  int result;
  atomic_store(&s->server->waits, 0);
  atomic_store(&s->server->spare.open, open);
  result = portion(s);
  atomic_store(&s->server->spare.open, 0);
  return result;
}

/* A foreign event loop keeps the average, rounded up. */
static void test_an_event_loop_keeps_its_part(void **state) {
  scene place, *s = begin(&place, *state);
  assert_int_equal(portion_of_loop(s, 5), 0);
  other(s, 1, 0, 0, 1);
  assert_int_equal(portion_of_loop(s, 1), 0);
  assert_int_equal(portion_of_loop(s, 2), 1);
  assert_int_equal(portion_of_loop(s, 5), 2);
  other(s, 1, 0, 2, 1);
  assert_int_equal(portion_of_loop(s, 2), 0);
  assert_int_equal(portion_of_loop(s, 3), 0);
  assert_int_equal(portion_of_loop(s, 4), 1);
  other(s, 2, 0, 2, 1);
  assert_int_equal(portion_of_loop(s, 3), 0);
  assert_int_equal(portion_of_loop(s, 6), 2);
  end(s);
}

/* It has the average of all, but one of them has two less. */
static void test_an_event_loop_gives_to_the_one_with_least(void **state) {
  scene place, *s = begin(&place, *state);
  other(s, 1, 0, 5, 0);
  other(s, 2, 0, 1, 0);
  assert_int_equal(portion_of_loop(s, 3), 1);
  other(s, 2, 0, 2, 0);
  assert_int_equal(portion_of_loop(s, 3), 0);
  end(s);
}

static void test_what_an_event_loop_has_kept_is_its_own(void **state) {
  scene place, *s = begin(&place, *state);
  const fcgi__late late = {.at = 0};
  fcgi__late out;
  other(s, 1, 0, 0, 1);
  assert_int_equal(fcgi__held_put(&s->server->share.held, &late, 1), 1);
  assert_int_equal(portion_of_loop(s, 1), 1);
  assert_int_equal(fcgi__held_take(&s->server->share.held, &out), 1);
  end(s);
}

static unsigned over(scene *s) {
  fcgi__share_count_others(s->server);
  return fcgi__share_over(&s->server->share);
}

/* They accept no more than all of them may have: what one has beyond its limit
   the others do not accept. */
static void
test_what_others_have_beyond_their_limit_is_room_less(void **state) {
  scene place, *s = begin(&place, *state);
  fcgi__board_slot *slot = other(s, 1, LIMIT, 0, 0);
  assert_int_equal(over(s), 0);
  atomic_store(&s->server->open, LIMIT - 1);
  assert_true(fcgi__accept_has_room(s->server));
  atomic_store(&slot->counts.values[FCGI_METRIC_OPEN], LIMIT + 1);
  assert_int_equal(over(s), 1);
  assert_false(fcgi__accept_has_room(s->server));
  atomic_store(&s->server->open, LIMIT - 2);
  assert_true(fcgi__accept_has_room(s->server));
  atomic_store(&slot->counts.values[FCGI_METRIC_OPEN], 5 * LIMIT);
  assert_int_equal(over(s), LIMIT);
  atomic_store(&s->server->open, 0);
  end(s);
}

/* What lies in the queue is on its way to one of them, as long as there is
   any. */
static void test_what_is_in_the_queue_counts_where_some_are_over(void **state) {
  scene place, *s = begin(&place, *state);
  fcgi__board_slot *slot = other(s, 1, LIMIT, 0, 0);
  const fcgi__queue_note note = {.since = 1};
  int pair[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  assert_int_equal(fcgi__queue_put(&s->server->share.queue, pair[0], &note),
                   FCGI__QUEUE_GIVEN);
  assert_int_equal(over(s), 0);
  atomic_store(&s->server->share.over, 1);
  assert_int_equal(over(s), 1);
  atomic_store(&slot->state, FCGI_WORKER_DRAINING);
  assert_int_equal(over(s), 0);
  close(pair[0]);
  close(pair[1]);
  end(s);
}

/* Others count it, when they look next. */
static void expect_given(scene *s, unsigned open) {
  assert_int_equal(atomic_load(&s->server->open), open);
  assert_int_equal(fcgi__queue_length(&s->server->share.queue), 1);
  assert_int_equal(fcgi__share_over(&s->server->share), 1);
}

/* A connection that is given away is on its way to one of the others, and
   nothing is accepted in its place. */
static void test_what_is_given_is_no_room(void **state) {
  serving *f = *state;
  scene place, *s = begin(&place, f);
  other(s, 1, 0, 0, 0);
  s->server->config.limit_connections = 1;
  fcgi__accept_waiting(s->server, 1);
  assert_int_equal(atomic_load(&s->server->open), 1);
  records_get(&f->text->sent, 1);
  serving_send(f);
  assert_int_equal(fcgi__share_relieve(s->server, 0), 1);
  expect_given(s, 0);
  assert_false(fcgi__accept_has_room(s->server));
  end(s);
}

/* The same of one that is not accepted for this worker at all. */
static void test_what_is_passed_on_unread_is_no_room(void **state) {
  serving *f = *state;
  scene place, *s = begin(&place, f);
  int other_client = serving_connect(f);
  other(s, 1, 0, 0, 0);
  records_get(&f->text->sent, 1);
  assert_int_equal(send(other_client, f->text->sent.data, f->text->sent.len, 0),
                   f->text->sent.len);
  fcgi__share_look(s->server);
  expect_given(s, 1);
  assert_int_equal(
      atomic_load(&fcgi__board_slot_at(&s->server->observer.board, 0)
                       ->counts.values[FCGI_METRIC_ACCEPTED]),
      2);
  close(other_client);
  end(s);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_free_threads_get_what_waits_for_slow_handlers),
      SERVING_TEST(test_quick_handlers_make_numbers_equal),
      SERVING_TEST(test_a_turn_makes_the_next_one_quick),
      SERVING_TEST(test_nothing_is_given_ahead_of_the_pace),
      SERVING_TEST(test_an_event_loop_keeps_its_part),
      SERVING_TEST(test_an_event_loop_gives_to_the_one_with_least),
      SERVING_TEST(test_what_an_event_loop_has_kept_is_its_own),
      SERVING_TEST(test_what_others_have_beyond_their_limit_is_room_less),
      SERVING_TEST(test_what_is_in_the_queue_counts_where_some_are_over),
      SERVING_TEST(test_what_is_given_is_no_room),
      SERVING_TEST(test_what_is_passed_on_unread_is_no_room),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
