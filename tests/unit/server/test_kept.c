/* SPDX-License-Identifier: MIT */
/* What is kept between the requests of a server. */
#include "board/status.h"
#include "server/server.h"
#include "support/keeping.h"
#include "support/serving.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 3, LONG_MS = 20000 };

typedef struct scene {
  serving *f;                      /* The server and a client. */
  keeping *k;                      /* What is kept. */
  fcgi_resource_config config;     /* Of that, until `begin`. */
  fcgi_handler handler;            /* Who uses it. */
  pthread_t threads[THREADS];      /* Who serves. */
  unsigned count;                  /* Of these. */
  atomic_int starts;               /* Calls of on_thread_start, */
  atomic_int stops;                /* and of on_thread_stop. */
  atomic_int closed;               /* Calls of close before that. */
  _Atomic(fcgi_request *) pending; /* A request left pending. */
} scene;

static int count_start(void *user_data) {
  scene *s = user_data;
  return atomic_fetch_add(&s->starts, 1) * 0;
}

static int count_stop(void *user_data) {
  scene *s = user_data;
  atomic_store(&s->closed, atomic_load(&s->k->closes));
  return atomic_fetch_add(&s->stops, 1) * 0;
}

static void *run_thread(void *data) {
  scene *s = data;
  return (void *)(intptr_t)fcgi_server_run(s->f->server, &s->handler, s);
}

static void prepare(scene *s, serving *f, fcgi_callback callback) {
  *s = (scene){.f = f,
               .k = calloc(1, sizeof *s->k),
               .handler = {.size = sizeof s->handler,
                           .on_request = callback,
                           .on_thread_start = count_start,
                           .on_thread_stop = count_stop}};
  s->config = keeping_config(s->k);
  lines_begin(&f->log, &f->config);
  serving_restart(f);
}

static void begin(scene *s, unsigned threads) {
  keeping_begin(s->k, &s->config);
  assert_int_equal(fcgi_server_keep(s->f->server, s->k->resource), 0);
  s->count = threads;
  for (unsigned i = 0; i < threads; i++)
    assert_int_equal(pthread_create(&s->threads[i], NULL, run_thread, s), 0);
}

static void finish(scene *s) {
  fcgi_server_stop(s->f->server, FCGI_STOP_GRACEFUL);
  for (unsigned i = 0; i < s->count; i++)
    pthread_join(s->threads[i], NULL);
  assert_int_equal(keeping_stats(s->k).open, 0);
  keeping_end(s->k);
  free(s->k);
}

static void ask(scene *s) {
  records_get(&s->f->text->sent, 1);
  serving_send(s->f);
}

static void await_answer(const scene *s) {
  struct pollfd at = {.fd = s->f->client, .events = POLLIN};
  assert_int_equal(poll(&at, 1, LONG_MS), 1);
}

static void await(const atomic_int *count, int value) {
  for (int i = 0; i < LONG_MS && atomic_load(count) != value; i++)
    usleep(1000);
  assert_int_equal(atomic_load(count), value);
}

static int get(fcgi_request *request, void *user_data) {
  scene *s = user_data;
  void *value, *again;
  fcgi_holder *holder = fcgi_request_holder(request);
  if (fcgi_resource_get(s->k->resource, holder, &value) ||
      fcgi_resource_get(s->k->resource, holder, &again) || again != value)
    return -1;
  return fcgi_request_reply(request, 200, NULL, "hi\n", 3);
}

static const char hi[] = "stdout 1 Content-Length: 3\r\nStatus: 200 OK\r\n\r\n"
                         "hi\n\nstdout_end 1\nend 1 app=0 status=0\n";

static void test_the_end_gives_back(void **state) {
  scene s;
  prepare(&s, *state, get);
  begin(&s, THREADS);
  ask(&s);
  await_answer(&s);
  await(&s.k->resets, 1);
  serving_expect(s.f, hi);
  finish(&s);
  assert_int_equal(atomic_load(&s.starts), THREADS);
  assert_int_equal(atomic_load(&s.stops), THREADS);
  assert_int_equal(lines_count(&s.f->log, "given back"), 0);
}

