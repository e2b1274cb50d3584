/* SPDX-License-Identifier: MIT */
/* Answers whose head is impossible, or that are not what it has promised. */
#include "support/serving.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char refused[] = "stdout 1 Content-Type: text/plain\r\n"
                              "Content-Length: 26\r\n"
                              "Status: 500 Internal Server Error\r\n\r\n"
                              "500 Internal Server Error\n\n"
                              "stdout_end 1\nend 1 app=0 status=0\n";

static void log_to(serving *f) {
  lines_begin(&f->log, &f->config);
  serving_restart(f);
}

static fcgi_request *take(serving *f, uint16_t role, const char *method) {
  records_begin(&f->text->sent, 1, role, 1);
  records_param(&f->text->sent, 1, "REQUEST_METHOD", method);
  records_param(&f->text->sent, 1, "REQUEST_URI", "/x");
  records_params_end(&f->text->sent, 1);
  if (role != FCGI_ROLE_AUTHORIZER)
    records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static fcgi_request *take_get(serving *f) {
  return take(f, FCGI_ROLE_RESPONDER, "GET");
}

static fcgi_header header(const char *name, const char *value) {
  return (fcgi_header){name, strlen(name), value, strlen(value)};
}

static void test_impossible_heads_give_500(void **state) {
  serving *f = *state;
  static const char *const lengths[] = {
      "50", "0",    "-3",  "3x", "x",
      "",   "3, 3", "0x3", "+3", "99999999999999999999"};
  log_to(f);
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    const fcgi_header length = header("content-Length", lengths[i]);
    lines_forget(&f->log);
    assert_int_equal(
        fcgi_request_respond(take_get(f), 200, &length, 1, "abc", 3),
        FCGI_ERR_INVALID);
    serving_expect(f, refused);
    assert_int_equal(lines_count(&f->log, "GET /x: Content-Length"), 1);
  }
  const fcgi_header two[] = {header("Content-Length", "3"),
                             header("Content-Length", "4")};
  assert_int_equal(fcgi_request_respond(take_get(f), 200, two, 2, "abc", 3),
                   FCGI_ERR_INVALID);
  serving_expect(f, refused);
  for (int status = 100; status < 200; status += 33) {
    assert_int_equal(fcgi_request_reply(take_get(f), status, NULL, "", 0),
                     FCGI_ERR_INVALID);
    serving_expect(f, refused);
  }
}

static void test_start_refuses_them_and_begins_nothing(void **state) {
  serving *f = *state;
  const fcgi_header two[] = {header("Content-Length", "3"),
                             header("Content-Length", "4")};
  const fcgi_header word = header("Content-Length", "three");
  char why[128];
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 101, NULL, 0), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_request_start(request, 200, two, 2), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_request_start(request, 200, &word, 1),
                   FCGI_ERR_INVALID);
  assert_int_equal(
      fcgi_request_check_answer(request, 200, &word, 1, -1, why, sizeof why),
      FCGI_ERR_INVALID);
  assert_string_equal(why, "Content-Length 'three' is not a number of bytes");
  assert_int_equal(
      fcgi_request_check_answer(request, 200, two, 1, 4, why, sizeof why),
      FCGI_ERR_INVALID);
  assert_string_equal(why, "Content-Length says 3, the body has 4 bytes");
  assert_int_equal(
      fcgi_request_check_answer(request, 200, two, 1, 3, why, sizeof why), 0);
  assert_string_equal(why, "");
  assert_int_equal(fcgi_request_fail(request), 0);
  serving_expect(f, refused);
}

static void test_lengths_that_are_possible(void **state) {
  serving *f = *state;
  const fcgi_header twice[] = {header("Content-Length", " 3\t"),
                               header("CONTENT-LENGTH", "3")};
  const fcgi_header other = header("Content-Length", "50");
  assert_int_equal(fcgi_request_respond(take_get(f), 200, twice, 2, "abc", 3),
                   0);
  serving_expect(f,
                 "stdout 1 Content-Length:  3\t\r\nStatus: 200 OK\r\n\r\nabc\n"
                 "stdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(fcgi_request_respond(take(f, FCGI_ROLE_RESPONDER, "HEAD"),
                                        200, &other, 1, "abc", 3),
                   0);
  serving_expect(f, "stdout 1 Content-Length: 50\r\nStatus: 200 OK\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(fcgi_request_respond(take_get(f), 304, &other, 1, "", 0), 0);
  serving_expect(f,
                 "stdout 1 Content-Length: 50\r\nStatus: 304 Not Modified\r\n"
                 "\r\n\nstdout_end 1\nend 1 app=0 status=0\n");
  assert_int_equal(fcgi_request_respond(take_get(f), 204, twice, 2, "abc", 3),
                   0);
  serving_expect(f, "stdout 1 Status: 204 No Content\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_headers_of_the_connection_are_left_out(void **state) {
  serving *f = *state;
  const fcgi_header headers[] = {header("Transfer-Encoding", "chunked"),
                                 header("connection", "close"),
                                 header("Keep-Alive", "timeout=5"),
                                 header("TE", "trailers"),
                                 header("Trailer", "X"),
                                 header("Upgrade", "h2c"),
                                 header("Proxy-Authenticate", "Basic"),
                                 header("Proxy-Connection", "x"),
                                 header("Set-Cookie", "a=b"),
                                 header("X-Upgrade", "1")};
  log_to(f);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(fcgi_request_respond(take_get(f), 200, headers, 10, "", 0),
                     0);
    serving_expect(f, "stdout 1 Set-Cookie: a=b\r\nX-Upgrade: 1\r\n"
                      "Content-Length: 0\r\nStatus: 200 OK\r\n\r\n\n"
                      "stdout_end 1\nend 1 app=0 status=0\n");
  }
  assert_int_equal(lines_count(&f->log, "header Transfer-Encoding,"), 1);
  assert_int_equal(lines_count(&f->log, "header Connection,"), 1);
  assert_int_equal(lines_count(&f->log, ""), 8);
}

