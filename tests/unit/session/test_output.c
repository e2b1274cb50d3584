/* SPDX-License-Identifier: MIT */
/* From calls to bytes: STDOUT, STDERR, files, turns and the end. */
#include "support/dialogue.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BIG = 300000 };

/* Open request `id`, whose STDIN goes on. */
static void open_request(dialogue *d, uint16_t id) {
  records_open(&d->sent, id);
  assert_int_equal(dialogue_feed(d), 0);
  d->events.len = 0;
}

static void write_out(dialogue *d, uint16_t id, const char *text) {
  assert_int_equal(fcgi_session_write(d->session, id, FCGI_STREAM_STDOUT, text,
                                      strlen(text)),
                   0);
}

static void end_request(dialogue *d, uint16_t id) {
  assert_int_equal(fcgi_session_end(d->session, id, 0, FCGI_END_COMPLETE), 0);
}

static void feed_stdin_end(dialogue *d, uint16_t id) {
  records_stdin_end(&d->sent, id);
  assert_int_equal(dialogue_feed(d), 0);
}

/* `len` bytes that differ from place to place, to be freed. */
static char *pattern(size_t len) {
  char *bytes = malloc(len);
  for (size_t i = 0; i < len; i++)
    bytes[i] = (char)('a' + (i * 7 + i / 1000) % 26);
  return bytes;
}

/* The answer's lines are the big text on STDOUT of `id`, then `rest`. */
static void expect_big(dialogue *d, uint16_t id, const char *bytes, size_t len,
                       const char *rest) {
  records expected = {0};
  char start[32];
  int start_len = snprintf(start, sizeof start, "stdout %u ", id);
  records_raw(&expected, start, (size_t)start_len);
  records_raw(&expected, bytes, len);
  records_raw(&expected, "\n", 1);
  records_raw(&expected, rest, strlen(rest) + 1);
  dialogue_expect_answer(d, (const char *)expected.data);
  records_free(&expected);
}

static void test_output_frames_what_is_written(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  write_out(d, 1, "Content-Type: text/plain\r\n\r\n");
  write_out(d, 1, "Hello");
  dialogue_expect_answer(d, "stdout 1 Content-Type: text/plain\r\n\r\nHello\n");
}

static void test_output_joins_small_writes_in_one_record(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  for (int i = 0; i < 8; i++)
    write_out(d, 1, "12345678");
  dialogue_send(d);
  assert_int_equal(d->wire.len, FCGI_RECORD_HEADER + 64);
}

static void test_output_small_answer_is_one_slice(void **state) {
  dialogue *d = *state;
  struct iovec iov[16];
  open_request(d, 1);
  feed_stdin_end(d, 1);
  write_out(d, 1, "Hello");
  end_request(d, 1);
  assert_int_equal(fcgi_session_output(d->session, iov, 16), 1);
}

static void test_output_records_are_padded_to_8_bytes(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  feed_stdin_end(d, 1);
  write_out(d, 1, "12345");
  end_request(d, 1);
  dialogue_send(d);
  assert_int_equal(d->wire.data[6], 3);
  assert_int_equal(d->wire.len % 8, 0);
}

static void test_output_writes_nothing_for_nothing(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, NULL, 0), 0);
  assert_int_equal(fcgi_session_write(d->session, 1, FCGI_STREAM_STDERR, "", 0),
                   0);
  assert_int_equal(fcgi_session_lend(d->session, 1, NULL, 0), 0);
  dialogue_expect_answer(d, "");
}

static void test_output_splits_big_writes(void **state) {
  dialogue *d = *state;
  char *bytes = pattern(BIG);
  open_request(d, 1);
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, bytes, BIG), 0);
  expect_big(d, 1, bytes, BIG, "");
  free(bytes);
}

static void test_output_takes_every_size(void **state) {
  dialogue *d = *state;
  char *bytes = pattern(1200);
  open_request(d, 1);
  for (size_t len = 1; len <= 1200; len++) {
    assert_int_equal(
        fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, bytes, len), 0);
    expect_big(d, 1, bytes, len, "");
  }
  free(bytes);
}

static void test_output_ends_every_size(void **state) {
  dialogue *d = *state;
  char *bytes = pattern(1200);
  for (size_t len = 1; len <= 1200; len++) {
    open_request(d, 1);
    feed_stdin_end(d, 1);
    assert_int_equal(
        fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, bytes, len), 0);
    fcgi_session_write(d->session, 1, FCGI_STREAM_STDERR, "e", 1);
    end_request(d, 1);
    expect_big(d, 1, bytes, len,
               "stderr 1 e\nstderr_end 1\nstdout_end 1\n"
               "end 1 app=0 status=0\n");
    assert_int_equal(dialogue_take(d), 0);
    d->events.len = 0;
  }
  free(bytes);
}

