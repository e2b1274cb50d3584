/* SPDX-License-Identifier: MIT */
/* Reading and writing of one request. */
#include "support/serving.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIG = 1024 * 1024 };

/* A server whose calls never wait, in stream mode. */
static void never_wait(serving *f) {
  f->config.body = FCGI_BODY_STREAM;
  f->config.io_timeout_ms = -2;
  f->config.events = 1u << FCGI_EVENT_WRITABLE;
  serving_restart(f);
}

static fcgi_request *take_get(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static fcgi_request *take_method(serving *f, const char *method) {
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  records_param(&f->text->sent, 1, "REQUEST_METHOD", method);
  records_params_end(&f->text->sent, 1);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static void put_body(serving *f, size_t len) {
  uint8_t chunk[4096];
  for (size_t at = 0; at < len; at += sizeof chunk) {
    size_t part = len - at < sizeof chunk ? len - at : sizeof chunk;
    for (size_t i = 0; i < part; i++)
      chunk[i] = (uint8_t)((at + i) * 31 >> 3);
    records_put(&f->text->sent, FCGI_RECORD_STDIN, 1, chunk, part, 0);
  }
  records_stdin_end(&f->text->sent, 1);
}

static void expect_body(fcgi_request *request, size_t len) {
  uint8_t data[1000];
  ptrdiff_t got;
  size_t at = 0;
  while ((got = fcgi_request_read(request, data, sizeof data)) > 0)
    for (ptrdiff_t i = 0; i < got; i++, at++)
      if (data[i] != (uint8_t)(at * 31 >> 3))
        fail_msg("byte %zu differs", at);
  assert_int_equal(got, 0);
  assert_int_equal(at, len);
}

static void test_body_is_collected(void **state) {
  serving *f = *state;
  records_open(&f->text->sent, 1);
  put_body(f, 10000);
  serving_send(f);
  expect_body(serving_take(f, FCGI_EVENT_REQUEST), 10000);
}

static void test_body_spills_to_a_file(void **state) {
  serving *f = *state;
  f->config.body_memory = 1000;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  put_body(f, 100000);
  serving_send(f);
  expect_body(serving_take(f, FCGI_EVENT_REQUEST), 100000);
}

static void test_missing_spill_directory_gives_500(void **state) {
  serving *f = *state;
  char place[] = "/tmp/fastcgi-unit-XXXXXX";
  f->config.body_memory = 1000;
  f->config.temp_dir = mkdtemp(place);
  serving_restart(f);
  rmdir(place);
  records_open(&f->text->sent, 1);
  put_body(f, 20000);
  serving_send(f);
  serving_idle(f, 20);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\n"
                    "Content-Length: 26\r\n"
                    "Status: 500 Internal Server Error\r\n\r\n"
                    "500 Internal Server Error\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_too_large_body_gives_413(void **state) {
  serving *f = *state;
  f->config.limit_request_body = 10;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  put_body(f, 11);
  serving_send(f);
  serving_idle(f, 20);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\n"
                    "Content-Length: 22\r\n"
                    "Status: 413 Content Too Large\r\n\r\n"
                    "413 Content Too Large\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_short_body_is_truncated(void **state) {
  serving *f = *state;
  char data[16];
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  records_param(&f->text->sent, 1, "CONTENT_LENGTH", "10");
  records_params_end(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "short");
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_content_length(request), 10);
  assert_int_equal(fcgi_request_read(request, data, sizeof data), 5);
  assert_int_equal(fcgi_request_read(request, data, sizeof data),
                   FCGI_ERR_TRUNCATED);
}

static void test_read_that_may_not_wait(void **state) {
  serving *f = *state;
  char data[8];
  never_wait(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_read(request, data, sizeof data),
                   FCGI_ERR_AGAIN);
  records_stdin(&f->text->sent, 1, "now");
  serving_send(f);
  assert_int_equal(fcgi_request_read(request, data, sizeof data), 3);
}

static void test_read_that_waits_times_out(void **state) {
  serving *f = *state;
  char data[8];
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request_set_timeout(request, 20);
  assert_int_equal(fcgi_request_read(request, data, sizeof data),
                   FCGI_ERR_TIMEOUT);
}

static void test_read_fails_when_the_rest_cannot_come(void **state) {
  serving *f = *state;
  char data[8];
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "part");
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  close(f->client);
  f->client = -1;
  assert_int_equal(fcgi_request_read(request, data, sizeof data), 4);
  assert_int_equal(fcgi_request_read(request, data, sizeof data),
                   FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_end(request, 0), 0);
}