/* Each of these breaks its promise; a shared connection tells by appStatus. */
static int too_few(fcgi_request *request) {
  const fcgi_header length = header("Content-Length", "9");
  assert_int_equal(fcgi_request_start(request, 200, &length, 1), 0);
  assert_int_equal(fcgi_request_write(request, "abc", 3), 3);
  return fcgi_request_end(request, 0);
}

static int too_many(fcgi_request *request) {
  const fcgi_header length = header("Content-Length", "3");
  assert_int_equal(fcgi_request_start(request, 200, &length, 1), 0);
  assert_int_equal(fcgi_request_write(request, "abc", 3), 3);
  assert_int_equal(fcgi_request_write(request, "d", 1), FCGI_ERR_INVALID);
  return fcgi_request_end(request, 0);
}

static int raw_too_few(fcgi_request *request) {
  static const char text[] = "Content-Length: 9\r\n\r\nabc";
  assert_int_equal(fcgi_request_write(request, text, sizeof text - 1),
                   sizeof text - 1);
  return fcgi_request_end(request, 0);
}

static int file_too_long(fcgi_request *request) {
  const fcgi_header length = header("Content-Length", "3");
  FILE *file = tmpfile();
  fputs("abcdef", file);
  fflush(file);
  assert_int_equal(fcgi_request_start(request, 200, &length, 1), 0);
  assert_int_equal(fcgi_request_send_file(request, fileno(file), 0, 6),
                   FCGI_ERR_INVALID);
  fclose(file);
  return fcgi_request_end(request, 0);
}

static void test_broken_promises_cut_the_answer(void **state) {
  serving *f = *state;
  static int (*const breaks[])(fcgi_request *) = {too_few, too_many,
                                                  raw_too_few, file_too_long};
  for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
    log_to(f);
    assert_int_equal(breaks[i](take_get(f)), FCGI_ERR_INVALID);
    serving_idle(f, 5);
    assert_true(serving_is_closed(f, 5000));
    assert_int_equal(lines_count(&f->log, "GET /x: "), 1);
    assert_int_equal(lines_count(&f->log, "than Content-Length"), 1);
  }
}

static void test_broken_promises_spare_other_requests(void **state) {
  serving *f = *state;
  log_to(f);
  records_get(&f->text->sent, 1);
  records_get(&f->text->sent, 3);
  serving_send(f);
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request *second = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(too_few(first), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_request_reply(second, 200, NULL, "b", 1), 0);
  serving_expect(f, "stdout 1 Content-Length: 9\r\nStatus: 200 OK\r\n\r\nabc\n"
                    "stdout_end 1\nend 1 app=1 status=0\n"
                    "stdout 3 Content-Length: 1\r\nStatus: 200 OK\r\n\r\nb\n"
                    "stdout_end 3\nend 3 app=0 status=0\n");
}

static void test_rest_of_a_file(void **state) {
  serving *f = *state;
  const fcgi_header length = header("Content-Length", "3");
  FILE *file = tmpfile();
  fputs("abcdef", file);
  fflush(file);
  assert_int_equal(fcgi_file_rest(fileno(file), 2), 4);
  assert_int_equal(fcgi_file_rest(fileno(file), 9), 0);
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  assert_int_equal(
      fcgi_request_send_file(request, fileno(file), 2, FCGI_TO_END), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n\r\ncdef\nstdout_end 1\n"
                    "end 1 app=0 status=0\n");
  request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 200, &length, 1), 0);
  assert_int_equal(
      fcgi_request_send_file(request, fileno(file), 1, FCGI_TO_END), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 Content-Length: 3\r\nStatus: 200 OK\r\n\r\nbcd\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
  fclose(file);
}

