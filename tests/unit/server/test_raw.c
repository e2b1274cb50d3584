/* SPDX-License-Identifier: MIT */
/* Answers as a CGI program writes them: their head passes if every web server
   understands the same, and else the client gets 500. */
#include "support/serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char refused[] = "stdout 1 Content-Type: text/plain\r\n"
                              "Content-Length: 26\r\n"
                              "Status: 500 Internal Server Error\r\n\r\n"
                              "500 Internal Server Error\n\n"
                              "stdout_end 1\nend 1 app=0 status=0\n";

static void log_to(serving *f) {
  lines_begin(&f->log, &f->config);
  serving_restart(f);
}

static fcgi_request *take(serving *f, const char *method) {
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  records_param(&f->text->sent, 1, "REQUEST_METHOD", method);
  records_param(&f->text->sent, 1, "REQUEST_URI", "/x");
  records_params_end(&f->text->sent, 1);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static fcgi_request *take_authorizer(serving *f) {
  records_begin(&f->text->sent, 1, FCGI_ROLE_AUTHORIZER, 1);
  records_params_end(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static fcgi_request *take_get(serving *f) {
  return take(f, "GET");
}

/* In one piece and byte by byte. */
static void expect_of(serving *f, fcgi_request *(*begin)(serving *),
                      const char *text, size_t len, const char *expected) {
  for (int split = 0; split < 2; split++) {
    fcgi_request *request = begin(f);
    ptrdiff_t took = 1;
    for (size_t at = 0; at < len && took > 0; at += (size_t)took)
      took = fcgi_request_write(request, text + at, split ? 1 : len - at);
    (void)fcgi_request_conclude(request);
    serving_expect(f, expected);
  }
}

static void expect_raw(serving *f, const char *text, size_t len,
                       const char *expected) {
  expect_of(f, take_get, text, len, expected);
}

#define RAW(text) text, sizeof text - 1

/* Raw answers that go out, with what is left of them. */
static const struct {
  const char *text;     /* What the program writes. */
  size_t len;           /* Bytes of it. */
  const char *expected; /* What is left of it. */
} passing[] = {
    {RAW("Connection: close\r\nX: y\nTransfer-Encoding: chunked\n"
         "Content-Length: 2\nContent-Length: 2\r\n\r\nhi"),
     "X: y\nContent-Length: 2\n\nhi"},
    {RAW("Status: 204 No\nContent-Length: 2\n\nhi"), "Status: 204 No\n\n"},
    {RAW("Status: 404 A\nstatus:  404\n\nhi"),
     "Status: 404 A\nstatus:  404\n\nhi"},
    {RAW("Location: http://a/\n\n"),
     "Location: http://a/\nStatus: 302 Found\r\n\r\n"},
    {RAW("Connection: close\r\nLocation:\r\n\r\nhi"),
     "Location:\r\nStatus: 302 Found\r\n\r\nhi"},
    {RAW("Location: /a\n\n"), "Location: /a\n\n"},
    {RAW("Location: http://a/\nStatus: 200\n\n"),
     "Location: http://a/\nStatus: 200\n\n"},
    {RAW("Status: 404\nLocation: http://a/\nTE: x\nX: y\n\nhi"),
     "Location: http://a/\nX: y\nStatus: 404\n\nhi"},
    {RAW("X: y\nY: z\r\n\nhi"), "X: y\nY: z\r\n\r\nhi"},
    {RAW("X: y\n\r\nhi"), "X: y\n\nhi"},
    {RAW("TE: y\n\r\nhi"), "\r\nhi"},
    {RAW("\n"), "\n"},
    {RAW("\r\nbody\n"), "\r\nbody\n"},
};

static void test_raw_heads_pass(void **state) {
  serving *f = *state;
  char expected[256];
  log_to(f);
  for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
    snprintf(expected, sizeof expected,
             "stdout 1 %s\nstdout_end 1\nend 1 app=0 status=0\n",
             passing[i].expected);
    expect_raw(f, passing[i].text, passing[i].len, expected);
  }
  assert_int_equal(lines_count(&f->log, "GET /x: "), 0);
}

/* Raw answers that web servers understand in different ways or not at all, and
   what the one line says of each. */
static const struct {
  const char *text; /* What the program writes. */
  size_t len;       /* Bytes of it. */
  const char *line; /* What is said of it. */
} wrong[] = {
    {RAW("Content-Length: 3x\r\n\r\nabc"), "Content-Length '3x' is not"},
    {RAW("Content-Length: 3\r\ncontent-length: 4\r\n\r\nabc"),
     "Content-Length says both 3 and '4'"},
    {RAW("Status: 101 Switching\r\n\r\nabc"),
     "Status '101 Switching' is not three digits from 200 to 599, then a blank "
     "and a reason, so"},
    {RAW("Status: fine\r\n\r\nabc"), "Status 'fine' is not"},
    {RAW("Status: 99\n\n"), "Status '99' is not"},
    {RAW("Status: 099\n\n"), "Status '099' is not"},
    {RAW("Status: 600\n\n"), "Status '600' is not"},
    {RAW("Status: 1000\n\n"), "Status '1000' is not"},
    {RAW("Status: 404x\n\n"), "Status '404x' is not"},
    {RAW("Status: 404\tx\n\n"), "Status '404?x' is not"},
    {RAW("Status:\t404\n\n"), "Status '?404' is not"},
    {RAW("Status: \t404\n\n"), "Status '?404' is not"},
    {RAW("Status: +404\n\n"), "Status '+404' is not"},
    {RAW("Status:\n\n"), "Status '' is not"},
    {RAW("Status: \r\n\r\n"), "Status '' is not"},
    {RAW("Status: 404 A\nStatus: 503 B\n\n"),
     "Status says both 404 and '503 B'"},
    {RAW("Status: 404 A\nStatus: x\n\n"), "Status 'x' is not"},
    {RAW("Status:\n 404\n\n"), "Status '' is not"},
    {RAW("Status : 404 A\n\n"), "the line 'Status : 404 A' is not"},
    {RAW("Content-Type: text/plain\r\nno empty line"),
     "the line 'no empty line' is not"},
    {RAW("Content-Type: text/plain\r\n"),
     "no empty line ends the head of the answer, so the client gets 500; start "
     "the answer first, or write 'Status: 200' and an empty line before the "
     "body"},
    {RAW("Content-Type: text/pl"), "no empty line ends the head"},
    {RAW("X: a\rb\r\n\r\nabc"), "header 'X' has CR, LF or NUL"},
    {RAW("X: a\0b\r\n\r\nabc"), "header 'X' has CR, LF or NUL"},
    {RAW("X: a\r\r\n\r\nabc"), "header 'X' has CR, LF or NUL"},
    {RAW("X: a\n\tb\nY: z\n\nabc"), "the line '?b' is not"},
    {RAW("X: a\n b: c\n\nabc"), "the line ' b: c' is not"},
    {RAW(" X: a\r\n\r\nabc"), "the line ' X: a' is not"},
    {RAW("\tX: a\r\n\r\nabc"), "the line '?X: a' is not"},
    {RAW("\rX: a\r\n\r\nabc"), "the line '?X: a' is not"},
    {RAW("\r\r\n\r\nabc"), "the line '?' is not"},
    {RAW("X: a\r\rabc"), "no empty line ends the head"},
    {RAW("\0"), "the line '?' is not"},
    {RAW("X\0Y: a\n\n"), "the line 'X?Y: a' is not"},
    {RAW("X\rY: a\n\n"), "the line 'X?Y: a' is not"},
    {RAW("X Y: a\n\n"), "the line 'X Y: a' is not"},
    {RAW(": a\n\n"), "the line ': a' is not"},
    {RAW("HTTP/1.1 200 OK\r\n\r\n"),
     "the line 'HTTP/1.1 200 OK' is not 'Name: value', as a head needs, so the "
     "client gets 500; start the answer first, or write 'Status: 200' and an "
     "empty line before the body"},
    {RAW("<p>a: b</p>\n"), "the line '<p>a: b</p>' is not"},
    {RAW("no head\n"), "the line 'no head' is not"},
    {RAW("word"), "the line 'word' is not"},
    {RAW(""), "wrote nothing"},
};

static void test_wrong_raw_heads_give_500(void **state) {
  serving *f = *state;
  log_to(f);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    lines_forget(&f->log);
    expect_raw(f, wrong[i].text, wrong[i].len, refused);
    if (lines_count(&f->log, wrong[i].line) != 2 ||
        lines_count(&f->log, "") != 2)
      fail_msg("of '%s' is said: %s", wrong[i].text, lines_text(&f->log));
  }
}

/* A file may be all of raw output, or what follows a part of its head. */
static void test_raw_files_are_judged(void **state) {
  serving *f = *state;
  static const char text[] = "Status: 404 A\nContent-Length: 5\n\nabcde";
  FILE *file = tmpfile();
  fcgi_request *request;
  fputs(text, file);
  fflush(file);
  log_to(f);
  for (uint64_t first = 0; first < sizeof text; first++) {
    request = take_get(f);
    (void)fcgi_request_write(request, text, (size_t)first);
    assert_int_equal(fcgi_request_send_file(request, fileno(file), first,
                                            sizeof text - 1 - first),
                     0);
    assert_int_equal(fcgi_request_end(request, 0), 0);
    serving_expect(f, "stdout 1 Status: 404 A\nContent-Length: 5\n\nabcde\n"
                      "stdout_end 1\nend 1 app=0 status=0\n");
  }
  request = take(f, "HEAD");
  assert_int_equal(
      fcgi_request_send_file(request, fileno(file), 0, FCGI_TO_END), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 1 Status: 404 A\nContent-Length: 5\n\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
  request = take_get(f);
  assert_int_equal(fcgi_request_send_file(request, fileno(file), 33, 5), 0);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_INVALID);
  serving_expect(f, refused);
  assert_int_equal(lines_count(&f->log, "the line 'abcde' is not"), 1);
  fclose(file);
}

static void test_endless_raw_head_gives_500(void **state) {
  serving *f = *state;
  static char line[1025];
  memset(line, 'a', sizeof line - 1);
  line[1] = ':';
  line[sizeof line - 2] = '\n';
  log_to(f);
  fcgi_request *request = take_get(f);
  int rounds = 0;
  while (rounds < 1000 && fcgi_request_write(request, line, 1024) == 1024)
    rounds++;
  assert_int_equal(rounds, 256);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_INVALID);
  serving_expect(f, refused);
  assert_int_equal(lines_count(&f->log, "longer than 262144 bytes"), 1);
}