static void test_output_keeps_the_order_of_streams(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  write_out(d, 1, "a");
  fcgi_session_write(d->session, 1, FCGI_STREAM_STDERR, "b", 1);
  write_out(d, 1, "c");
  assert_int_equal(fcgi_session_lend(d->session, 1, "d", 1), 0);
  write_out(d, 1, "e");
  dialogue_expect_answer(d, "stdout 1 a\nstderr 1 b\nstdout 1 cde\n");
}

static void test_output_refuses_other_streams(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  assert_int_equal(fcgi_session_write(d->session, 1, FCGI_STREAM_STDIN, "x", 1),
                   FCGI_ERR_INVALID);
  assert_int_equal(fcgi_session_write(d->session, 1, FCGI_STREAM_DATA, "x", 1),
                   FCGI_ERR_INVALID);
}

static void test_output_refuses_requests_that_are_not_open(void **state) {
  dialogue *d = *state;
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "x", 1),
      FCGI_ERR_STATE);
  open_request(d, 1);
  end_request(d, 1);
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "x", 1),
      FCGI_ERR_STATE);
  assert_int_equal(fcgi_session_lend(d->session, 1, "x", 1), FCGI_ERR_STATE);
  assert_int_equal(fcgi_session_write_file(d->session, 1, 0, 0, 1),
                   FCGI_ERR_STATE);
  assert_int_equal(fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE),
                   FCGI_ERR_STATE);
}

static void test_output_refuses_a_request_before_its_params_end(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  dialogue_feed(d);
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "x", 1),
      FCGI_ERR_STATE);
}

static void test_output_takes_nothing_from_nowhere(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  assert_int_equal(fcgi_session_lend(d->session, 1, NULL, 0), 0);
  assert_int_equal(fcgi_session_lend(d->session, 1, NULL, 1), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_session_queued(d->session, 2), 0);
  fcgi_session_output_done(d->session, 1000);
  dialogue_expect_answer(d, "");
}

static void test_output_queued_counts_what_is_unsent(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  assert_int_equal(fcgi_session_queued(d->session, 1), 0);
  write_out(d, 1, "12345678");
  assert_int_equal(fcgi_session_queued(d->session, 1), 16);
  struct iovec iov[4];
  assert_int_equal(fcgi_session_output(d->session, iov, 4), 1);
  fcgi_session_output_done(d->session, 10);
  assert_int_equal(fcgi_session_queued(d->session, 1), 6);
  dialogue_send(d);
  assert_int_equal(fcgi_session_queued(d->session, 1), 0);
}

static void test_output_lends_without_a_copy(void **state) {
  dialogue *d = *state;
  struct iovec iov[8];
  char *bytes = pattern(100000);
  open_request(d, 1);
  assert_int_equal(fcgi_session_lend(d->session, 1, bytes, 100000), 0);
  int count = fcgi_session_output(d->session, iov, 8);
  assert_true(count >= 2);
  assert_int_equal(iov[0].iov_len, FCGI_RECORD_HEADER);
  assert_ptr_equal(iov[1].iov_base, bytes);
  expect_big(d, 1, bytes, 100000, "");
  free(bytes);
}

static void test_output_keep_copies_what_is_lent(void **state) {
  dialogue *d = *state;
  char *bytes = pattern(BIG), *lent = unit_exact_copy(bytes, BIG);
  open_request(d, 1);
  write_out(d, 1, "x");
  assert_int_equal(fcgi_session_lend(d->session, 1, lent, BIG), 0);
  assert_int_equal(fcgi_session_keep(d->session, 1), 0);
  free(lent);
  dialogue_send(d);
  assert_int_equal(d->wire.data[8], 'x');
  d->wire.len = 0;
  free(bytes);
}

/* Lend, send a part, keep, free: the rest is right wherever the part ends. */
static void assert_keep_after(dialogue *d, size_t part) {
  char *bytes = pattern(20), *lent = unit_exact_copy(bytes, 20);
  struct iovec iov[8];
  assert_int_equal(fcgi_session_lend(d->session, 1, lent, 20), 0);
  int count = fcgi_session_output(d->session, iov, 8);
  for (size_t i = 0, left = part; i < (size_t)count && left > 0; i++) {
    size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;
    records_raw(&d->wire, iov[i].iov_base, len);
    left -= len;
  }
  fcgi_session_output_done(d->session, part);
  assert_int_equal(fcgi_session_keep(d->session, 1), 0);
  free(lent);
  write_out(d, 1, "!");
  char expected[64];
  snprintf(expected, sizeof expected, "stdout 1 %.20s!\n", bytes);
  dialogue_expect_answer(d, expected);
  free(bytes);
}

