/* SPDX-License-Identifier: MIT */
/* Callbacks, and several threads in one server. */
#include "support/serving.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 4, LONG_MS = 20000 };

typedef struct running {
  serving *f;                   /* The server. */
  fcgi_handler handler;         /* Its callbacks. */
  pthread_t threads[THREADS];   /* Who runs it. */
  _Atomic(fcgi_request *) kept; /* A request left pending. */
  atomic_int aborts;            /* Calls of on_abort. */
  atomic_int closes;            /* Calls of on_close. */
  atomic_int inside;            /* 1: a slow on_request has not returned. */
} running;

static void *run_thread(void *data) {
  running *r = data;
  assert_int_equal(fcgi_server_run(r->f->server, &r->handler, r), 0);
  return NULL;
}

static void start(running *r) {
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&r->threads[i], NULL, run_thread, r), 0);
}

static void finish(running *r) {
  fcgi_server_stop(r->f->server, FCGI_STOP_GRACEFUL);
  for (int i = 0; i < THREADS; i++)
    pthread_join(r->threads[i], NULL);
}

static void wait_for_bytes(int client, size_t len) {
  size_t seen = 0;
  char data[65536];
  while (seen < len) {
    struct pollfd at = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&at, 1, LONG_MS), 1);
    ssize_t part = recv(client, data, sizeof data, MSG_PEEK);
    assert_true(part > 0);
    seen = (size_t)part;
    if (seen < len)
      usleep(1000);
  }
}

static int reply(fcgi_request *request, void *user_data) {
  (void)user_data;
  return fcgi_request_reply(request, 200, "text/plain", "hi\n", 3);
}

static int do_nothing(fcgi_request *request, void *user_data) {
  (void)request;
  (void)user_data;
  return 0;
}

static int give_up(fcgi_request *request, void *user_data) {
  (void)request;
  (void)user_data;
  return -1;
}

static int reply_twice(fcgi_request *request, void *user_data) {
  reply(request, user_data);
  assert_null(fcgi_request_param(request, "REQUEST_METHOD"));
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_STATE);
  assert_int_equal(fcgi_request_read(request, user_data, 1), FCGI_ERR_STATE);
  return reply(request, user_data);
}

static int keep(fcgi_request *request, void *user_data) {
  running *r = user_data;
  atomic_store(&r->kept, request);
  return FCGI_PENDING;
}

static int count_abort(fcgi_request *request, void *user_data) {
  running *r = user_data;
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_CONNECTION);
  atomic_fetch_add(&r->aborts, 1);
  return fcgi_request_end(request, 0);
}

static int count_close(fcgi_request *request, void *user_data) {
  running *r = user_data;
  assert_non_null(request);
  atomic_fetch_add(&r->closes, 1);
  return 0;
}

static int end_slowly(fcgi_request *request, void *user_data) {
  running *r = user_data;
  atomic_store(&r->inside, 1);
  fcgi_request_end(request, 0);
  usleep(50000);
  atomic_store(&r->inside, 0);
  return FCGI_PENDING;
}

static int close_last(fcgi_request *request, void *user_data) {
  running *r = user_data;
  assert_int_equal(atomic_load(&r->inside), 0);
  return count_close(request, user_data);
}

/* Copies the body back as it comes. */
/* Behind an empty head, of one byte. */
static int echo(fcgi_request *request, void *user_data) {
  char data[3000];
  ptrdiff_t len;
  (void)user_data;
  if (fcgi_request_write(request, "\n", 1) != 1)
    return -1;
  while ((len = fcgi_request_read(request, data, sizeof data)) > 0)
    if (fcgi_request_write(request, data, (size_t)len) != len)
      return -1;
  return (int)len;
}

static void one_answer(serving *f, fcgi_callback callback,
                       const char *expected) {
  running r = {.f = f,
               .handler = {.size = sizeof r.handler, .on_request = callback}};
  start(&r);
  records_get(&f->text->sent, 1);
  serving_send(f);
  wait_for_bytes(f->client, 8);
  finish(&r);
  serving_expect(f, expected);
}

static void test_reply_from_a_callback(void **state) {
  one_answer(*state, reply,
             "stdout 1 Content-Type: text/plain\r\nContent-Length: 3\r\n"
             "Status: 200 OK\r\n\r\nhi\n\nstdout_end 1\n"
             "end 1 app=0 status=0\n");
}

static int write_only(fcgi_request *request, void *user_data) {
  (void)user_data;
  return fcgi_request_write(request, "\r\nx", 3) == 3 ? 0 : -1;
}

static void test_return_ends_the_request(void **state) {
  one_answer(*state, write_only,
             "stdout 1 \r\nx\nstdout_end 1\nend 1 app=0 status=0\n");
}

