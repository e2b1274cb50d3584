/* SPDX-License-Identifier: MIT */
/* Peers that stall, vanish or misbehave, and what that must not do to others.
 */
#include "support/serving.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static long cpu_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Serve for `ms`, asleep nearly all the time. */
static void serving_sleeps(serving *f, int ms) {
  long before = cpu_ms();
  serving_idle(f, ms);
  assert_in_range(cpu_ms() - before, 0, ms / 2);
}

static void hang_up(serving *f) {
  close(f->client);
  f->client = -1;
}

static void stream_to(serving *f, unsigned events) {
  f->config.body = FCGI_BODY_STREAM;
  f->config.events = events;
  serving_restart(f);
}

/* What comes after END is thrown away for as long as the peer sends it; a
   close(2) with bytes unread would reset the connection, and the answer with
   it. */
static void test_lingering_outlasts_the_first_bytes(void **state) {
  serving *f = *state;
  f->config.drain_silence_ms = 40;
  stream_to(f, 0);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_idle(f, 60);
  for (int i = 0; i < 4; i++) {
    records_stdin(&f->text->sent, 1, "more");
    serving_send(f);
    serving_idle(f, 10);
  }
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
  serving_idle(f, 300);
  assert_int_equal(send(f->client, "x", 1, MSG_NOSIGNAL), -1);
}

/* Not kept, so that a server of one thread might not poll it at all. */
static void test_abort_of_a_pending_request_is_told(void **state) {
  serving *f = *state;
  f->config.events = 1u << FCGI_EVENT_ABORT;
  serving_restart(f);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 0);
  records_params_end(&f->text->sent, 1);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  serving_idle(f, 10);
  hang_up(f);
  assert_ptr_equal(serving_take(f, FCGI_EVENT_ABORT), request);
  fcgi_request_end(request, 0);
}

static void test_hung_up_peer_costs_no_time(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  hang_up(f);
  serving_sleeps(f, 200);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_CONNECTION);
  fcgi_request_end(request, 0);
  serving_sleeps(f, 50);
}

static void test_hang_up_is_told_while_the_window_is_full(void **state) {
  serving *f = *state;
  static char piece[60000];
  f->config.input_window = 1000;
  stream_to(f, 1u << FCGI_EVENT_ABORT);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  records_put(&f->text->sent, FCGI_RECORD_STDIN, 1, piece, sizeof piece, 0);
  serving_send(f);
  serving_idle(f, 10);
  hang_up(f);
  assert_ptr_equal(serving_take(f, FCGI_EVENT_ABORT), request);
  serving_sleeps(f, 200);
  fcgi_request_end(request, 0);
}

static fcgi_request *send_big_file(serving *f) {
  char path[] = "/tmp/fastcgi-unit-XXXXXX";
  int file = mkstemp(path);
  unlink(path);
  assert_int_equal(ftruncate(file, 8 << 20), 0);
  f->config.io_timeout_ms = FCGI_WAIT_NEVER;
  f->config.events = 1u << FCGI_EVENT_ABORT | 1u << FCGI_EVENT_WRITABLE |
                     1u << FCGI_EVENT_CLOSE;
  serving_restart(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_write(request, "\n", 1), 1);
  assert_int_equal(fcgi_request_send_file(request, file, 0, 8 << 20), 0);
  close(file);
  return request;
}

/* The program has ended the request: only CLOSE may follow. */
static void test_ended_file_is_forgotten_with_its_reader(void **state) {
  serving *f = *state;
  fcgi_request *request = send_big_file(f);
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_AGAIN);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  hang_up(f);
  assert_ptr_equal(serving_take(f, FCGI_EVENT_CLOSE), request);
}

static void test_file_is_ended_once(void **state) {
  serving *f = *state;
  fcgi_request *request = send_big_file(f);
  assert_int_equal(fcgi_request_end(request, 7), 0);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_STATE);
  assert_int_equal(fcgi_request_fail(request), FCGI_ERR_STATE);
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_STATE);
}

/* At every look some request's PARAMS are incomplete, never the same's. */
static void test_busy_connection_outlives_the_header_timeout(void **state) {
  serving *f = *state;
  f->config.header_timeout_ms = 250;
  f->config.max_multiplexed = 2;
  serving_restart(f);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  for (uint16_t id = 1; id <= 10; id++) {
    records_params_end(&f->text->sent, id);
    records_stdin_end(&f->text->sent, id);
    records_begin(&f->text->sent, (uint16_t)(id + 1), FCGI_ROLE_RESPONDER, 1);
    serving_send(f);
    fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
    serving_idle(f, 40);
  }
  assert_false(serving_is_closed(f, 0));
  serving_idle(f, 350);
  assert_true(serving_is_closed(f, 0));
}