static void test_output_keep_works_at_every_place(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  for (size_t part = 0; part < FCGI_RECORD_HEADER + 20 + 4; part++)
    assert_keep_after(d, part);
}

static void test_output_keep_leaves_other_requests_alone(void **state) {
  dialogue *d = *state;
  struct iovec iov[8];
  char *bytes = pattern(5000);
  open_request(d, 1);
  open_request(d, 2);
  assert_int_equal(fcgi_session_lend(d->session, 2, bytes, 5000), 0);
  assert_int_equal(fcgi_session_keep(d->session, 1), 0);
  assert_true(fcgi_session_output(d->session, iov, 8) >= 2);
  assert_ptr_equal(iov[1].iov_base, bytes);
  assert_int_equal(fcgi_session_keep(d->session, 3), FCGI_ERR_STATE);
  free(bytes);
}

/* A temporary file that holds `bytes`. */
static FILE *file_of(const char *bytes, size_t len) {
  FILE *file = tmpfile();
  assert_int_equal(fwrite(bytes, 1, len, file), len);
  assert_int_equal(fflush(file), 0);
  return file;
}

static void test_output_frames_a_file(void **state) {
  dialogue *d = *state;
  char *bytes = pattern(BIG);
  FILE *file = file_of(bytes, BIG);
  open_request(d, 1);
  feed_stdin_end(d, 1);
  assert_int_equal(
      fcgi_session_write_file(d->session, 1, fileno(file), 5, BIG - 5), 0);
  end_request(d, 1);
  expect_big(d, 1, bytes + 5, BIG - 5, "stdout_end 1\nend 1 app=0 status=0\n");
  fclose(file);
  free(bytes);
}

static void test_output_says_where_the_file_goes_on(void **state) {
  dialogue *d = *state;
  struct iovec iov[8];
  uint64_t offset;
  size_t len;
  int fd;
  open_request(d, 1);
  assert_int_equal(fcgi_session_write_file(d->session, 1, 77, 1000, 50), 0);
  assert_int_equal(fcgi_session_output_file(d->session, &fd, &offset, &len), 0);
  assert_int_equal(fcgi_session_output(d->session, iov, 8), 1);
  fcgi_session_output_done(d->session, FCGI_RECORD_HEADER);
  assert_int_equal(fcgi_session_output(d->session, iov, 8), 0);
  assert_int_equal(fcgi_session_output_file(d->session, &fd, &offset, &len), 1);
  fcgi_session_output_done(d->session, 20);
  assert_int_equal(fcgi_session_output_file(d->session, &fd, &offset, &len), 1);
  assert_int_equal(fd, 77);
  assert_int_equal(offset, 1020);
  assert_int_equal(len, 30);
}

static void test_output_files_lie_beyond_4_gib(void **state) {
  dialogue *d = *state;
  struct iovec iov[4];
  uint64_t offset;
  size_t len;
  int fd;
  open_request(d, 1);
  assert_int_equal(
      fcgi_session_write_file(d->session, 1, 77, (uint64_t)5 << 32, 8), 0);
  assert_int_equal(fcgi_session_output(d->session, iov, 4), 1);
  fcgi_session_output_done(d->session, FCGI_RECORD_HEADER);
  assert_int_equal(fcgi_session_output_file(d->session, &fd, &offset, &len), 1);
  assert_true(offset == (uint64_t)5 << 32);
}

static void test_output_requests_take_turns(void **state) {
  dialogue *d = *state;
  char *bytes = pattern(2000000);
  open_request(d, 1);
  open_request(d, 2);
  assert_int_equal(
      fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, bytes, 2000000), 0);
  write_out(d, 2, "small");
  dialogue_send(d);
  const uint8_t *small = memmem(d->wire.data, d->wire.len, "small", 5);
  assert_non_null(small);
  assert_in_range(small - d->wire.data, 0, 300000);
  free(bytes);
}

static void test_output_end_waits_for_the_end_of_stdin(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  write_out(d, 1, "early");
  end_request(d, 1);
  dialogue_expect_answer(d, "stdout 1 early\nstdout_end 1\n");
  assert_true(fcgi_session_flags(d->session) & FCGI_SESSION_DRAINING);
  records_stdin(&d->sent, 1, "unwanted");
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_answer(d, "");
  assert_int_equal(fcgi_session_drained(d->session), 8);
  feed_stdin_end(d, 1);
  dialogue_expect_answer(d, "end 1 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1\n");
  assert_int_equal(fcgi_session_flags(d->session), 0);
}