static void test_return_without_an_answer_gives_500(void **state) {
  one_answer(*state, do_nothing,
             "stdout 1 Content-Type: text/plain\r\nContent-Length: 26\r\n"
             "Status: 500 Internal Server Error\r\n\r\n"
             "500 Internal Server Error\n\nstdout_end 1\n"
             "end 1 app=0 status=0\n");
}

static void test_handle_lives_until_the_callback_returns(void **state) {
  one_answer(*state, reply_twice,
             "stdout 1 Content-Type: text/plain\r\nContent-Length: 3\r\n"
             "Status: 200 OK\r\n\r\nhi\n\nstdout_end 1\n"
             "end 1 app=0 status=0\n");
}

static void test_negative_return_gives_500(void **state) {
  one_answer(*state, give_up,
             "stdout 1 Content-Type: text/plain\r\nContent-Length: 26\r\n"
             "Status: 500 Internal Server Error\r\n\r\n"
             "500 Internal Server Error\n\nstdout_end 1\n"
             "end 1 app=0 status=0\n");
}

static void wait_until(atomic_int *count, int value) {
  for (int i = 0; i < LONG_MS && atomic_load(count) != value; i++)
    usleep(1000);
  assert_int_equal(atomic_load(count), value);
}

static void test_pending_request_is_ended_elsewhere(void **state) {
  serving *f = *state;
  running r = {.f = f,
               .handler = {.size = sizeof r.handler,
                           .on_request = keep,
                           .on_close = count_close}};
  start(&r);
  records_get(&f->text->sent, 1);
  serving_send(f);
  for (int i = 0; i < LONG_MS && !atomic_load(&r.kept); i++)
    usleep(1000);
  assert_int_equal(fcgi_request_end(atomic_load(&r.kept), 5), 0);
  wait_until(&r.closes, 1);
  finish(&r);
  serving_expect(f, "stdout_end 1\nend 1 app=5 status=0\n");
}

static void test_abort_and_close_are_called(void **state) {
  serving *f = *state;
  running r = {.f = f,
               .handler = {.size = sizeof r.handler,
                           .on_request = keep,
                           .on_abort = count_abort,
                           .on_close = count_close}};
  start(&r);
  records_get(&f->text->sent, 1);
  serving_send(f);
  for (int i = 0; i < LONG_MS && !atomic_load(&r.kept); i++)
    usleep(1000);
  close(f->client);
  f->client = -1;
  wait_until(&r.aborts, 1);
  wait_until(&r.closes, 1);
  finish(&r);
}

static void test_handler_without_request_is_refused(void **state) {
  serving *f = *state;
  const fcgi_handler handler = {.size = sizeof handler};
  assert_int_equal(fcgi_server_run(f->server, &handler, NULL),
                   FCGI_ERR_INVALID);
  assert_true(strlen(fcgi_server_message(f->server)) > 0);
}

static void test_user_data_is_kept(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_null(fcgi_request_user_data(request));
  fcgi_request_set_user_data(request, f);
  assert_ptr_equal(fcgi_request_user_data(request), f);
}

static void test_serving_nowhere_is_refused(void **state) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = reply};
  const serving *f = *state;
  fcgi_server *server;
  assert_int_equal(fcgi_server_new(&server, &f->config, NULL, 0), 0);
  assert_int_equal(fcgi_server_run(server, &handler, NULL), FCGI_ERR_STATE);
  assert_non_null(strstr(fcgi_server_message(server), "no address"));
  fcgi_server_free(server);
}

static void append_stdin(serving *f, uint16_t id, const char *data,
                         size_t len) {
  records_put(&f->text->sent, FCGI_RECORD_STDIN, id, data, len, 1);
}

/* Four bodies that arrive in turns on one connection, each handler waiting in
   its thread for the next piece of its own. */
static void test_blocked_readers_share_a_connection(void **state) {
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  running r = {.f = f,
               .handler = {.size = sizeof r.handler, .on_request = echo}};
  start(&r);
  for (uint16_t id = 1; id <= THREADS; id++)
    records_open(&f->text->sent, id);
  for (int round = 0; round < 200; round++) {
    for (uint16_t id = 1; id <= THREADS; id++)
      append_stdin(f, id, "0123456789", 10);
    serving_send(f);
  }
  for (uint16_t id = 1; id <= THREADS; id++)
    records_stdin_end(&f->text->sent, id);
  serving_send(f);
  wait_for_bytes(f->client, 8);
  finish(&r);
  size_t ends = 0, content = 0;
  uint8_t header[8];
  fcgi_record record;
  while (recv(f->client, header, 8, MSG_WAITALL) == 8) {
    char rest[65536 + 255];
    fcgi_record_decode(&record, header);
    size_t len = (size_t)record.content_len + record.padding_len;
    assert_true(len == 0 || recv(f->client, rest, len, MSG_WAITALL) > 0);
    ends += record.type == FCGI_RECORD_END_REQUEST;
    content += record.type == FCGI_RECORD_STDOUT ? record.content_len : 0;
  }
  assert_int_equal(ends, THREADS);
  assert_int_equal(content, THREADS * (1 + 2000));
}