static int take_and_keep(fcgi_request *request, void *user_data) {
  scene *s = user_data;
  void *value;
  if (fcgi_resource_take(s->k->resource, fcgi_request_holder(request), &value))
    return -1;
  return fcgi_request_reply(request, 200, NULL, "hi\n", 3);
}

static void test_what_is_kept_past_the_end_is_told(void **state) {
  scene s;
  prepare(&s, *state, take_and_keep);
  begin(&s, 1);
  ask(&s);
  await_answer(&s);
  await(&s.k->closes, 1);
  serving_expect(s.f, hi);
  finish(&s);
  assert_int_equal(
      lines_count(&s.f->log, "resource 'db': a handler has not given back what "
                             "it took in take_and_keep (unit_server_kept); it "
                             "is closed"),
      1);
}

static const char later[] =
    "stdout 1 Content-Type: text/plain\r\nContent-Length: 24\r\n"
    "Retry-After: 1\r\nStatus: 503 Service Unavailable\r\n\r\n"
    "503 Service Unavailable\n\nstdout_end 1\nend 1 app=0 status=0\n";

static void test_a_failure_for_want_of_it_is_503(void **state) {
  scene s;
  prepare(&s, *state, get);
  s.config.acquire_timeout_ms = 30;
  atomic_store(&s.k->away, FCGI_ERR_CLOSED);
  begin(&s, 1);
  ask(&s);
  await_answer(&s);
  serving_expect(s.f, later);
  finish(&s);
}

static int answer_500(fcgi_request *request, void *user_data) {
  const fcgi_header line = {"Status", 6, "500 INTERNAL", 12};
  scene *s = user_data;
  void *value;
  fcgi_resource_get(s->k->resource, fcgi_request_holder(request), &value);
  return fcgi_request_respond(request, 500, &line, 1, "no\n", 3);
}

static void test_a_500_for_want_of_it_is_503(void **state) {
  scene s;
  prepare(&s, *state, answer_500);
  s.config.acquire_timeout_ms = 30;
  atomic_store(&s.k->away, FCGI_ERR_CLOSED);
  begin(&s, 1);
  ask(&s);
  await_answer(&s);
  serving_expect(s.f, "stdout 1 Content-Length: 3\r\nRetry-After: 1\r\n"
                      "Status: 503 Service Unavailable\r\n\r\nno\n\n"
                      "stdout_end 1\nend 1 app=0 status=0\n");
  atomic_store(&s.k->away, 0);
  for (int i = 0; i < LONG_MS && keeping_stats(s.k).opened == 0; i++) {
    close(s.f->client);
    s.f->client = serving_connect(s.f);
    ask(&s);
    await_answer(&s);
  }
  serving_expect(s.f, "stdout 1 Content-Length: 3\r\nStatus: 500 INTERNAL\r\n"
                      "\r\nno\n\nstdout_end 1\nend 1 app=0 status=0\n");
  finish(&s);
}

static int leave_pending(fcgi_request *request, void *user_data) {
  scene *s = user_data;
  void *value;
  if (fcgi_resource_get(s->k->resource, fcgi_request_holder(request), &value))
    return -1;
  atomic_store(&s->pending, request);
  return FCGI_PENDING;
}

static void test_a_pending_request_keeps_it(void **state) {
  scene s;
  prepare(&s, *state, leave_pending);
  s.config.scope = FCGI_RESOURCE_POOL;
  begin(&s, 1);
  ask(&s);
  for (int i = 0; i < LONG_MS && !atomic_load(&s.pending); i++)
    usleep(1000);
  usleep(20000);
  assert_int_equal(keeping_stats(s.k).in_use, 1);
  assert_int_equal(atomic_load(&s.k->resets), 0);
  fcgi_request_reply(atomic_load(&s.pending), 200, NULL, "hi\n", 3);
  assert_int_equal(atomic_load(&s.k->resets), 1);
  await_answer(&s);
  serving_expect(s.f, hi);
  finish(&s);
}

