/* SPDX-License-Identifier: MIT */
/* STDERR of a request: when it leaves, and how its messages stay apart. */
#include "support/serving.h"

#include <string.h>

/* A record of STDERR alone in a write crashes HAProxy 2.6. */
static void test_stderr_waits_for_stdout(void **state) {
  serving *f = *state;
  char byte;
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request_set_timeout(request, 0);
  assert_int_equal(fcgi_request_write_stderr(request, "oops", 4), 0);
  assert_int_equal(fcgi_request_read(request, &byte, 1), FCGI_ERR_AGAIN);
  assert_int_equal(fcgi_request_flush(request), 0);
  serving_idle(f, 10);
  serving_expect(f, "");
  assert_int_equal(fcgi_request_write(request, "\r\n\r\n", 4), 4);
  assert_int_equal(fcgi_request_flush(request), 0);
  serving_expect(f, "stdout 1 \r\n\r\n\nstderr 1 oops\n");
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  fcgi_request_end(request, 0);
}

/* Raw output tells by its empty line where the head ends, wherever the pieces
   do; what comes after that waits for no more than the next STDOUT. */
static void test_stderr_waits_for_the_end_of_the_head(void **state) {
  static const char *const pieces[] = {"A: b\nC",    ": d\r", "\n\r",
                                       "\nbody\n\n", "more",  NULL};
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request_write_stderr(request, "one", 3);
  for (int i = 0; pieces[i]; i++) {
    size_t len = strlen(pieces[i]);
    assert_int_equal(fcgi_request_write(request, pieces[i], len), len);
    if (i == 3)
      fcgi_request_write_stderr(request, "two", 3);
  }
  fcgi_request_end(request, 0);
  serving_expect(f, "stdout 1 A: b\nC: d\r\n\r\nbody\n\n\n"
                    "stderr 1 one\ntwo\nstdout 1 more\nstderr_end 1\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_stderr_follows_every_kind_of_answer(void **state) {
  static const char head[] = "stdout 1 Content-Length: 2\r\nStatus: 200 OK"
                             "\r\n\r\nhi\nstderr 1 oops\nstderr_end 1\n"
                             "stdout_end 1\nend 1 app=0 status=0\n";
  serving *f = *state;
  const fcgi_header two = {"Content-Length", 14, "2", 1};
  for (int kind = 0; kind < 3; kind++) {
    records_get(&f->text->sent, 1);
    serving_send(f);
    fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
    fcgi_request_write_stderr(request, "oops", 4);
    if (kind == 0)
      fcgi_request_reply(request, 200, NULL, "hi", 2);
    if (kind == 1)
      fcgi_request_respond(request, 200, &two, 1, "hi", 2);
    if (kind == 2) {
      fcgi_request_write(request,
                         "Content-Length: 2\r\nStatus: 200 OK\r\n\r\nhi", 39);
      fcgi_request_end(request, 0);
    }
    serving_expect(f, head);
  }
}

/* The head is larger than the window, and comes again in part. */
static void test_stderr_waits_for_a_head_taken_in_parts(void **state) {
  static char field[200000];
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  size_t at = 0;
  fcgi_request_set_timeout(request, 0);
  memset(field, 'x', sizeof field);
  memcpy(field, "A: ", 3);
  memcpy(field + sizeof field - 4, "\n\nhi", 4);
  fcgi_request_write_stderr(request, "oops", 4);
  for (int turns = 0; at < sizeof field; turns++) {
    ptrdiff_t done = fcgi_request_write(request, field + at, sizeof field - at);
    assert_true(turns < 10000 && (done > 0 || done == FCGI_ERR_AGAIN));
    at += done > 0 ? (size_t)done : 0;
    serving_receive(f);
  }
  fcgi_request_end(request, 0);
  serving_receive(f);
  uint8_t last = 0;
  size_t stdout_len = 0;
  for (size_t i = 0; i < f->got.len;) {
    fcgi_record record;
    fcgi_record_decode(&record, f->got.data + i);
    if (record.type == FCGI_RECORD_STDERR && last != FCGI_RECORD_STDERR)
      assert_int_equal(stdout_len, sizeof field);
    stdout_len += record.type == FCGI_RECORD_STDOUT ? record.content_len : 0;
    last = record.type;
    i += (size_t)FCGI_RECORD_HEADER + record.content_len + record.padding_len;
  }
  assert_int_equal(stdout_len, sizeof field);
}

/* Messages stay apart, also where the first has left already; a newline that is
   written in a call of its own is enough. */
static void test_stderr_keeps_messages_apart(void **state) {
  static const char *const messages[] = {"one", "two\n", "three", "\n",
                                         "",    "four",  NULL};
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request_start(request, 200, NULL, 0);
  for (int i = 0; messages[i]; i++) {
    size_t len = strlen(messages[i]);
    assert_int_equal(fcgi_request_write_stderr(request, messages[i], len), 0);
    fcgi_request_write(request, ".", 1);
  }
  fcgi_request_end(request, 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n\r\n\n"
                    "stderr 1 one\nstdout 1 .\nstderr 1 \ntwo\n\n"
                    "stdout 1 .\nstderr 1 three\nstdout 1 .\nstderr 1 \n\n"
                    "stdout 1 ..\nstderr 1 four\nstdout 1 .\n"
                    "stderr_end 1\nstdout_end 1\nend 1 app=0 status=0\n");
}

static void test_stderr_is_bounded(void **state) {
  serving *f = *state;
  static char noise[4096];
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  int error = 0;
  for (int i = 0; i < 1000 && !error; i++)
    error = fcgi_request_write_stderr(request, noise, sizeof noise);
  assert_int_equal(error, FCGI_ERR_LIMIT);
  fcgi_request_end(request, 0);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_stderr_waits_for_stdout),
      SERVING_TEST(test_stderr_waits_for_the_end_of_the_head),
      SERVING_TEST(test_stderr_follows_every_kind_of_answer),
      SERVING_TEST(test_stderr_waits_for_a_head_taken_in_parts),
      SERVING_TEST(test_stderr_keeps_messages_apart),
      SERVING_TEST(test_stderr_is_bounded),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