/* The answer is larger than all buffers and the client reads it only after it
   has sent everything: the handler's write must go on reading. */
static void test_writer_keeps_reading(void **state) {
  serving *f = *state;
  enum { BODY = 3000000 };
  char *zeros = calloc(1, BODY);
  f->config.body = FCGI_BODY_STREAM;
  f->config.input_window = 4 * BODY;
  serving_restart(f);
  running r = {.f = f,
               .handler = {.size = sizeof r.handler, .on_request = echo}};
  start(&r);
  records_open(&f->text->sent, 1);
  for (size_t at = 0; at < BODY; at += 50000)
    append_stdin(f, 1, zeros, 50000);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  size_t got = 0;
  for (ssize_t part; got < BODY; got += (size_t)part) {
    part = recv(f->client, zeros, BODY, 0);
    assert_true(part > 0);
  }
  close(f->client);
  f->client = -1;
  finish(&r);
  free(zeros);
}

static void *stop_now_soon(void *data) {
  serving *f = data;
  usleep(20000);
  fcgi_server_stop(f->server, FCGI_STOP_NOW);
  return NULL;
}

/* The only thread waits for the body: nobody takes events. */
static void test_stop_now_ends_a_blocked_read(void **state) {
  serving *f = *state;
  pthread_t stopper;
  char byte;
  f->config.body = FCGI_BODY_STREAM;
  f->config.io_timeout_ms = LONG_MS;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  pthread_create(&stopper, NULL, stop_now_soon, f);
  assert_int_equal(fcgi_request_read(request, &byte, 1), FCGI_ERR_ABORTED);
  pthread_join(stopper, NULL);
  assert_int_equal(fcgi_request_end(request, 0), 0);
}

static int serve_in_thread(void *data) {
  running *r = data;
  return fcgi_server_run_threads(r->f->server, &r->handler, r, THREADS);
}

static void *terminate(void *data) {
  (void)data;
  usleep(30000);
  kill(getpid(), SIGUSR1); /* Somebody else's, which the program blocks. */
  usleep(10000);
  kill(getpid(), SIGTERM);
  return NULL;
}

static void test_signal_stops_gracefully(void **state) {
  serving *f = *state;
  sigset_t before, after;
  pthread_t killer;
  running r = {.f = f,
               .handler = {.size = sizeof r.handler, .on_request = reply}};
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigaddset(&term, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &term, &before);
  pthread_create(&killer, NULL, terminate, NULL);
  assert_int_equal(fcgi_serve_signals(f->server, serve_in_thread, &r), 0);
  pthread_join(killer, NULL);
  pthread_sigmask(SIG_SETMASK, &before, &after);
  assert_true(sigismember(&after, SIGTERM));
  assert_false(sigismember(&after, SIGQUIT));
}

static void test_close_comes_after_every_other_callback(void **state) {
  serving *f = *state;
  running r = {.f = f,
               .handler = {.size = sizeof r.handler,
                           .on_request = end_slowly,
                           .on_close = close_last}};
  start(&r);
  records_get(&f->text->sent, 1);
  serving_send(f);
  while (atomic_load(&r.closes) == 0)
    usleep(1000);
  finish(&r);
  assert_int_equal(atomic_load(&r.closes), 1);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_reply_from_a_callback),
      SERVING_TEST(test_return_ends_the_request),
      SERVING_TEST(test_return_without_an_answer_gives_500),
      SERVING_TEST(test_handle_lives_until_the_callback_returns),
      SERVING_TEST(test_negative_return_gives_500),
      SERVING_TEST(test_pending_request_is_ended_elsewhere),
      SERVING_TEST(test_abort_and_close_are_called),
      SERVING_TEST(test_close_comes_after_every_other_callback),
      SERVING_TEST(test_handler_without_request_is_refused),
      SERVING_TEST(test_user_data_is_kept),
      SERVING_TEST(test_serving_nowhere_is_refused),
      SERVING_TEST(test_blocked_readers_share_a_connection),
      SERVING_TEST(test_writer_keeps_reading),
      SERVING_TEST(test_stop_now_ends_a_blocked_read),
      SERVING_TEST(test_signal_stops_gracefully),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  signal(SIGPIPE, SIG_DFL);
  return serving_run(run);
}
