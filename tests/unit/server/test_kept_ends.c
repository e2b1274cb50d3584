/* SPDX-License-Identifier: MIT */
/* What a request has of a resource is given back once nobody of it runs, and
   not before: where several callbacks, a deadline or a trace meet its end. */
#include "server/server.h"
#include "support/keeping.h"
#include "support/serving.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 2, DEADLINE_MS = 50, LONG_MS = 60000 };

typedef struct scene {
  serving *f;                      /* The server and a client. */
  keeping *k;                      /* What is kept: a pool. */
  fcgi_handler handler;            /* Who uses it. */
  pthread_t threads[THREADS];      /* Who serves. */
  unsigned count;                  /* Of these. */
  int other;                       /* A second client. */
  atomic_int calls;                /* Of on_request, */
  atomic_int aborts;               /* of on_abort, */
  atomic_int traces;               /* of the tracer, and its returns. */
  atomic_int leave;                /* 1: the first on_request returns. */
  atomic_int open;                 /* 1: what it had was its own till then. */
  _Atomic(fcgi_request *) pending; /* A request left pending. */
} scene;

static void await(const atomic_int *count, int value) {
  for (int i = 0; i < LONG_MS && atomic_load(count) != value; i++)
    usleep(1000);
}

static void expect(const atomic_int *count, int value) {
  await(count, value);
  assert_int_equal(atomic_load(count), value);
}

static void expect_nothing_in_use(const scene *s) {
  for (int i = 0; i < LONG_MS && keeping_stats(s->k).in_use; i++)
    usleep(1000);
  assert_int_equal(keeping_stats(s->k).in_use, 0);
  assert_int_equal(atomic_load(&s->k->closes), 0);
}

static void prepare(scene *s, serving *f, fcgi_callback callback) {
  *s = (scene){.f = f,
               .k = calloc(1, sizeof *s->k),
               .other = -1,
               .handler = {.size = sizeof s->handler, .on_request = callback}};
  fcgi_resource_config config = keeping_config(s->k);
  config.scope = FCGI_RESOURCE_POOL;
  keeping_begin(s->k, &config);
}

static void *run_thread(void *data) {
  scene *s = data;
  return (void *)(intptr_t)fcgi_server_run(s->f->server, &s->handler, s);
}

static void begin(scene *s, unsigned threads) {
  serving_restart(s->f);
  assert_int_equal(fcgi_server_keep(s->f->server, s->k->resource), 0);
  s->count = threads;
  for (unsigned i = 0; i < threads; i++)
    assert_int_equal(pthread_create(&s->threads[i], NULL, run_thread, s), 0);
}

static void finish(scene *s) {
  fcgi_server_stop(s->f->server, FCGI_STOP_GRACEFUL);
  for (unsigned i = 0; i < s->count; i++)
    pthread_join(s->threads[i], NULL);
  if (s->other >= 0)
    close(s->other);
  keeping_end(s->k);
  free(s->k);
}

static void ask(scene *s) {
  records_get(&s->f->text->sent, 1);
  serving_send(s->f);
}

/* Over a connection of its own: whoever serves it has left what it did. */
static void ask_other(scene *s) {
  int first = s->f->client;
  s->other = s->f->client = serving_connect(s->f);
  ask(s);
  s->f->client = first;
}

static int use(const scene *s, fcgi_request *request, keeping_value **out) {
  void *value = NULL;
  int error =
      fcgi_resource_get(s->k->resource, fcgi_request_holder(request), &value);
  *out = value;
  if (!error)
    atomic_fetch_add(&(*out)->users, 1);
  return error;
}

static int count_abort(fcgi_request *request, void *user_data) {
  scene *s = user_data;
  (void)request;
  return atomic_fetch_add(&s->aborts, 1) * 0;
}

/* The first one stays inside until it may leave; the others answer. */
static int stay(fcgi_request *request, void *user_data) {
  scene *s = user_data;
  keeping_value *value;
  if (atomic_fetch_add(&s->calls, 1) > 0)
    return fcgi_request_reply(request, 200, NULL, "hi\n", 3);
  if (use(s, request, &value))
    return -1;
  await(&s->leave, 1);
  atomic_store(&s->open, atomic_load(&value->open) &&
                             keeping_stats(s->k).in_use == 1 &&
                             atomic_load(&s->k->resets) == 0);
  atomic_fetch_sub(&value->users, 1);
  return 0;
}