/* The unread bytes of a streamed body stay below the window plus one read. */
static void test_window_stops_reading(void **state) {
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  f->config.input_window = 50000;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  size_t sent = 0;
  ssize_t done;
  put_body(f, BIG * 4);
  while ((done = send(f->client, f->text->sent.data + sent,
                      f->text->sent.len - sent, flags)) > 0) {
    sent += (size_t)done;
    serving_idle(f, 5);
  }
  assert_true(sent < BIG * 2);
  (void)request;
}

static void test_gathered_writes_leave_in_one_record(void **state) {
  serving *f = *state;
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_write(request, "Status: 200\r\n\r\n", 15), 15);
  assert_int_equal(fcgi_request_write(request, "ab", 2), 2);
  serving_expect(f, "");
  assert_int_equal(fcgi_request_flush(request), 0);
  serving_expect(f, "stdout 1 Status: 200\r\n\r\nab\n");
  assert_int_equal(fcgi_request_end(request, 3), 0);
  serving_expect(f, "stdout_end 1\nend 1 app=3 status=0\n");
}

/* Reads the client's side until `len` bytes of content came. */
static size_t swallow(int client, size_t len) {
  static char data[65536];
  size_t got = 0;
  while (got < len) {
    struct pollfd at = {.fd = client, .events = POLLIN};
    if (poll(&at, 1, 0) <= 0)
      break;
    ssize_t part = recv(client, data, sizeof data, 0);
    if (part <= 0)
      break;
    got += (size_t)part;
  }
  return got;
}

static void test_write_that_may_not_wait(void **state) {
  serving *f = *state;
  char *data = calloc(1, BIG);
  never_wait(f);
  fcgi_request *request = take_get(f);
  size_t took = 0;
  ptrdiff_t part;
  assert_int_equal(fcgi_request_write(request, "\n", 1), 1);
  while ((part = fcgi_request_write(request, data, BIG)) > 0)
    took += (size_t)part;
  assert_int_equal(part, FCGI_ERR_AGAIN);
  assert_true(took < (size_t)2 * BIG);
  assert_true(swallow(f->client, took) > 0);
  assert_ptr_equal(serving_take(f, FCGI_EVENT_WRITABLE), request);
  assert_true(fcgi_request_write(request, data, 10) > 0);
  free(data);
}

static void test_write_that_waits_times_out(void **state) {
  serving *f = *state;
  char *data = calloc(1, BIG);
  ptrdiff_t part;
  fcgi_request *request = take_get(f);
  fcgi_request_set_timeout(request, 20);
  assert_int_equal(fcgi_request_write(request, "\n", 1), 1);
  for (int i = 0; (part = fcgi_request_write(request, data, BIG)) > 0; i++)
    assert_true(i < 10);
  assert_int_equal(part, FCGI_ERR_TIMEOUT);
  free(data);
}