static void test_header_timeout_is_not_renewed_by_bytes(void **state) {
  serving *f = *state;
  f->config.header_timeout_ms = 60;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  for (int i = 0; i < 12; i++) {
    send(f->client, f->text->sent.data + i, 1, MSG_NOSIGNAL);
    serving_idle(f, 10);
  }
  f->text->sent.len = 0;
  assert_true(serving_is_closed(f, 1000));
}

/* Bytes from a peer that reads none of ours buy it no time. */
static void test_unread_output_has_an_end(void **state) {
  serving *f = *state;
  static char big[1 << 20];
  f->config.io_timeout_ms = 60;
  serving_restart(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request_set_timeout(request, 0);
  assert_int_equal(
      fcgi_request_reply(request, 200, "text/plain", big, sizeof big), 0);
  for (int i = 0; i < 20; i++) {
    records_abort(&f->text->sent, 9);
    if (send(f->client, f->text->sent.data, f->text->sent.len, MSG_NOSIGNAL) <
        0)
      return;
    f->text->sent.len = 0;
    serving_idle(f, 10);
  }
  fail_msg("the connection is still open");
}

/* HAProxy puts requests of many clients on one connection. */
static void test_stalled_body_harms_no_neighbour(void **state) {
  serving *f = *state;
  f->config.io_timeout_ms = 40;
  f->config.drain_silence_ms = 20;
  serving_restart(f);
  records_get(&f->text->sent, 1);
  records_open(&f->text->sent, 3);
  records_stdin(&f->text->sent, 3, "part");
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  serving_idle(f, 100);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_NONE);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  serving_expect(f, "stdout 3 Content-Type: text/plain\r\n"
                    "Content-Length: 20\r\nStatus: 408 Request Timeout\r\n\r\n"
                    "408 Request Timeout\n\nstdout_end 3\n"
                    "end 3 app=0 status=0\nstdout_end 1\n"
                    "end 1 app=0 status=0\n");
}

static void test_broken_protocol_is_logged_once(void **state) {
  serving *f = *state;
  lines_begin(&f->log, &f->config);
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  records_raw(&f->text->sent, "rubbish rubbish", 15);
  serving_send(f);
  serving_idle(f, 20);
  assert_true(serving_is_closed(f, 0));
  assert_int_equal(lines_count(&f->log, "protocol"), 1);
}

static void *read_body(void *data) {
  char byte;
  ptrdiff_t got = fcgi_request_read(data, &byte, 1);
  return (void *)(intptr_t)got;
}

/* The only thread that serves the connection waits for input meanwhile. */
static void test_waiting_reader_sends_for_its_neighbour(void **state) {
  serving *f = *state;
  static char big[1 << 20], sink[1 << 16];
  pthread_t reader;
  size_t total = 0;
  struct timespec from, to;
  stream_to(f, 0);
  records_open(&f->text->sent, 1);
  records_get(&f->text->sent, 3);
  serving_send(f);
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request *second = serving_take(f, FCGI_EVENT_REQUEST);
  pthread_create(&reader, NULL, read_body, first);
  nanosleep(&(struct timespec){0, 50000000}, NULL);
  clock_gettime(CLOCK_MONOTONIC, &from);
  fcgi_request_set_timeout(second, 0);
  assert_int_equal(
      fcgi_request_reply(second, 200, "text/plain", big, sizeof big), 0);
  while (total < sizeof big) {
    ssize_t got = recv(f->client, sink, sizeof sink, 0);
    assert_true(got > 0);
    total += (size_t)got;
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  assert_in_range((to.tv_sec - from.tv_sec) * 1000 +
                      (to.tv_nsec - from.tv_nsec) / 1000000,
                  0, 250);
  records_stdin(&f->text->sent, 1, "x");
  serving_send(f);
  void *got;
  pthread_join(reader, &got);
  assert_int_equal((intptr_t)got, 1);
  fcgi_request_end(first, 0);
}

/* A reset would take back the answer of the first, which may be under way. */
static void test_failure_spares_answers_sent_before(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  records_get(&f->text->sent, 3);
  serving_send(f);
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request *second = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_end(first, 0), 0);
  assert_int_equal(fcgi_request_write(second, "\n part", 6), 6);
  assert_int_equal(fcgi_request_fail(second), 0);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n"
                    "stdout 3 \n part\nstdout_end 3\nend 3 app=1 status=0\n");
  assert_false(serving_is_closed(f, 10));
}

typedef struct upload {
  serving *f;   /* Whose client sends it. */
  size_t total; /* Bytes of the answer received. */
} upload;

/* As mod_fcgid and Caddy do it: the whole body first, then the answer. */
static void *send_then_read(void *data) {
  static char sink[1 << 16];
  upload *u = data;
  ssize_t got;
  serving_send(u->f);
  while ((got = recv(u->f->client, sink, sizeof sink, 0)) > 0)
    u->total += (size_t)got;
  return NULL;
}