/* What an authorizer writes, and what leaves: a status that denies comes first,
   as lighttpd takes what precedes it for part of a yes, and Apache looks for
   nothing else. */
static const struct {
  const char *text;     /* What the program writes. */
  size_t len;           /* Bytes of it. */
  const char *expected; /* What leaves. */
} judged[] = {
    {RAW("Location: http://a/\r\n\r\n"),
     "Status: 302 Found\r\nLocation: http://a/\r\n\r\n"},
    {RAW("X: y\nLocation: /a\n\nhi"),
     "Status: 302 Found\r\nX: y\nLocation: /a\n\nhi"},
    {RAW("Location:\n\n"), "Status: 302 Found\r\nLocation:\n\n"},
    {RAW("X: y\r\nStatus: 401 No\r\nTE: x\r\n\r\nhi"),
     "Status: 401 No\r\nX: y\r\n\r\nhi"},
    {RAW("X: y\nStatus: 403\r\nstatus: 403\n\n"), "Status: 403\r\nX: y\n\n"},
    {RAW("X: y\nStatus: 204 No\nContent-Length: 2\n\nhi"),
     "Status: 204 No\nX: y\n\n"},
    {RAW("Status: 302 A\nLocation: http://a/\n\n"),
     "Status: 302 A\nLocation: http://a/\n\n"},
    {RAW("X: y\nStatus: 200\nLocation: /a\n\n"),
     "X: y\nStatus: 200\nLocation: /a\n\n"},
    {RAW("Variable-A: b\n\n"), "Variable-A: b\n\n"},
    {RAW("Connection: close\nStatus: 200\n\n"), "Status: 200\n\n"},
};