static void test_output_drained_body_is_never_read_as_records(void **state) {
  dialogue *d = *state;
  records inner = {0};
  open_request(d, 1);
  end_request(d, 1);
  records_get(&inner, 2);
  records_put(&d->sent, FCGI_RECORD_STDIN, 1, inner.data, inner.len, 0);
  feed_stdin_end(d, 1);
  dialogue_send(d);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1\n");
  records_free(&inner);
}

static void test_output_filter_end_waits_for_the_end_of_data(void **state) {
  dialogue *d = *state;
  records_begin(&d->sent, 1, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  records_params_end(&d->sent, 1);
  records_stdin_end(&d->sent, 1);
  dialogue_feed(d);
  end_request(d, 1);
  dialogue_expect_answer(d, "stdout_end 1\n");
  records_data_end(&d->sent, 1);
  dialogue_feed(d);
  dialogue_expect_answer(d, "end 1 app=0 status=0\n");
}

static void test_output_stop_draining_ends_now_and_closes(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  end_request(d, 1);
  fcgi_session_stop_draining(d->session);
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1\n");
  unsigned flags = fcgi_session_flags(d->session);
  assert_true(flags & FCGI_SESSION_CLOSE);
  assert_true(flags & FCGI_SESSION_UNREAD);
  assert_false(flags & FCGI_SESSION_DRAINING);
}

static void test_output_stop_draining_waits_for_open_requests(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  open_request(d, 2);
  end_request(d, 1);
  fcgi_session_stop_draining(d->session);
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  assert_false(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
  feed_stdin_end(d, 2);
  end_request(d, 2);
  dialogue_expect_answer(d, "stdout_end 2\nend 2 app=0 status=0\n");
  assert_int_equal(dialogue_take(d), 0);
  assert_true(fcgi_session_flags(d->session) & FCGI_SESSION_CLOSE);
}

static void test_output_end_carries_the_whole_app_status(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  feed_stdin_end(d, 1);
  fcgi_session_end(d->session, 1, 0xfedcba98, FCGI_END_COMPLETE);
  dialogue_expect_answer(d, "stdout_end 1\nend 1 app=4275878552 status=0\n");
}

static void test_output_overloaded_has_no_streams(void **state) {
  dialogue *d = *state;
  open_request(d, 1);
  feed_stdin_end(d, 1);
  fcgi_session_end(d->session, 1, 0, FCGI_END_OVERLOADED);
  dialogue_expect_answer(d, "end 1 app=0 status=2\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_output_frames_what_is_written),
      DIALOGUE_TEST(test_output_joins_small_writes_in_one_record),
      DIALOGUE_TEST(test_output_small_answer_is_one_slice),
      DIALOGUE_TEST(test_output_records_are_padded_to_8_bytes),
      DIALOGUE_TEST(test_output_writes_nothing_for_nothing),
      DIALOGUE_TEST(test_output_splits_big_writes),
      DIALOGUE_TEST(test_output_takes_every_size),
      DIALOGUE_TEST(test_output_ends_every_size),
      DIALOGUE_TEST(test_output_keeps_the_order_of_streams),
      DIALOGUE_TEST(test_output_refuses_other_streams),
      DIALOGUE_TEST(test_output_refuses_requests_that_are_not_open),
      DIALOGUE_TEST(test_output_refuses_a_request_before_its_params_end),
      DIALOGUE_TEST(test_output_takes_nothing_from_nowhere),
      DIALOGUE_TEST(test_output_queued_counts_what_is_unsent),
      DIALOGUE_TEST(test_output_lends_without_a_copy),
      DIALOGUE_TEST(test_output_keep_copies_what_is_lent),
      DIALOGUE_TEST(test_output_keep_works_at_every_place),
      DIALOGUE_TEST(test_output_keep_leaves_other_requests_alone),
      DIALOGUE_TEST(test_output_frames_a_file),
      DIALOGUE_TEST(test_output_says_where_the_file_goes_on),
      DIALOGUE_TEST(test_output_files_lie_beyond_4_gib),
      DIALOGUE_TEST(test_output_requests_take_turns),
      DIALOGUE_TEST(test_output_end_waits_for_the_end_of_stdin),
      DIALOGUE_TEST(test_output_drained_body_is_never_read_as_records),
      DIALOGUE_TEST(test_output_filter_end_waits_for_the_end_of_data),
      DIALOGUE_TEST(test_output_stop_draining_ends_now_and_closes),
      DIALOGUE_TEST(test_output_stop_draining_waits_for_open_requests),
      DIALOGUE_TEST(test_output_end_carries_the_whole_app_status),
      DIALOGUE_TEST(test_output_overloaded_has_no_streams),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
