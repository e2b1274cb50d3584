/* SPDX-License-Identifier: MIT */
/* What a scoreboard has of resources: by name, in each worker and in sum. */
#include "board/scoreboard.h"
#include "board/status.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int set_up(void **state) {
  fcgi__board *board = calloc(1, sizeof *board);
  *state = board;
  if (fcgi__board_new(board, 3))
    return -1;
  return fcgi__board_take(board, 1) == 0 && fcgi__board_take(board, 1) == 1
             ? 0
             : -1;
}

static int tear_down(void **state) {
  fcgi__board_free(*state);
  free(*state);
  return 0;
}

static void add(fcgi__board *board, int slot, const char *name,
                fcgi_metric metric, uint64_t by) {
  fcgi__board_slot *at = fcgi__board_slot_at(board, slot);
  fcgi__board_row *row = fcgi__board_row_of(at->rows, name);
  atomic_fetch_add(&row->counts[fcgi__row_at(metric)], by);
}

static fcgi_status *read_it(const fcgi__board *board) {
  fcgi_status *status;
  assert_int_equal(fcgi__status_of_board(&status, board), 0);
  return status;
}

/* The number of a resource, or -1 where there is none of that name. */
static int64_t number(const fcgi_status_worker *worker, const char *name,
                      fcgi_metric metric) {
  const fcgi_status_resource *at;
  for (size_t i = 0; (at = fcgi_status_resource_at(worker, i)) != NULL; i++)
    if (strcmp(at->name, name) == 0)
      return (int64_t)fcgi_status_resource_metric(at, metric);
  return -1;
}

static void test_by_name_and_in_sum(void **state) {
  fcgi__board *board = *state;
  add(board, 0, "db", FCGI_METRIC_RESOURCES_OPEN, 2);
  add(board, 0, "db", FCGI_METRIC_RESOURCES_OPENED, 5);
  add(board, 0, "cache", FCGI_METRIC_RESOURCES_OPEN, 1);
  add(board, 1, "db", FCGI_METRIC_RESOURCES_OPEN, 3);
  fcgi_status *status = read_it(board);
  const fcgi_status_worker *total = fcgi_status_total(status);
  const fcgi_status_worker *first = fcgi_status_worker_at(status, 0);
  const fcgi_status_worker *second = fcgi_status_worker_at(status, 1);
  assert_int_equal(total->resource_count, 2);
  assert_int_equal(first->resource_count, 2);
  assert_int_equal(second->resource_count, 1);
  assert_int_equal(number(total, "db", FCGI_METRIC_RESOURCES_OPEN), 5);
  assert_int_equal(number(total, "cache", FCGI_METRIC_RESOURCES_OPEN), 1);
  assert_int_equal(number(first, "db", FCGI_METRIC_RESOURCES_OPENED), 5);
  assert_int_equal(number(second, "db", FCGI_METRIC_RESOURCES_OPEN), 3);
  assert_int_equal(number(second, "cache", FCGI_METRIC_RESOURCES_OPEN), -1);
  assert_int_equal(number(total, "db", FCGI_METRIC_REQUESTS), 0);
  assert_int_equal(fcgi_status_metric(total, FCGI_METRIC_RESOURCES_OPEN), 6);
  assert_int_equal(fcgi_status_metric(first, FCGI_METRIC_RESOURCES_OPEN), 3);
  fcgi_status_free(status);
}

static void test_those_without_a_row_share_one(void **state) {
  fcgi__board *board = *state;
  for (int i = 0; i < 2 * FCGI__BOARD_ROWS; i++) {
    char name[80];
    snprintf(name, sizeof name, "%d %060d", i, 0);
    add(board, 0, name, FCGI_METRIC_RESOURCES_OPEN, 1);
    add(board, 0, name, FCGI_METRIC_RESOURCES_OPEN, 1);
  }
  fcgi_status *status = read_it(board);
  const fcgi_status_worker *total = fcgi_status_total(status);
  assert_int_equal(total->resource_count, FCGI__BOARD_ROWS);
  assert_int_equal(number(total, "others", FCGI_METRIC_RESOURCES_OPEN),
                   2 * (FCGI__BOARD_ROWS + 1));
  assert_int_equal(fcgi_status_metric(total, FCGI_METRIC_RESOURCES_OPEN),
                   4 * FCGI__BOARD_ROWS);
  fcgi_status_free(status);
}