static void test_raw_denials_say_so_first(void **state) {
  serving *f = *state;
  char expected[256];
  log_to(f);
  for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
    snprintf(expected, sizeof expected,
             "stdout 1 %s\nstdout_end 1\nend 1 app=0 status=0\n",
             judged[i].expected);
    expect_of(f, take_authorizer, judged[i].text, judged[i].len, expected);
  }
  assert_int_equal(lines_count(&f->log, "500"), 0);
}

static const char denied[] = "stdout 1 Status: 500 Internal Server Error\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 26\r\n\r\n"
                             "500 Internal Server Error\n\n"
                             "stdout_end 1\nend 1 app=0 status=0\n";

/* Who says nothing grants nothing. */
static void test_an_authorizer_that_says_nothing_denies(void **state) {
  static const struct {
    const char *text; /* What the program writes. */
    size_t len;       /* Bytes of it. */
  } silent[] = {{RAW("Connection: close\r\n\r\n")},
                {RAW("TE: a\nUpgrade: b\n\nhi")},
                {RAW("\r\nyes")},
                {RAW("\n")}};
  serving *f = *state;
  log_to(f);
  for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
    expect_of(f, take_authorizer, silent[i].text, silent[i].len, denied);
  assert_int_equal(
      lines_count(&f->log, "an authorizer's answer says neither yes nor no, so "
                           "the client gets 500; write 'Status: 200'"),
      2 * sizeof silent / sizeof *silent);
  lines_forget(&f->log);
  assert_int_equal(fcgi_request_end(take_authorizer(f), 0), FCGI_ERR_INVALID);
  serving_expect(f, denied);
  assert_int_equal(lines_count(&f->log, "an authorizer's answer says neither"),
                   1);
}