/* The thread would give its handle, and the transaction in it, to both. */
static void test_two_requests_of_a_thread_do_not_share(void **state) {
  scene s;
  void *value;
  prepare(&s, *state, get);
  keeping_begin(s.k, &s.config);
  records_get(&s.f->text->sent, 1);
  records_get(&s.f->text->sent, 2);
  serving_send(s.f);
  fcgi_request *one = serving_take(s.f, FCGI_EVENT_REQUEST);
  fcgi_request *two = serving_take(s.f, FCGI_EVENT_REQUEST);
  assert_int_equal(
      fcgi_resource_get(s.k->resource, fcgi_request_holder(one), &value), 0);
  assert_int_equal(
      fcgi_resource_get(s.k->resource, fcgi_request_holder(two), &value),
      FCGI_ERR_STATE);
  fcgi_request_end(one, 0);
  assert_int_equal(atomic_load(&s.k->resets), 1);
  assert_int_equal(
      fcgi_resource_get(s.k->resource, fcgi_request_holder(two), &value), 0);
  fcgi_request_end(two, 0);
  assert_int_equal(atomic_load(&s.k->resets), 2);
  keeping_end(s.k);
  free(s.k);
}

/* The server is freed with a request that nobody has ended. */
static void test_a_request_that_never_ends(void **state) {
  scene s;
  void *value;
  prepare(&s, *state, get);
  s.config.scope = FCGI_RESOURCE_POOL;
  keeping_begin(s.k, &s.config);
  ask(&s);
  fcgi_request *one = serving_take(s.f, FCGI_EVENT_REQUEST);
  assert_int_equal(
      fcgi_resource_get(s.k->resource, fcgi_request_holder(one), &value), 0);
  fcgi_server_free(s.f->server);
  s.f->server = NULL;
  assert_int_equal(keeping_stats(s.k).in_use, 0);
  keeping_end(s.k);
  free(s.k);
}

static void test_serving_threads_tidy_up(void **state) {
  scene s;
  prepare(&s, *state, get);
  s.config.max_idle_ms = 200;
  begin(&s, THREADS);
  ask(&s);
  await_answer(&s);
  await(&s.k->closes, 1);
  assert_int_equal(keeping_stats(s.k).closed[FCGI_RESOURCE_BY_IDLE], 1);
  finish(&s);
}

static void test_an_eager_one_is_open_before_it_serves(void **state) {
  scene s;
  prepare(&s, *state, get);
  s.config.eager = 1;
  s.config.acquire_timeout_ms = 50;
  atomic_store(&s.k->away, FCGI_ERR_CLOSED);
  begin(&s, THREADS);
  ask(&s);
  for (int i = 0; i < LONG_MS && lines_count(&s.f->log, "not ready") == 0; i++)
    usleep(1000);
  assert_int_equal(
      lines_count(&s.f->log, "resource 'db' cannot be opened: nobody listens; "
                             "the server is not ready before it is"),
      1);
  serving_receive(s.f);
  assert_int_equal(s.f->got.len, 0);
  assert_int_equal(atomic_load(&s.k->opens), 0);
  atomic_store(&s.k->away, 0);
  await_answer(&s);
  serving_expect(s.f, hi);
  finish(&s);
}

static void test_a_stop_ends_the_wait_for_an_eager_one(void **state) {
  scene s;
  prepare(&s, *state, get);
  s.config.eager = 1;
  s.config.acquire_timeout_ms = 50;
  atomic_store(&s.k->away, FCGI_ERR_CLOSED);
  begin(&s, THREADS);
  for (int i = 0; i < LONG_MS && lines_count(&s.f->log, "not ready") == 0; i++)
    usleep(1000);
  finish(&s);
}