/* One thread is inside of on_request when the other one runs on_abort. */
static void test_an_abort_takes_nothing_from_on_request(void **state) {
  scene s;
  ((serving *)*state)->config.request_timeout_ms = DEADLINE_MS;
  prepare(&s, *state, stay);
  s.handler.on_abort = count_abort;
  begin(&s, THREADS);
  ask(&s);
  expect(&s.aborts, 1);
  ask_other(&s);
  expect(&s.calls, 2);
  atomic_store(&s.leave, 1);
  expect(&s.k->resets, 1);
  expect_nothing_in_use(&s);
  assert_int_equal(atomic_load(&s.open), 1);
  finish(&s);
}

static int leave_pending(fcgi_request *request, void *user_data) {
  scene *s = user_data;
  keeping_value *value;
  if (atomic_fetch_add(&s->calls, 1) > 0)
    return fcgi_request_reply(request, 200, NULL, "hi\n", 3);
  if (use(s, request, &value))
    return -1;
  atomic_store(&s->pending, request);
  return FCGI_PENDING;
}

/* Another thread of the program's uses it, and has not ended yet. */
static void test_an_abort_takes_nothing_from_a_pending_one(void **state) {
  scene s;
  ((serving *)*state)->config.request_timeout_ms = DEADLINE_MS;
  prepare(&s, *state, leave_pending);
  s.handler.on_abort = count_abort;
  begin(&s, 1);
  ask(&s);
  expect(&s.aborts, 1);
  ask_other(&s);
  expect(&s.calls, 2);
  assert_int_equal(keeping_stats(s.k).in_use, 1);
  assert_int_equal(atomic_load(&s.k->resets), 0);
  atomic_fetch_sub(&s.k->values[0].users, 1);
  assert_int_equal(
      fcgi_request_reply(atomic_load(&s.pending), 200, NULL, "hi\n", 3),
      FCGI_ERR_ABORTED);
  assert_int_equal(atomic_load(&s.k->resets), 1);
  expect_nothing_in_use(&s);
  finish(&s);
}

/* A program that takes events ends a request that is past its deadline. */
static void test_one_past_its_deadline_gives_back(void **state) {
  scene s;
  serving *f = *state;
  void *value;
  f->config.request_timeout_ms = DEADLINE_MS;
  f->config.events = 1u << FCGI_EVENT_ABORT;
  prepare(&s, f, stay);
  serving_restart(f);
  ask(&s);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(
      fcgi_resource_get(s.k->resource, fcgi_request_holder(request), &value),
      0);
  assert_ptr_equal(serving_take(f, FCGI_EVENT_ABORT), request);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_ABORTED);
  assert_int_equal(atomic_load(&s.k->resets), 1);
  expect_nothing_in_use(&s);
  keeping_end(s.k);
  free(s.k);
}

/* The handler's own thread gives back, although a tracer still looks. */
static void stay_in_trace(uintptr_t thread, fcgi_request *request, char *out,
                          size_t len, void *user_data) {
  scene *s = user_data;
  (void)thread;
  (void)request;
  snprintf(out, len, "here");
  atomic_fetch_add(&s->traces, 1);
  await(&s->k->resets, 1);
  atomic_fetch_add(&s->traces, 1);
}

static void test_a_trace_keeps_nothing(void **state) {
  scene s;
  ((serving *)*state)->config.slow_log_ms = DEADLINE_MS;
  prepare(&s, *state, stay);
  lines_begin(&s.f->log, &s.f->config);
  serving_restart(s.f);
  begin(&s, 1);
  fcgi_server_set_tracer(s.f->server, stay_in_trace, &s);
  ask(&s);
  expect(&s.traces, 1);
  atomic_store(&s.leave, 1);
  expect(&s.k->resets, 1);
  expect_nothing_in_use(&s);
  expect(&s.traces, 2);
  finish(&s);
}

/* Two hold it at its end, so that neither one gives back before it: the last
   one does. */
static void test_the_last_one_gives_back(void **state) {
  scene s;
  void *value;
  serving *f = *state;
  prepare(&s, f, stay);
  serving_restart(f);
  ask(&s);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(
      fcgi_resource_get(s.k->resource, fcgi_request_holder(request), &value),
      0);
  fcgi__request_hold(request);
  fcgi__request_hold(request);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  fcgi__request_callback_over(request, 0);
  fcgi__request_returned(request, 0);
  assert_int_equal(atomic_load(&s.k->resets), 0);
  fcgi__request_returned(request, FCGI_PENDING);
  assert_int_equal(atomic_load(&s.k->resets), 1);
  expect_nothing_in_use(&s);
  keeping_end(s.k);
  free(s.k);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_an_abort_takes_nothing_from_on_request),
      SERVING_TEST(test_an_abort_takes_nothing_from_a_pending_one),
      SERVING_TEST(test_one_past_its_deadline_gives_back),
      SERVING_TEST(test_a_trace_keeps_nothing),
      SERVING_TEST(test_the_last_one_gives_back),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