static void test_head_answer_has_no_body(void **state) {
  serving *f = *state;
  fcgi_request *request = take_method(f, "HEAD");
  assert_int_equal(fcgi_request_reply(request, 200, "text/plain", "hello", 5),
                   0);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\n"
                    "Content-Length: 5\r\nStatus: 200 OK\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_head_answer_written_raw_has_no_body(void **state) {
  serving *f = *state;
  fcgi_request *request = take_method(f, "HEAD");
  static const char text[] = "Status: 200 OK\r\nX: y\r\n\r\nbody\r\n\r\n";
  for (size_t i = 0; i < sizeof text - 1; i++)
    assert_int_equal(fcgi_request_write(request, text + i, 1),
                     i < 24 ? 1 : FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\nX: y\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_bad_headers_are_refused(void **state) {
  serving *f = *state;
  static const fcgi_header bad[] = {
      {"X", 1, "a\r\nSet-Cookie: b", 16},
      {"X", 1, "a\nb", 3},
      {"X", 1, "a\0b", 3},
      {"X Y", 3, "a", 1},
      {"X:", 2, "a", 1},
      {"", 0, "a", 1},
      {"Status", 6, "200", 3},
  };
  fcgi_request *request = take_get(f);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(fcgi_request_start(request, 200, &bad[i], 1),
                     FCGI_ERR_INVALID);
  assert_int_equal(fcgi_request_start(request, 99, NULL, 0), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_request_start(request, 204, NULL, 0), 0);
  assert_int_equal(fcgi_request_start(request, 204, NULL, 0), FCGI_ERR_STATE);
}

static void test_respond_with_headers(void **state) {
  serving *f = *state;
  const fcgi_header headers[] = {{"X-A", 3, "1", 1}, {"X-B", 3, "", 0}};
  assert_int_equal(fcgi_request_respond(take_get(f), 404, headers, 2, "no", 2),
                   0);
  serving_expect(f, "stdout 1 X-A: 1\r\nX-B: \r\nContent-Length: 2\r\n"
                    "Status: 404 Not Found\r\n\r\nno\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_respond_without_length(void **state) {
  serving *f = *state;
  const fcgi_header header = {"content-length", 14, "7", 1};
  assert_int_equal(fcgi_request_respond(take_get(f), 204, NULL, 0, NULL, 0), 0);
  serving_expect(f, "stdout 1 Status: 204 No Content\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(
      fcgi_request_respond(take_get(f), 200, &header, 1, "1234567", 7), 0);
  serving_expect(f, "stdout 1 content-length: 7\r\nStatus: 200 OK\r\n\r\n"
                    "1234567\nstdout_end 1\nend 1 app=0 status=0\n");
}

static void test_respond_with_a_bad_header_gives_500(void **state) {
  serving *f = *state;
  const fcgi_header header = {"X", 1, "a\nb", 3};
  assert_int_equal(fcgi_request_respond(take_get(f), 200, &header, 1, "x", 1),
                   FCGI_ERR_INVALID);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\n"
                    "Content-Length: 26\r\n"
                    "Status: 500 Internal Server Error\r\n\r\n"
                    "500 Internal Server Error\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_status_follows_location(void **state) {
  serving *f = *state;
  const fcgi_header header = {"Location", 8, "/x", 2};
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 303, &header, 1), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 Location: /x\r\nStatus: 303 See Other\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_stderr_leaves_with_stdout(void **state) {
  serving *f = *state;
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_write_stderr(request, "oops", 4), 0);
  serving_expect(f, "");
  assert_int_equal(fcgi_request_write(request, "\r\n", 2), 2);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 \r\n\nstderr 1 oops\nstderr_end 1\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_failure_before_output_gives_500(void **state) {
  serving *f = *state;
  assert_int_equal(fcgi_request_fail(take_get(f)), 0);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\n"
                    "Content-Length: 26\r\n"
                    "Status: 500 Internal Server Error\r\n\r\n"
                    "500 Internal Server Error\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_failure_after_output_cuts_the_connection(void **state) {
  serving *f = *state;
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  assert_int_equal(fcgi_request_fail(request), 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n\r\n\n");
  assert_true(serving_is_closed(f, 1000));
}

static void test_failure_spares_other_requests(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  records_get(&f->text->sent, 2);
  serving_send(f);
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request *second = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_start(first, 200, NULL, 0), 0);
  assert_int_equal(fcgi_request_fail(first), 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n\r\n\nstdout_end 1\n"
                    "end 1 app=1 status=0\n");
  assert_int_equal(fcgi_request_end(second, 0), 0);
  serving_expect(f, "stdout_end 2\nend 2 app=0 status=0\n");
}

static FILE *file_of(const char *text) {
  FILE *file = tmpfile();
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fflush(file), 0);
  return file;
}

static void test_file_is_sent(void **state) {
  serving *f = *state;
  FILE *file = file_of("0123456789");
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_write(request, "\r\n", 2), 2);
  assert_int_equal(fcgi_request_send_file(request, fileno(file), 2, 5), 0);
  fclose(file);
  assert_int_equal(fcgi_request_write(request, "!", 1), 1);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 \r\n23456!\nstdout_end 1\n"
                    "end 1 app=0 status=0\n");
}

