/* SPDX-License-Identifier: MIT */
/* The shared memory: who may use it, and what a reader makes of bad bytes. */
#include "board/scoreboard.h"
#include "board/status.h"
#include "os/clock.h"
#include "support/unit.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int set_up(void **state) {
  fcgi__board *board = calloc(1, sizeof *board);
  *state = board;
  return fcgi__board_new(board, 3);
}

static int tear_down(void **state) {
  fcgi__board_free(*state);
  free(*state);
  return 0;
}

static void add(fcgi__board *board, int slot, unsigned value, uint64_t by) {
  atomic_fetch_add(&fcgi__board_slot_at(board, slot)->counts.values[value], by);
}

static fcgi_status *read_it(const fcgi__board *board) {
  fcgi_status *status;
  size_t len;
  char *copy = fcgi__board_copy(board, &len);
  assert_int_equal(fcgi_status_parse(&status, copy, len), 0);
  free(copy);
  return status;
}

static void test_every_latency_has_its_bucket(void **state) {
  (void)state;
  assert_int_equal(fcgi__board_bucket(0), 0);
  assert_int_equal(fcgi__board_bucket(16), 0);
  assert_int_equal(fcgi__board_bucket(UINT64_MAX), FCGI__BOARD_BUCKETS - 1);
  for (unsigned i = 0; i < FCGI__BOARD_BUCKETS - 1; i++) {
    uint64_t end = fcgi__board_bucket_end(i);
    assert_int_equal(fcgi__board_bucket(end), i);
    assert_int_equal(fcgi__board_bucket(end + 1), i + 1);
    if (i > 0)
      assert_true(end * 4 <= fcgi__board_bucket_end(i - 1) * 5);
  }
  assert_true(fcgi__board_bucket_end(FCGI__BOARD_BUCKETS - 2) > 800000000);
}

static void test_quantiles_come_from_buckets(void **state) {
  fcgi__status_worker worker = {.shown.pid = 0}, before;
  (void)state;
  assert_int_equal(fcgi_status_quantile(&worker.shown, NULL, 0.5), 0);
  worker.latency[fcgi__board_bucket(100)] = 98;
  worker.latency[fcgi__board_bucket(5000)] = 1;
  worker.latency[fcgi__board_bucket(70000)] = 1;
  assert_in_range(fcgi_status_quantile(&worker.shown, NULL, 0.5), 100, 125);
  assert_in_range(fcgi_status_quantile(&worker.shown, NULL, 0.99), 5000, 6250);
  assert_in_range(fcgi_status_quantile(&worker.shown, NULL, 1), 70000, 87500);
  before = worker;
  assert_int_equal(fcgi_status_quantile(&worker.shown, &before.shown, 1), 0);
  worker.latency[fcgi__board_bucket(100)]++;
  assert_in_range(fcgi_status_quantile(&worker.shown, &before.shown, 1), 100,
                  125);
}

