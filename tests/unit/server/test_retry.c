/* SPDX-License-Identifier: MIT */
/* A request that fails because a resource broke is run again. */
#include "board/status.h"
#include "server/server.h"
#include "support/keeping.h"
#include "support/serving.h"

#include <fastcgi/error.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONG_MS = 20000 };

typedef struct scene {
  serving *f;            /* The server and a client. */
  keeping *k;            /* What is kept. */
  const char *method;    /* Of the request. */
  const char *body;      /* Of it, or NULL; */
  unsigned times;        /* it is sent so often, */
  int stream;            /* 1: and again only once the first is read. */
  int held;              /* 1: another callback uses it during the first run. */
  fcgi_retry retry;      /* Of the resource. */
  int asks;              /* 1: the handler wants a retry. */
  int early;             /* 1: it begins its answer before it fails. */
  int breaks;            /* So many runs break what they have. */
  int runs;              /* Of the handler. */
  atomic_int reading;    /* 1: the first run has read something. */
  size_t len[2];         /* How much each run has read of the body, */
  char read[2][16];      /* and what. */
  keeping_value *had[2]; /* What each run had. */
  _Atomic(fcgi_request *) used; /* By another callback, or NULL. */
} scene;

static void read_body(scene *s, int run, fcgi_request *request) {
  char data[4096];
  ptrdiff_t len;
  while ((len = fcgi_request_read(request, data, sizeof data)) > 0) {
    size_t room = sizeof s->read[run] - 1;
    if (s->len[run] == 0)
      memcpy(s->read[run], data, (size_t)len < room ? (size_t)len : room);
    s->len[run] += (size_t)len;
    atomic_store(&s->reading, 1);
  }
}

/* As serve/run.c has it for each callback that runs. */
static void begin_other(scene *s, fcgi_request *request) {
  atomic_fetch_add(&request->held, 1);
  atomic_store(&s->used, request);
}

static int work(fcgi_request *request, void *user_data) {
  scene *s = user_data;
  fcgi_holder *holder = fcgi_request_holder(request);
  void *value;
  int run = s->runs++;
  assert_true(run < 2);
  if (s->asks)
    fcgi_holder_want_retry(holder);
  if (fcgi_resource_get(s->k->resource, holder, &value))
    return -1;
  s->had[run] = value;
  if (s->held && run == 0)
    begin_other(s, request);
  read_body(s, run, request);
  if (s->early)
    fcgi_request_start(request, 200, NULL, 0);
  if (run >= s->breaks)
    return run ? fcgi_request_reply(request, 200, NULL, "hi\n", 3) : -1;
  if (run % 2 == 0)
    fcgi_resource_invalidate(s->k->resource, holder);
  else
    atomic_store(&s->had[run]->broken, 1);
  return -1;
}

static void *run_thread(void *data) {
  static const fcgi_handler handler = {.size = sizeof handler,
                                       .on_request = work};
  scene *s = data;
  return (void *)(intptr_t)fcgi_server_run(s->f->server, &handler, s);
}

static void send_and_wait(const scene *s) {
  serving_send(s->f);
  for (int i = 0; i < LONG_MS && !atomic_load(&s->reading); i++)
    usleep(1000);
  assert_true(atomic_load(&s->reading));
}

static void ask(scene *s) {
  records *r = &s->f->text->sent;
  struct pollfd at = {.fd = s->f->client, .events = POLLIN};
  records_begin(r, 1, FCGI_ROLE_RESPONDER, 0);
  records_param(r, 1, "REQUEST_METHOD", s->method);
  records_param(r, 1, "REQUEST_URI", "/page");
  records_params_end(r, 1);
  for (unsigned i = 0; s->body && i < s->times; i++) {
    records_stdin(r, 1, s->body);
    if (s->stream)
      send_and_wait(s);
  }
  records_stdin_end(r, 1);
  serving_send(s->f);
  assert_int_equal(poll(&at, 1, LONG_MS), 1);
  if (atomic_load(&s->used))
    fcgi__request_release(atomic_load(&s->used));
}

static uint64_t retried(const scene *s) {
  fcgi_status *status;
  assert_int_equal(
      fcgi__status_of_board(&status, &s->f->server->observer.board), 0);
  uint64_t value =
      fcgi_status_metric(fcgi_status_total(status), FCGI_METRIC_RETRIED);
  fcgi_status_free(status);
  return value;
}

