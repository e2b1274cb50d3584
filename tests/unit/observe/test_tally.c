/* SPDX-License-Identifier: MIT */
/* What a server counts of its requests, and shows of them while they last. */
#include "server/server.h"
#include "support/serving.h"

#include <stdio.h>
#include <string.h>

enum { MOST = FCGI__BOARD_ENTRIES };

static void begin(serving *f) {
  f->config.status_path = "/status";
  serving_restart(f);
}

static uint64_t value(const serving *f, fcgi_metric metric) {
  fcgi__board_slot *slot = atomic_load(&f->server->observer.slot);
  return atomic_load(&slot->counts.values[metric]);
}

static fcgi_request *take(serving *f, uint16_t id, const char *uri) {
  records_begin(&f->text->sent, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(&f->text->sent, id, "REQUEST_METHOD", "GET");
  records_param(&f->text->sent, id, "REQUEST_URI", uri);
  records_params_end(&f->text->sent, id);
  records_stdin_end(&f->text->sent, id);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static void reply(serving *f, fcgi_request *request, int status) {
  assert_int_equal(fcgi_request_reply(request, status, NULL, "b", 1), 0);
  serving_idle(f, 0);
  serving_receive(f);
}

static void expect_open(const serving *f, uint64_t active, uint64_t most) {
  assert_int_equal(value(f, FCGI_METRIC_QUEUED), 0);
  assert_int_equal(value(f, FCGI_METRIC_ACTIVE), active);
  assert_int_equal(value(f, FCGI_METRIC_ACTIVE_MAX), most);
}

static void test_how_many_run_at_once(void **state) {
  serving *f = *state;
  fcgi_request *open[3];
  begin(f);
  for (uint16_t i = 0; i < 3; i++) {
    open[i] = take(f, i + 1, "/");
    expect_open(f, i + 1u, i + 1u);
  }
  reply(f, open[0], 200);
  reply(f, open[1], 200);
  expect_open(f, 1, 3);
  open[0] = take(f, 1, "/");
  expect_open(f, 2, 3);
  reply(f, open[0], 200);
  reply(f, open[2], 200);
  expect_open(f, 0, 3);
  assert_int_equal(value(f, FCGI_METRIC_REQUESTS), 4);
  assert_int_equal(value(f, FCGI_METRIC_FINISHED), 4);
}

static void test_answers_are_counted_by_their_class(void **state) {
  static const int statuses[] = {200, 299, 301, 400, 404, 499, 500, 599};
  serving *f = *state;
  begin(f);
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
    reply(f, take(f, 1, "/"), statuses[i]);
  assert_int_equal(value(f, FCGI_METRIC_RESPONSES_1XX), 0);
  assert_int_equal(value(f, FCGI_METRIC_RESPONSES_2XX), 2);
  assert_int_equal(value(f, FCGI_METRIC_RESPONSES_3XX), 1);
  assert_int_equal(value(f, FCGI_METRIC_RESPONSES_4XX), 3);
  assert_int_equal(value(f, FCGI_METRIC_RESPONSES_5XX), 2);
}

static fcgi_status *read_it(const serving *f) {
  fcgi_status *status;
  assert_int_equal(fcgi__status_of_board(&status, &f->server->observer.board),
                   0);
  return status;
}

/* How many requests the worker shows; the last of them into `out`. */
static size_t shown(const serving *f, char path[FCGI__BOARD_PATH]) {
  fcgi_status *status = read_it(f);
  const fcgi_status_worker *worker = fcgi_status_worker_at(status, 0);
  size_t count = worker->request_count;
  path[0] = '\0';
  if (count > 0)
    strcpy(path, fcgi_status_request_at(worker, count - 1)->path);
  fcgi_status_free(status);
  return count;
}

/* More than there is room for are counted and not shown. */
static void test_so_many_are_shown(void **state) {
  serving *f = *state;
  fcgi_request *open[MOST + 2];
  char path[FCGI__BOARD_PATH], uri[16];
  begin(f);
  for (uint16_t i = 0; i < MOST + 2; i++) {
    snprintf(uri, sizeof uri, "/%d", i);
    open[i] = take(f, i + 1, uri);
    assert_int_equal(shown(f, path), i < MOST ? i + 1 : MOST);
    assert_string_equal(path, i < MOST ? uri : "/63");
  }
  expect_open(f, MOST + 2, MOST + 2);
  reply(f, open[MOST - 1], 200);
  assert_int_equal(shown(f, path), MOST - 1);
  open[MOST - 1] = take(f, MOST, "/again");
  assert_int_equal(shown(f, path), MOST);
  assert_string_equal(path, "/again");
  for (int i = 0; i < MOST + 2; i++)
    reply(f, open[i], 200);
  assert_int_equal(shown(f, path), 0);
  expect_open(f, 0, MOST + 2);
}

static void expect_path(serving *f, const char *uri, const char *expected) {
  char path[FCGI__BOARD_PATH];
  fcgi_request *request = take(f, 1, uri);
  assert_int_equal(shown(f, path), 1);
  assert_string_equal(path, expected);
  reply(f, request, 200);
}

/* Without the query, and cut where it is longer than its place. */
static void test_what_is_shown_of_a_path(void **state) {
  serving *f = *state;
  char uri[FCGI__BOARD_PATH + 2], cut[FCGI__BOARD_PATH] = "";
  begin(f);
  expect_path(f, "/a?b", "/a");
  expect_path(f, "/?", "/");
  memset(uri, 'a', sizeof uri);
  uri[0] = '/';
  uri[FCGI__BOARD_PATH + 1] = '\0';
  memcpy(cut, uri, sizeof cut - 1);
  expect_path(f, uri, cut);
  uri[FCGI__BOARD_PATH] = '\0';
  expect_path(f, uri, cut);
  uri[FCGI__BOARD_PATH - 1] = '\0';
  expect_path(f, uri, uri);
  uri[FCGI__BOARD_PATH - 2] = '\0';
  expect_path(f, uri, uri);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_how_many_run_at_once),
      SERVING_TEST(test_answers_are_counted_by_their_class),
      SERVING_TEST(test_so_many_are_shown),
      SERVING_TEST(test_what_is_shown_of_a_path),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