/* A rest of nothing is sent as any other one, and fails where that would. */
static void test_rest_of_nothing(void **state) {
  serving *f = *state;
  const fcgi_header length = header("Content-Length", "3");
  FILE *file = tmpfile();
  log_to(f);
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  assert_int_equal(
      fcgi_request_send_file(request, fileno(file), 0, FCGI_TO_END), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n\r\n\nstdout_end 1\n"
                    "end 1 app=0 status=0\n");
  request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 200, &length, 1), 0);
  assert_int_equal(fcgi_request_write(request, "abcd", 4), FCGI_ERR_INVALID);
  assert_int_equal(
      fcgi_request_send_file(request, fileno(file), 0, FCGI_TO_END),
      FCGI_ERR_INVALID);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_INVALID);
  fclose(file);
}

/* What the kernel makes up has no size before it is read. */
static void test_files_without_a_size_are_read(void **state) {
  serving *f = *state;
  static const char path[] = "/proc/sys/kernel/ostype";
  char text[64] = "", expected[160];
  int fd = open(path, O_RDONLY | O_CLOEXEC), pipes[2];
  if (fd < 0)
    skip();
  assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
  assert_int_equal(fcgi_file_rest(fd, 0), FCGI_ERR_UNSUPPORTED);
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  assert_int_equal(fcgi_request_send_file(request, fd, 0, FCGI_TO_END), 0);
  int next = dup(fd);
  close(next);
  assert_int_equal(fcgi_request_send_file(request, fd, 1000, FCGI_TO_END), 0);
  assert_int_equal(dup(fd), next); /* The copy of nothing is closed. */
  close(next);
  close(fd);
  assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
  assert_int_equal(fcgi_request_send_file(request, pipes[0], 0, FCGI_TO_END),
                   FCGI_ERR_INVALID);
  close(pipes[0]);
  close(pipes[1]);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  snprintf(expected, sizeof expected,
           "stdout 1 Status: 200 OK\r\n\r\n%s\nstdout_end 1\n"
           "end 1 app=0 status=0\n",
           text);
  serving_expect(f, expected);
}

/* Its file is read record by record: the others of the connection go on. */
static void test_file_that_shrinks_spares_other_requests(void **state) {
  serving *f = *state;
  f->config.io_timeout_ms = FCGI_WAIT_NEVER;
  log_to(f);
  FILE *file = tmpfile();
  enum { LONG = 8 << 20 };
  static char sink[1 << 16];
  assert_int_equal(ftruncate(fileno(file), LONG), 0);
  records_get(&f->text->sent, 1);
  records_get(&f->text->sent, 3);
  serving_send(f);
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request *second = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_start(first, 200, NULL, 0), 0);
  assert_int_equal(fcgi_request_send_file(first, fileno(file), 0, LONG), 0);
  assert_int_equal(fcgi_request_end(first, 0), 0);
  size_t total = 0;
  ssize_t got;
  while (total < LONG / 4) {
    serving_idle(f, 1);
    got = recv(f->client, sink, sizeof sink, MSG_DONTWAIT);
    total += got > 0 ? (size_t)got : 0;
  }
  assert_int_equal(ftruncate(fileno(file), LONG - 4096), 0);
  while (total < LONG - (1 << 20) || lines_count(&f->log, "shorter") == 0) {
    serving_idle(f, 1);
    got = recv(f->client, sink, sizeof sink, MSG_DONTWAIT);
    assert_true(got != 0);
    total += got > 0 ? (size_t)got : 0;
  }
  assert_int_equal(lines_count(&f->log, "a file got shorter"), 1);
  assert_int_equal(fcgi_request_reply(second, 200, NULL, "b", 1), 0);
  char last[16] = "";
  do {
    serving_idle(f, 1);
    got = recv(f->client, sink, sizeof sink, MSG_DONTWAIT);
    if (got >= 16)
      memcpy(last, sink + got - 16, 16);
  } while (last[1] != FCGI_RECORD_END_REQUEST || last[3] != 3);
  assert_int_equal(last[8 + 3], 0);
  fclose(file);
}

static void test_roles_of_their_own_write_what_they_like(void **state) {
  serving *f = *state;
  const fcgi_role_spec roles[] = {
      {.number = 9, .name = "own", .streams = FCGI_STREAMS_STDIN}};
  assert_int_equal(fcgi_server_set_roles(f->server, roles, 1), 0);
  fcgi_request *request = take(f, 9, "GET");
  static const char text[] = "Content-Length: x\nStatus: 100\n\n";
  assert_int_equal(fcgi_request_write(request, text, sizeof text - 1),
                   sizeof text - 1);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 Content-Length: x\nStatus: 100\n\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_impossible_heads_give_500),
      SERVING_TEST(test_start_refuses_them_and_begins_nothing),
      SERVING_TEST(test_lengths_that_are_possible),
      SERVING_TEST(test_headers_of_the_connection_are_left_out),
      SERVING_TEST(test_broken_promises_cut_the_answer),
      SERVING_TEST(test_broken_promises_spare_other_requests),
      SERVING_TEST(test_rest_of_a_file),
      SERVING_TEST(test_rest_of_nothing),
      SERVING_TEST(test_files_without_a_size_are_read),
      SERVING_TEST(test_file_that_shrinks_spares_other_requests),
      SERVING_TEST(test_roles_of_their_own_write_what_they_like),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