static void test_another_process_counts(void **state) {
  fcgi__board *board = *state;
  int slot = fcgi__board_take(board, 7), status;
  fcgi__board other;
  pid_t pid = fork();
  if (pid == 0) {
    if (fcgi__board_attach(&other, dup(board->fd)))
      _exit(1);
    add(&other, slot, FCGI_METRIC_REQUESTS, 5);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(fcgi__board_requests(board, slot), 5);
  fcgi_status *seen = read_it(board);
  assert_int_equal(seen->worker_count, 1);
  assert_int_equal(fcgi_status_worker_at(seen, 0)->generation, 7);
  assert_int_equal(
      fcgi_status_metric(fcgi_status_total(seen), FCGI_METRIC_REQUESTS), 5);
  fcgi_status_free(seen);
}

static void test_totals_outlive_workers(void **state) {
  fcgi__board *board = *state;
  int slot = fcgi__board_take(board, 1);
  add(board, slot, FCGI_METRIC_REQUESTS, 5);
  add(board, slot, FCGI_METRIC_OPEN, 9);
  fcgi__board_release_slot(board, slot);
  assert_int_equal(fcgi__board_take(board, 2), slot);
  add(board, slot, FCGI_METRIC_REQUESTS, 1);
  fcgi_status *seen = read_it(board);
  assert_int_equal(
      fcgi_status_metric(fcgi_status_total(seen), FCGI_METRIC_REQUESTS), 6);
  assert_int_equal(
      fcgi_status_metric(fcgi_status_worker_at(seen, 0), FCGI_METRIC_REQUESTS),
      1);
  assert_int_equal(
      fcgi_status_metric(fcgi_status_total(seen), FCGI_METRIC_OPEN), 0);
  fcgi_status_free(seen);
}

/* A program may know numbers of a later version. */
static void test_what_is_not_known_is_0(void **state) {
  fcgi_status *status = read_it(*state);
  assert_int_equal(fcgi_status_metric(fcgi_status_total(status), FCGI_METRICS),
                   0);
  assert_int_equal(fcgi_status_supervised(status, FCGI_SUPERVISED_EVENTS), 0);
  assert_null(fcgi_status_worker_at(status, 0));
  fcgi_status_free(status);
}

static void test_slots_run_out(void **state) {
  fcgi__board *board = *state;
  for (int i = 0; i < 3; i++)
    assert_int_equal(fcgi__board_take(board, 1), i);
  assert_int_equal(fcgi__board_take(board, 1), -1);
  fcgi__board_set_pid(board, -1, 1);
  fcgi__board_set_state(board, 3, FCGI_WORKER_READY);
  fcgi__board_release_slot(board, 3);
  fcgi__board_release_slot(board, 1);
  assert_int_equal(fcgi__board_take(board, 1), 1);
}

static void test_overdue_handlers_are_seen(void **state) {
  fcgi__board *board = *state;
  int slot = fcgi__board_take(board, 1);
  fcgi__board_entry *entry = &fcgi__board_slot_at(board, slot)->entries[63];
  assert_int_equal(fcgi__board_overdue_ms(board, slot), -1);
  atomic_store(&entry->overdue_us, fcgi__now_us() - 3000000);
  assert_int_equal(fcgi__board_overdue_ms(board, slot), -1);
  atomic_store(&entry->phase, FCGI_PHASE_OVERDUE);
  assert_in_range(fcgi__board_overdue_ms(board, slot), 3000, 60000);
}

static void test_what_is_no_board_is_refused(void **state) {
  fcgi__board *board = *state, other;
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  assert_int_equal(fcgi__board_attach(&other, fds[0]), FCGI_ERR_PROTOCOL);
  assert_int_equal(close(fds[0]), 0); /* It stayed ours. */
  close(fds[1]);
  assert_int_equal(fcgi__board_attach(&other, -1), FCGI_ERR_SYSTEM);
  board->head->version++;
  int fd = dup(board->fd);
  assert_int_equal(fcgi__board_attach(&other, fd), FCGI_ERR_PROTOCOL);
  close(fd);
  board->head->version--;
  board->head->slot_count = 4; /* More than there is memory for. */
  fd = dup(board->fd);
  assert_int_equal(fcgi__board_attach(&other, fd), FCGI_ERR_PROTOCOL);
  close(fd);
  assert_int_equal(fcgi__board_slots(board), 3);
}

/* Otherwise a reader could be killed by SIGBUS. */
static void test_nobody_can_shrink_it(void **state) {
  fcgi__board *board = *state;
  assert_int_equal(ftruncate(board->fd, 10), -1);
  assert_int_equal(errno, EPERM);
}

/* One of the same bytes that its maker could cut while others look. */
static void expect_no_board(const fcgi__board *board, int fd, int seals) {
  fcgi__board other;
  assert_true(fd >= 0);
  assert_int_equal(write(fd, board->head, board->size), board->size);
  if (seals)
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
  assert_int_equal(fcgi__board_attach(&other, fd), FCGI_ERR_PROTOCOL);
  close(fd);
}

static void test_what_may_shrink_is_no_board(void **state) {
  const fcgi__board *board = *state;
  char path[] = "/tmp/fastcgi-unit-XXXXXX";
  expect_no_board(board, memfd_create("fastcgi-scoreboard", 0), 0);
  expect_no_board(board, memfd_create("fastcgi-scoreboard", MFD_ALLOW_SEALING),
                  0);
  expect_no_board(board, memfd_create("fastcgi-scoreboard", MFD_ALLOW_SEALING),
                  F_SEAL_GROW);
  expect_no_board(board, mkstemp(path), 0);
  unlink(path);
}

static void render_all(const fcgi_status *status) {
  for (int i = FCGI_STATUS_AS_TEXT; i < FCGI_STATUS_AS_RAW; i++) {
    char *text = NULL;
    size_t len;
    assert_int_equal(
        fcgi_status_render(status, (fcgi_status_format)i, &text, &len), 0);
    assert_int_equal(strlen(text), len);
    for (size_t j = 0; j < len; j++)
      assert_true((text[j] >= ' ' && text[j] <= '~') || text[j] == '\n');
    fcgi_status_text_free(text);
  }
}

static void test_what_is_no_format_is_refused(void **state) {
  static const int wrong[] = {FCGI_STATUS_AS_RAW, FCGI_STATUS_AS_RAW + 1, 1000,
                              -1};
  fcgi_status *status = read_it(*state);
  char *text = NULL;
  size_t len = 0;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(
        fcgi_status_render(status, (fcgi_status_format)wrong[i], &text, &len),
        FCGI_ERR_INVALID);
  assert_null(text);
  fcgi_status_free(status);
}

/* Nothing that lies behind a worker's requests is one of them. */
static void test_requests_of_a_worker_are_its_own(void **state) {
  fcgi__board *board = *state;
  int first = fcgi__board_take(board, 1), second = fcgi__board_take(board, 1);
  fcgi__board_entry *last =
      &fcgi__board_slot_at(board, second)->entries[FCGI__BOARD_ENTRIES - 1];
  fcgi__board_set_pid(board, second, INT64_C(0x0000000100000001));
  atomic_store(&last->phase, FCGI_PHASE_HANDLER);
  fcgi_status *status = read_it(board);
  assert_int_equal(status->worker_count, 2);
  assert_int_equal(status->request_count, 1);
  const fcgi_status_worker *other =
      fcgi_status_worker_at(status, (size_t)first);
  const fcgi_status_worker *busy =
      fcgi_status_worker_at(status, (size_t)second);
  assert_int_equal(other->request_count, 0);
  assert_null(fcgi_status_request_at(other, 0));
  assert_int_equal(busy->request_count, 1);
  assert_int_equal(fcgi_status_request_at(busy, 0)->phase, FCGI_PHASE_HANDLER);
  assert_null(fcgi_status_request_at(busy, 1));
  fcgi_status_free(status);
}

/* Whatever the bytes are, reading them is safe, and what comes out is text. */
static void test_bad_bytes_do_no_harm(void **state) {
  fcgi__board *board = *state;
  size_t len;
  uint32_t random = 1;
  fcgi_status *status;
  for (int i = 0; i < 3; i++)
    fcgi__board_take(board, 1);
  char *good = fcgi__board_copy(board, &len);
  char *bad = malloc(len);
  for (int turn = 0; turn < 60; turn++) {
    memcpy(bad, good, len);
    for (size_t i = turn % 3 ? 24 : 0; i < len; i += 1 + turn % 7) {
      random = random * 1664525 + 1013904223;
      bad[i] = (char)(random >> 24);
    }
    size_t part = turn % 5 == 4 ? random % len : len;
    if (fcgi_status_parse(&status, bad, part) == 0) {
      render_all(status);
      fcgi_status_free(status);
    }
  }
  assert_int_equal(fcgi_status_parse(&status, good, len - 1),
                   FCGI_ERR_PROTOCOL);
  assert_int_equal(fcgi_status_parse(&status, "", 0), FCGI_ERR_PROTOCOL);
  free(bad);
  free(good);
}

static void test_a_process_can_be_looked_into(void **state) {
  fcgi__board *board = *state;
  fcgi_status *status;
  fcgi__board_take(board, 4);
  assert_int_equal(fcgi_status_of_pid(&status, getpid()), 0);
  assert_int_equal(status->worker_count, 1);
  assert_int_equal(fcgi_status_worker_at(status, 0)->generation, 4);
  fcgi_status_free(status);
  fcgi__board_free(board);
  assert_int_equal(fcgi_status_of_pid(&status, getpid()), FCGI_ERR_SYSTEM);
  assert_int_equal(errno, ENOENT);
  assert_int_equal(fcgi_status_of_pid(&status, INT32_MAX), FCGI_ERR_SYSTEM);
  assert_int_equal(errno, ESRCH);
}

#define BOARD_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_latency_has_its_bucket),
      cmocka_unit_test(test_quantiles_come_from_buckets),
      BOARD_TEST(test_another_process_counts),
      BOARD_TEST(test_totals_outlive_workers),
      BOARD_TEST(test_what_is_not_known_is_0),
      BOARD_TEST(test_slots_run_out),
      BOARD_TEST(test_overdue_handlers_are_seen),
      BOARD_TEST(test_what_is_no_board_is_refused),
      BOARD_TEST(test_nobody_can_shrink_it),
      BOARD_TEST(test_what_may_shrink_is_no_board),
      BOARD_TEST(test_what_is_no_format_is_refused),
      BOARD_TEST(test_requests_of_a_worker_are_its_own),
      BOARD_TEST(test_bad_bytes_do_no_harm),
      BOARD_TEST(test_a_process_can_be_looked_into),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