/* How often the handler has run. */
static int runs_of(scene given, serving *f) {
  scene s = given;
  pthread_t thread;
  f->config.status_path = "/status";
  f->config.body = s.stream ? FCGI_BODY_STREAM : FCGI_BODY_COLLECT;
  lines_begin(&f->log, &f->config);
  serving_restart(f);
  s.f = f;
  s.k = calloc(1, sizeof *s.k);
  fcgi_resource_config config = keeping_config(s.k);
  config.retry = s.retry;
  keeping_begin(s.k, &config);
  assert_int_equal(fcgi_server_keep(f->server, s.k->resource), 0);
  assert_int_equal(pthread_create(&thread, NULL, run_thread, &s), 0);
  ask(&s);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  pthread_join(thread, NULL);
  serving_receive(f);
  assert_int_equal(retried(&s), s.runs - 1);
  assert_int_equal(
      lines_count(&f->log, "GET /page: failed, as a resource that it had "
                           "broke; it is run once more") +
          lines_count(&f->log, "HEAD /page: failed, as a resource"),
      s.runs - 1);
  if (s.runs == 2)
    assert_ptr_not_equal(s.had[0], s.had[1]);
  if (s.runs == 2)
    assert_string_equal(s.read[1], s.read[0]);
  if (s.runs == 2)
    assert_int_equal(s.len[1], s.len[0]);
  assert_int_equal(s.len[0], s.body ? s.times * strlen(s.body) : 0);
  keeping_end(s.k);
  free(s.k);
  return s.runs;
}

static const scene usual = {
    .method = "GET", .retry = FCGI_RETRY_SAFE, .breaks = 1, .times = 1};

static void test_it_runs_once_more(void **state) {
  serving *f = *state;
  assert_int_equal(runs_of(usual, f), 2);
  serving_expect(f, "stdout 1 Content-Length: 3\r\nStatus: 200 OK\r\n\r\n"
                    "hi\n\nstdout_end 1\nend 1 app=0 status=0\n");
}

static void test_and_only_once(void **state) {
  scene s = usual;
  s.breaks = 2;
  assert_int_equal(runs_of(s, *state), 2);
}

static void test_the_body_is_read_again(void **state) {
  scene s = usual;
  s.body = "a body";
  assert_int_equal(runs_of(s, *state), 2);
}

/* In memory and in a file. */
static void test_a_long_body_is_read_again(void **state) {
  char body[50001];
  scene s = usual;
  memset(body, 'x', sizeof body - 1);
  body[sizeof body - 1] = '\0';
  memcpy(body, "begin", 5);
  s.body = body;
  for (s.times = 2; s.times <= 8; s.times += 6)
    assert_int_equal(runs_of(s, *state), 2);
}

/* What was read has made room for what came then. */
static void test_not_where_part_of_the_body_is_gone(void **state) {
  scene s = usual;
  s.body = "part";
  s.times = 2;
  s.stream = 1;
  assert_int_equal(runs_of(s, *state), 1);
}

static void test_not_while_another_callback_runs(void **state) {
  scene s = usual;
  s.held = 1;
  assert_int_equal(runs_of(s, *state), 1);
}

static void test_head_is_safe_too(void **state) {
  scene s = usual;
  s.method = "HEAD";
  assert_int_equal(runs_of(s, *state), 2);
}

static void test_a_handler_asks_for_it(void **state) {
  scene s = usual;
  s.retry = FCGI_RETRY_NEVER;
  s.asks = 1;
  assert_int_equal(runs_of(s, *state), 2);
}

static void test_it_is_off_by_default(void **state) {
  scene s = usual;
  s.retry = FCGI_RETRY_NEVER;
  assert_int_equal(runs_of(s, *state), 1);
}

static void test_not_where_nothing_broke(void **state) {
  scene s = usual;
  s.breaks = 0;
  assert_int_equal(runs_of(s, *state), 1);
}

static void test_not_where_the_method_changes_something(void **state) {
  scene s = usual;
  s.method = "POST";
  assert_int_equal(runs_of(s, *state), 1);
}

static void test_not_where_the_answer_has_begun(void **state) {
  scene s = usual;
  s.early = 1;
  assert_int_equal(runs_of(s, *state), 1);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_it_runs_once_more),
      SERVING_TEST(test_and_only_once),
      SERVING_TEST(test_the_body_is_read_again),
      SERVING_TEST(test_a_long_body_is_read_again),
      SERVING_TEST(test_not_where_part_of_the_body_is_gone),
      SERVING_TEST(test_not_while_another_callback_runs),
      SERVING_TEST(test_head_is_safe_too),
      SERVING_TEST(test_a_handler_asks_for_it),
      SERVING_TEST(test_it_is_off_by_default),
      SERVING_TEST(test_not_where_nothing_broke),
      SERVING_TEST(test_not_where_the_method_changes_something),
      SERVING_TEST(test_not_where_the_answer_has_begun),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