static void test_file_that_shrank_resets(void **state) {
  serving *f = *state;
  FILE *file = file_of("\n123456789");
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_send_file(request, fileno(file), 0, 20),
                   FCGI_ERR_ABORTED);
  fclose(file);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_idle(f, 10);
  assert_true(serving_is_closed(f, 1000));
}

/* SIGPIPE would end the test. */
static void test_file_for_a_client_that_left(void **state) {
  serving *f = *state;
  FILE *file = file_of("\n");
  assert_int_equal(ftruncate(fileno(file), BIG), 0);
  fcgi_request *request = take_get(f);
  close(f->client);
  f->client = -1;
  assert_int_equal(fcgi_request_send_file(request, fileno(file), 0, BIG),
                   FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  fclose(file);
}

static void test_two_files_follow_each_other(void **state) {
  serving *f = *state;
  FILE *one = file_of("\none"), *two = file_of("two");
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_send_file(request, fileno(one), 0, 4), 0);
  assert_int_equal(fcgi_request_send_file(request, fileno(two), 0, 3), 0);
  fclose(one);
  fclose(two);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 \nonetwo\nstdout_end 1\nend 1 app=0 status=0\n");
}

static void test_ended_request_ends_after_its_file(void **state) {
  serving *f = *state;
  FILE *file = file_of("\n");
  assert_int_equal(ftruncate(fileno(file), 4 * BIG), 0);
  never_wait(f);
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_send_file(request, fileno(file), 0, 4 * BIG),
                   0);
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_AGAIN);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  size_t got = 0, part;
  do {
    serving_idle(f, 5);
    part = swallow(f->client, 4 * BIG);
    got += part;
  } while (part > 0);
  assert_true(got >= 4 * BIG + 24);
  assert_true(got < 4 * BIG + 4096);
  fclose(file);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_body_is_collected),
      SERVING_TEST(test_body_spills_to_a_file),
      SERVING_TEST(test_missing_spill_directory_gives_500),
      SERVING_TEST(test_too_large_body_gives_413),
      SERVING_TEST(test_short_body_is_truncated),
      SERVING_TEST(test_read_that_may_not_wait),
      SERVING_TEST(test_read_that_waits_times_out),
      SERVING_TEST(test_read_fails_when_the_rest_cannot_come),
      SERVING_TEST(test_window_stops_reading),
      SERVING_TEST(test_gathered_writes_leave_in_one_record),
      SERVING_TEST(test_write_that_may_not_wait),
      SERVING_TEST(test_write_that_waits_times_out),
      SERVING_TEST(test_head_answer_has_no_body),
      SERVING_TEST(test_head_answer_written_raw_has_no_body),
      SERVING_TEST(test_bad_headers_are_refused),
      SERVING_TEST(test_respond_with_headers),
      SERVING_TEST(test_respond_without_length),
      SERVING_TEST(test_respond_with_a_bad_header_gives_500),
      SERVING_TEST(test_status_follows_location),
      SERVING_TEST(test_stderr_leaves_with_stdout),
      SERVING_TEST(test_failure_before_output_gives_500),
      SERVING_TEST(test_failure_after_output_cuts_the_connection),
      SERVING_TEST(test_failure_spares_other_requests),
      SERVING_TEST(test_file_is_sent),
      SERVING_TEST(test_file_that_shrank_resets),
      SERVING_TEST(test_file_for_a_client_that_left),
      SERVING_TEST(test_two_files_follow_each_other),
      SERVING_TEST(test_ended_request_ends_after_its_file),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