static void open_upload(serving *f, size_t len) {
  static char piece[50000];
  f->config.input_window = 50000;
  f->config.output_window = 50000;
  f->config.drain_silence_ms = 50;
  stream_to(f, 1u << FCGI_EVENT_WRITABLE);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 0);
  records_params_end(&f->text->sent, 1);
  for (size_t at = 0; at < len; at += sizeof piece) {
    memset(piece, 'a' + (int)(at / sizeof piece % 26), sizeof piece);
    records_put(&f->text->sent, FCGI_RECORD_STDIN, 1, piece, sizeof piece, 0);
  }
  records_stdin_end(&f->text->sent, 1);
}

static void expect_upload(fcgi_request *request, size_t len) {
  char data[9999];
  size_t at = 0;
  ptrdiff_t got;
  while ((got = fcgi_request_read(request, data, sizeof data)) > 0)
    for (ptrdiff_t i = 0; i < got; i++, at++)
      if (data[i] != 'a' + (int)(at / 50000 % 26))
        fail_msg("byte %zu differs", at);
  assert_int_equal(got, 0);
  assert_int_equal(at, len);
}

static void test_writer_and_uploader_do_not_wait_for_each_other(void **state) {
  serving *f = *state;
  static char big[1000000] = {'\n'}; /* An empty head, and zeros. */
  upload u = {.f = f};
  pthread_t client;
  open_upload(f, 3000000);
  pthread_create(&client, NULL, send_then_read, &u);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  for (int i = 0; i < 3; i++)
    assert_int_equal(fcgi_request_write(request, big, sizeof big), sizeof big);
  expect_upload(request, 3000000);
  fcgi_request_end(request, 0);
  serving_idle(f, 20);
  pthread_join(client, NULL);
  assert_true(u.total > 3 * sizeof big);
}

static void test_callbacks_and_uploader_do_not_either(void **state) {
  serving *f = *state;
  static char big[1000000] = {'\n'};
  upload u = {.f = f};
  pthread_t client;
  open_upload(f, 3000000);
  pthread_create(&client, NULL, send_then_read, &u);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request_set_timeout(request, 0);
  for (size_t at = 0; at < sizeof big;) {
    ptrdiff_t took = fcgi_request_write(request, big + at, sizeof big - at);
    if (took == FCGI_ERR_AGAIN)
      assert_ptr_equal(serving_take(f, FCGI_EVENT_WRITABLE), request);
    else
      at += (size_t)took;
  }
  fcgi_request_set_timeout(request, 5000);
  expect_upload(request, 3000000);
  fcgi_request_end(request, 0);
  serving_idle(f, 20);
  pthread_join(client, NULL);
  assert_true(u.total > sizeof big);
}

/* One thread reads the first request while the second's window is full. */
static void test_reader_outlasts_its_neighbours_window(void **state) {
  serving *f = *state;
  static char piece[60000];
  char data[8];
  f->config.body = FCGI_BODY_STREAM;
  f->config.input_window = 50000;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_open(&f->text->sent, 2);
  for (int i = 0; i < 2; i++)
    records_put(&f->text->sent, FCGI_RECORD_STDIN, 2, piece, sizeof piece, 0);
  records_stdin(&f->text->sent, 1, "mine");
  serving_send(f);
  fcgi_request *first = serving_take(f, FCGI_EVENT_REQUEST);
  fcgi_request *second = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_read(first, data, sizeof data), 4);
  size_t got = 0;
  for (ptrdiff_t len; got < 2 * sizeof piece; got += (size_t)len) {
    len = fcgi_request_read(second, piece, sizeof piece);
    assert_true(len > 0);
  }
  assert_int_equal(got, 2 * sizeof piece);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_reader_outlasts_its_neighbours_window),
      SERVING_TEST(test_lingering_outlasts_the_first_bytes),
      SERVING_TEST(test_abort_of_a_pending_request_is_told),
      SERVING_TEST(test_hung_up_peer_costs_no_time),
      SERVING_TEST(test_hang_up_is_told_while_the_window_is_full),
      SERVING_TEST(test_ended_file_is_forgotten_with_its_reader),
      SERVING_TEST(test_file_is_ended_once),
      SERVING_TEST(test_busy_connection_outlives_the_header_timeout),
      SERVING_TEST(test_header_timeout_is_not_renewed_by_bytes),
      SERVING_TEST(test_unread_output_has_an_end),
      SERVING_TEST(test_stalled_body_harms_no_neighbour),
      SERVING_TEST(test_broken_protocol_is_logged_once),
      SERVING_TEST(test_waiting_reader_sends_for_its_neighbour),
      SERVING_TEST(test_failure_spares_answers_sent_before),
      SERVING_TEST(test_writer_and_uploader_do_not_wait_for_each_other),
      SERVING_TEST(test_callbacks_and_uploader_do_not_either),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