static void test_counters_of_a_worker_stay(void **state) {
  fcgi__board *board = *state;
  add(board, 0, "db", FCGI_METRIC_RESOURCES_OPEN, 2);
  add(board, 0, "db", FCGI_METRIC_RESOURCES_OPENED, 5);
  add(board, 1, "db", FCGI_METRIC_RESOURCES_OPENED, 1);
  fcgi__board_release_slot(board, 0);
  fcgi__board_release_slot(board, 0);
  fcgi_status *status = read_it(board);
  const fcgi_status_worker *total = fcgi_status_total(status);
  assert_int_equal(number(total, "db", FCGI_METRIC_RESOURCES_OPEN), 0);
  assert_int_equal(number(total, "db", FCGI_METRIC_RESOURCES_OPENED), 6);
  assert_int_equal(fcgi_status_metric(total, FCGI_METRIC_RESOURCES_OPENED), 6);
  fcgi_status_free(status);
  assert_int_equal(fcgi__board_take(board, 2), 0);
  status = read_it(board);
  assert_int_equal(fcgi_status_worker_at(status, 0)->resource_count, 0);
  fcgi_status_free(status);
}

static void expect_in(const fcgi_status *status, fcgi_status_format format,
                      const char *part) {
  char *text;
  size_t len;
  assert_int_equal(fcgi_status_render(status, format, &text, &len), 0);
  if (!strstr(text, part))
    fail_msg("no \"%s\" in \"%s\"", part, text);
  fcgi_status_text_free(text);
}

static void test_each_format_has_them(void **state) {
  fcgi__board *board = *state;
  fcgi__board_slot *slot = fcgi__board_slot_at(board, 0);
  add(board, 0, "<d\"b\n>", FCGI_METRIC_RESOURCES_OPEN, 2);
  add(board, 0, "<d\"b\n>", FCGI_METRIC_RESOURCES_WAITED, 3);
  add(board, 0, "<d\"b\n>", FCGI_METRIC_RESOURCES_WAITED_MS, 7);
  add(board, 0, "<d\"b\n>", FCGI_METRIC_CLOSED_AGE, 4);
  slot->rows[0].counts[FCGI__ROW_METRICS + 2] = 3;
  fcgi_status *status = read_it(board);
  assert_int_equal(
      fcgi_status_resource_waits(
          fcgi_status_resource_at(fcgi_status_total(status), 0), 2),
      3);
  expect_in(status, FCGI_STATUS_AS_JSON,
            "\"resources\":[{\"name\":\"<d\\\"b\\u000a>\",\"open\":2,");
  expect_in(status, FCGI_STATUS_AS_JSON, "\"waits\":[0,0,3,0,");
  expect_in(status, FCGI_STATUS_AS_OPENMETRICS,
            "\nfastcgi_resource_open{resource=\"<d\\\"b?>\"} 2\n");
  expect_in(status, FCGI_STATUS_AS_OPENMETRICS,
            "\nfastcgi_resource_closed_total{resource=\"<d\\\"b?>\","
            "cause=\"age\"} 4\n");
  expect_in(status, FCGI_STATUS_AS_OPENMETRICS,
            "\nfastcgi_resource_wait_seconds_bucket{resource=\"<d\\\"b?>\","
            "le=\"0.002\"} 0\n");
  expect_in(status, FCGI_STATUS_AS_OPENMETRICS,
            "\nfastcgi_resource_wait_seconds_bucket{resource=\"<d\\\"b?>\","
            "le=\"0.004\"} 3\n");
  expect_in(status, FCGI_STATUS_AS_OPENMETRICS,
            "\nfastcgi_resource_wait_seconds_sum{resource=\"<d\\\"b?>\"} "
            "0.007\n");
  expect_in(status, FCGI_STATUS_AS_HTML, "<tr><td>&#60;d&#34;b?&#62;<td>2<td>");
  expect_in(
      status, FCGI_STATUS_AS_TEXT,
      "resource <d\"b?>: open 2, in use 0, waiting 0, opened 0, failed 0, "
      "refused 0, waited 3 times, 7 ms\n");
  fcgi_status_free(status);
}

/* Bytes that nobody has written so: a name without an end. */
static void test_a_reader_trusts_nothing(void **state) {
  fcgi__board *board = *state;
  fcgi__board_slot *slot = fcgi__board_slot_at(board, 0);
  memset((void *)slot->rows, 0xff, sizeof slot->rows);
  fcgi_status *status = read_it(board);
  const fcgi_status_worker *first = fcgi_status_worker_at(status, 0);
  assert_int_equal(first->resource_count, 1);
  assert_int_equal(strlen(fcgi_status_resource_at(first, 0)->name),
                   FCGI__BOARD_NAME - 1);
  fcgi_status_free(status);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_by_name_and_in_sum),
      TEST(test_those_without_a_row_share_one),
      TEST(test_counters_of_a_worker_stay),
      TEST(test_each_format_has_them),
      TEST(test_a_reader_trusts_nothing),
  };
  return cmocka_run_group_tests_name("board rows", tests, NULL, NULL);
}