enum { LIMIT = 262144 };

/* A head of `len` bytes, the last of which is the end of its empty line. */
static char *make_head(size_t len) {
  char *head = malloc(len);
  assert_non_null(head);
  memset(head, 'a', len);
  head[1] = ':';
  for (size_t at = 1000; at + 1000 < len; at += 1000) {
    head[at] = '\n';
    head[at + 2] = ':';
  }
  head[len - 2] = head[len - 1] = '\n';
  return head;
}

/* In a write of `first` bytes and one of the rest, or all in a file. */
static int send_head(fcgi_request *request, const char *head, size_t len,
                     size_t first, FILE *file) {
  if (file)
    return fcgi_request_send_file(request, fileno(file), 0, FCGI_TO_END);
  if (first > 0 && fcgi_request_write(request, head, first) != (ptrdiff_t)first)
    return FCGI_ERR_STATE;
  return fcgi_request_write(request, head + first, len - first) ==
                 (ptrdiff_t)(len - first)
             ? 0
             : FCGI_ERR_INVALID;
}

static void expect_limit(serving *f, size_t len, size_t first, int as_file,
                         int error) {
  char *head = make_head(len);
  FILE *file = as_file ? tmpfile() : NULL;
  if (file) {
    fwrite(head, 1, len, file);
    fflush(file);
  }
  lines_forget(&f->log);
  fcgi_request *request = take_get(f);
  assert_int_equal(send_head(request, head, len, first, file), error);
  assert_int_equal(fcgi_request_end(request, 0), error);
  serving_idle(f, 0);
  assert_int_equal(lines_count(&f->log, "longer than 262144 bytes"), !!error);
  if (error)
    serving_expect(f, refused);
  else
    serving_restart(f);
  if (file)
    fclose(file);
  free(head);
}

/* However it is written. */
static void test_the_limit_of_a_raw_head(void **state) {
  serving *f = *state;
  f->config.output_window = 2 * LIMIT;
  log_to(f);
  for (int over = 0; over < 2; over++) {
    const size_t len = LIMIT + (size_t)over;
    const int error = over ? FCGI_ERR_INVALID : 0;
    expect_limit(f, len, 0, 0, error);
    expect_limit(f, len, 150, 0, error);
    expect_limit(f, len, len - 1, 0, error);
    expect_limit(f, len, 0, 1, error);
  }
}

static void test_held_head_leaves_no_trace_of_a_failure(void **state) {
  serving *f = *state;
  fcgi_request *request = take_get(f);
  assert_int_equal(fcgi_request_write(request, "Status: 200 OK\r\n", 16), 16);
  assert_int_equal(fcgi_request_flush(request), 0);
  serving_expect(f, "");
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), FCGI_ERR_STATE);
  assert_int_equal(fcgi_request_fail(request), 0);
  serving_expect(f, refused);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_raw_heads_pass),
      SERVING_TEST(test_wrong_raw_heads_give_500),
      SERVING_TEST(test_raw_files_are_judged),
      SERVING_TEST(test_endless_raw_head_gives_500),
      SERVING_TEST(test_raw_denials_say_so_first),
      SERVING_TEST(test_an_authorizer_that_says_nothing_denies),
      SERVING_TEST(test_the_limit_of_a_raw_head),
      SERVING_TEST(test_held_head_leaves_no_trace_of_a_failure),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