/* However long a take of it may wait. */
static void test_a_stop_ends_a_wait_for_ever(void **state) {
  scene s;
  struct timespec until;
  prepare(&s, *state, get);
  s.config.eager = 1;
  s.config.acquire_timeout_ms = FCGI_WAIT_FOREVER;
  atomic_store(&s.k->away, FCGI_ERR_CLOSED);
  begin(&s, 1);
  while (atomic_load(&s.k->attempts) == 0)
    usleep(1000);
  fcgi_server_stop(s.f->server, FCGI_STOP_GRACEFUL);
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += LONG_MS / 1000;
  int error = pthread_timedjoin_np(s.threads[0], NULL, &until);
  s.count = error ? 1 : 0;
  atomic_store(&s.k->away, 0);
  finish(&s);
  assert_int_equal(error, 0);
}

/* What a client library began for the thread ends after its handles. */
static void test_a_thread_closes_before_it_stops(void **state) {
  scene s;
  prepare(&s, *state, get);
  begin(&s, 1);
  ask(&s);
  await_answer(&s);
  finish(&s);
  assert_int_equal(atomic_load(&s.closed), 1);
}

/* The same where it never serves. */
static void test_a_thread_that_fails_closes_before_it_stops(void **state) {
  scene s;
  prepare(&s, *state, get);
  keeping *other = calloc(1, sizeof *other);
  fcgi_resource_config config = keeping_config(other);
  config.eager = s.config.eager = 1;
  atomic_store(&other->away, FCGI_ERR_INVALID);
  keeping_begin(s.k, &s.config);
  keeping_begin(other, &config);
  assert_int_equal(fcgi_server_keep(s.f->server, s.k->resource), 0);
  assert_int_equal(fcgi_server_keep(s.f->server, other->resource), 0);
  assert_int_equal(fcgi_server_run(s.f->server, &s.handler, &s),
                   FCGI_ERR_INVALID);
  assert_int_equal(atomic_load(&s.closed), 1);
  keeping_end(other);
  keeping_end(s.k);
  free(other);
  free(s.k);
}

static void test_one_that_cannot_open_ends_the_server(void **state) {
  scene s;
  prepare(&s, *state, get);
  s.config.eager = 1;
  atomic_store(&s.k->away, FCGI_ERR_INVALID);
  keeping_begin(s.k, &s.config);
  assert_int_equal(fcgi_server_keep(s.f->server, s.k->resource), 0);
  assert_int_equal(fcgi_server_run(s.f->server, &s.handler, &s),
                   FCGI_ERR_INVALID);
  assert_string_equal(fcgi_server_message(s.f->server),
                      "resource 'db' cannot be opened: nobody listens");
  assert_int_equal(atomic_load(&s.stops), 1);
  keeping_end(s.k);
  free(s.k);
}

static int refuse(void *user_data) {
  (void)user_data;
  return FCGI_ERR_NOMEM;
}

static void test_a_thread_that_cannot_start(void **state) {
  scene s;
  prepare(&s, *state, get);
  s.handler.on_thread_start = refuse;
  assert_int_equal(fcgi_server_run(s.f->server, &s.handler, &s),
                   FCGI_ERR_NOMEM);
  assert_string_equal(fcgi_server_message(s.f->server),
                      "on_thread_start has failed");
  assert_int_equal(atomic_load(&s.stops), 0);
  free(s.k);
}

static void test_as_many_as_there_is_room_for(void **state) {
  scene s;
  prepare(&s, *state, get);
  keeping_begin(s.k, &s.config);
  int error = 0, count = 0;
  while (!error && count < 1000)
    error = fcgi_server_keep(s.f->server, s.k->resource), count++;
  assert_int_equal(error, FCGI_ERR_LIMIT);
  assert_non_null(strstr(fcgi_server_message(s.f->server), "64 resources"));
  keeping_end(s.k);
  free(s.k);
}

static uint64_t metric(const scene *s, fcgi_metric which) {
  fcgi_status *status;
  assert_int_equal(
      fcgi__status_of_board(&status, &s->f->server->observer.board), 0);
  uint64_t value = fcgi_status_metric(fcgi_status_total(status), which);
  fcgi_status_free(status);
  return value;
}

static int get_and_look(fcgi_request *request, void *user_data) {
  scene *s = user_data;
  int result = get(request, user_data);
  assert_int_equal(metric(s, FCGI_METRIC_RESOURCES_OPEN), 1);
  assert_int_equal(metric(s, FCGI_METRIC_RESOURCES_IN_USE), 1);
  fcgi_resource_invalidate(s->k->resource, fcgi_request_holder(request));
  return result;
}

static void test_the_status_counts_it(void **state) {
  scene s;
  void *value;
  ((serving *)*state)->config.status_path = "/status";
  prepare(&s, *state, get_and_look);
  s.config.eager = 1;
  begin(&s, 1);
  ask(&s);
  await_answer(&s);
  await(&s.k->closes, 1);
  assert_int_equal(fcgi_resource_take(s.k->resource, NULL, &value), 0);
  assert_int_equal(metric(&s, FCGI_METRIC_RESOURCES_IN_USE), 1);
  assert_int_equal(fcgi_resource_give(s.k->resource, NULL), 0);
  assert_int_equal(metric(&s, FCGI_METRIC_RESOURCES_IN_USE), 0);
  assert_int_equal(metric(&s, FCGI_METRIC_RESOURCES_OPEN), 1);
  assert_int_equal(metric(&s, FCGI_METRIC_RESOURCES_OPENED), 2);
  assert_int_equal(metric(&s, FCGI_METRIC_RESOURCES_FAILED), 0);
  assert_int_equal(metric(&s, FCGI_METRIC_CLOSED_INVALIDATED), 1);
  assert_int_equal(metric(&s, FCGI_METRIC_CLOSED_STOPPED), 0);
  finish(&s);
}

/* It may live on: what it counts then goes nowhere, and to the next one. */
static void test_the_status_ends_before_it(void **state) {
  scene s;
  void *value;
  fcgi_server_event event = {.size = sizeof event};
  serving *f = *state;
  f->config.status_path = "/status";
  prepare(&s, f, get);
  keeping_begin(s.k, &s.config);
  assert_int_equal(fcgi_server_next(f->server, &event, 0), 0);
  fcgi_server_count_resource(f->server, s.k->resource);
  assert_int_equal(fcgi_resource_take(s.k->resource, NULL, &value), 0);
  serving_restart(f);
  assert_int_equal(fcgi_resource_give(s.k->resource, NULL), 0);
  assert_int_equal(fcgi_server_next(f->server, &event, 0), 0);
  fcgi_server_count_resource(f->server, s.k->resource);
  assert_int_equal(metric(&s, FCGI_METRIC_RESOURCES_OPEN), 1);
  assert_int_equal(metric(&s, FCGI_METRIC_RESOURCES_IN_USE), 0);
  keeping_end(s.k);
  assert_int_equal(metric(&s, FCGI_METRIC_RESOURCES_OPEN), 0);
  free(s.k);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_the_end_gives_back),
      SERVING_TEST(test_what_is_kept_past_the_end_is_told),
      SERVING_TEST(test_a_failure_for_want_of_it_is_503),
      SERVING_TEST(test_a_500_for_want_of_it_is_503),
      SERVING_TEST(test_a_pending_request_keeps_it),
      SERVING_TEST(test_two_requests_of_a_thread_do_not_share),
      SERVING_TEST(test_a_request_that_never_ends),
      SERVING_TEST(test_serving_threads_tidy_up),
      SERVING_TEST(test_an_eager_one_is_open_before_it_serves),
      SERVING_TEST(test_a_stop_ends_the_wait_for_an_eager_one),
      SERVING_TEST(test_a_stop_ends_a_wait_for_ever),
      SERVING_TEST(test_a_thread_closes_before_it_stops),
      SERVING_TEST(test_a_thread_that_fails_closes_before_it_stops),
      SERVING_TEST(test_one_that_cannot_open_ends_the_server),
      SERVING_TEST(test_a_thread_that_cannot_start),
      SERVING_TEST(test_as_many_as_there_is_room_for),
      SERVING_TEST(test_the_status_counts_it),
      SERVING_TEST(test_the_status_ends_before_it),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
