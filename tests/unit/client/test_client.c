/* SPDX-License-Identifier: MIT */
/* The blocking client against a server on another thread, and against a socket
   whose other end says what the test wants. */
#include "support/failing.h"
#include "support/records.h"
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONG_MS = 20000, BIG = 6 * 1024 * 1024, THREADS = 3 };

/* A server that echoes, and a client connected to it. */
typedef struct echoing {
  fcgi_server *server;        /* Streams bodies back. */
  pthread_t threads[THREADS]; /* Run it: one for each request in flight, for
                                 the streams of one connection wait for each
                                 other's readers. */
  char address[160];          /* Of the server. */
  fcgi_client *client;        /* Under test. */
} echoing;

/* A client whose application is the test. */
typedef struct scripted {
  fcgi_client *client; /* Under test. */
  int far;             /* The application's end. */
} scripted;

static int echo(fcgi_request *request, void *user_data) {
  char data[30000];
  ptrdiff_t len;
  (void)user_data;
  fcgi_request_start(request, 200, NULL, 0);
  while ((len = fcgi_request_read(request, data, sizeof data)) > 0)
    for (ptrdiff_t at = 0, took; at < len; at += took)
      if ((took = fcgi_request_write(request, data + at, (size_t)(len - at))) <
          0)
        return (int)took;
  return (int)len;
}

static void *serve(void *data) {
  const fcgi_handler handler = {.size = sizeof handler, .on_request = echo};
  assert_int_equal(fcgi_server_run(data, &handler, NULL), 0);
  return NULL;
}

static int echoing_set_up(void **state) {
  const fcgi_server_config config = {.size = sizeof config,
                                     .body = FCGI_BODY_STREAM};
  echoing *e = calloc(1, sizeof *e);
  assert_int_equal(fcgi_server_new(&e->server, &config, NULL, 0), 0);
  assert_int_equal(fcgi_server_listen(e->server, "127.0.0.1:0"), 0);
  fcgi_server_address(e->server, 0, e->address, sizeof e->address);
  for (int i = 0; i < THREADS; i++)
    pthread_create(&e->threads[i], NULL, serve, e->server);
  assert_int_equal(fcgi_client_new(&e->client, NULL), 0);
  assert_int_equal(fcgi_client_connect(e->client, e->address), 0);
  *state = e;
  return 0;
}

static int echoing_tear_down(void **state) {
  echoing *e = *state;
  fcgi_client_free(e->client);
  fcgi_server_stop(e->server, FCGI_STOP_GRACEFUL);
  for (int i = 0; i < THREADS; i++)
    pthread_join(e->threads[i], NULL);
  fcgi_server_free(e->server);
  free(e);
  return 0;
}

static int scripted_set_up(void **state) {
  scripted *s = calloc(1, sizeof *s);
  char address[32];
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  snprintf(address, sizeof address, "fd:%d", ends[0]);
  assert_int_equal(fcgi_client_new(&s->client, NULL), 0);
  assert_int_equal(fcgi_client_connect(s->client, address), 0);
  close(ends[0]);
  s->far = ends[1];
  *state = s;
  return 0;
}

static int scripted_tear_down(void **state) {
  scripted *s = *state;
  fcgi_client_free(s->client);
  if (s->far >= 0)
    close(s->far);
  free(s);
  return 0;
}

static uint16_t begin(fcgi_client *client) {
  const fcgi_param params[] = {{"REQUEST_METHOD", 14, "POST", 4},
                               {"SCRIPT_NAME", 11, "", 0}};
  int id = fcgi_client_begin(client, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP,
                             params, 2);
  assert_true(id > 0);
  return (uint16_t)id;
}

static char *big_body(int seed) {
  char *body = malloc(BIG);
  for (int i = 0; i < BIG; i++)
    body[i] = (char)(i * 31 + i / 997 + seed);
  return body;
}

/* What came back for one request. */
typedef struct answer {
  records out; /* STDOUT. */
  int ended;   /* 1: END_REQUEST came. */
} answer;

/* Take events until there are no more; answers by id. */
static int collect(fcgi_client *client, answer *answers) {
  const fcgi_peer_event *event;
  int result;
  while ((result = fcgi_client_next(client, &event, LONG_MS)) == 1) {
    if (event->type == FCGI_PEER_EVENT_STDOUT)
      records_raw(&answers[event->id].out, event->data, event->len);
    if (event->type == FCGI_PEER_EVENT_END)
      answers[event->id].ended = 1;
  }
  return result;
}

static void expect_body(answer *got, const void *body, size_t len) {
  assert_true(got->ended);
  const uint8_t *head = memmem(got->out.data, got->out.len, "\r\n\r\n", 4);
  assert_non_null(head);
  size_t start = (size_t)(head - got->out.data) + 4;
  assert_int_equal(got->out.len - start, len);
  assert_memory_equal(got->out.data + start, body, len);
  records_free(&got->out);
}

/* More than the sockets hold, both ways at once, from memory and from a file,
   in flight together. */
static void test_client_sends_and_receives_large_bodies(void **state) {
  echoing *e = *state;
  answer answers[4] = {{{0}, 0}};
  FILE *file = tmpfile();
  char *bodies[4] = {NULL, big_body(1), big_body(2), big_body(3)};
  fwrite(bodies[2], 1, BIG, file);
  rewind(file);
  assert_int_equal(begin(e->client), 1);
  assert_int_equal(begin(e->client), 2);
  assert_int_equal(begin(e->client), 3);
  fcgi_client_send(e->client, 1, FCGI_STREAM_STDIN, bodies[1], BIG);
  fcgi_client_send_fd(e->client, 2, FCGI_STREAM_STDIN, fileno(file));
  fcgi_client_send(e->client, 3, FCGI_STREAM_STDIN, bodies[3], BIG);
  assert_int_equal(collect(e->client, answers), 0);
  for (int id = 1; id < 4; id++) {
    expect_body(&answers[id], bodies[id], BIG);
    free(bodies[id]);
  }
  fclose(file);
}

static void test_client_keeps_a_connection(void **state) {
  echoing *e = *state;
  for (int i = 0; i < 50; i++) {
    answer answers[2] = {{{0}, 0}};
    assert_int_equal(begin(e->client), 1);
    fcgi_client_send(e->client, 1, FCGI_STREAM_STDIN, "hello", 5);
    assert_int_equal(collect(e->client, answers), 0);
    expect_body(&answers[1], "hello", 5);
  }
}

/* The body comes from a pipe that is written while the answer is read. */
static void test_client_reads_a_slow_body(void **state) {
  echoing *e = *state;
  const fcgi_peer_event *event;
  answer answers[2] = {{{0}, 0}};
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  begin(e->client);
  fcgi_client_send_fd(e->client, 1, FCGI_STREAM_STDIN, ends[0]);
  assert_int_equal(write(ends[1], "first ", 6), 6);
  while (answers[1].out.len == 0 ||
         !memmem(answers[1].out.data, answers[1].out.len, "first ", 6)) {
    assert_int_equal(fcgi_client_next(e->client, &event, LONG_MS), 1);
    assert_int_equal(event->type, FCGI_PEER_EVENT_STDOUT);
    records_raw(&answers[1].out, event->data, event->len);
  }
  assert_int_equal(fcgi_client_next(e->client, &event, 20), FCGI_ERR_TIMEOUT);
  assert_int_equal(write(ends[1], "second", 6), 6);
  close(ends[1]);
  assert_int_equal(collect(e->client, answers), 0);
  expect_body(&answers[1], "first second", 12);
  close(ends[0]);
}

static void test_client_asks_for_values(void **state) {
  echoing *e = *state;
  const fcgi_peer_event *event;
  assert_int_equal(fcgi_peer_get_values(fcgi_client_peer(e->client), NULL, 0),
                   0);
  assert_int_equal(fcgi_client_next(e->client, &event, LONG_MS), 1);
  assert_int_equal(event->type, FCGI_PEER_EVENT_VALUES);
  assert_string_equal(
      fcgi_params_get(event->values, "FCGI_MPXS_CONNS", 15, NULL), "1");
  assert_int_equal(fcgi_client_next(e->client, &event, LONG_MS), 0);
}

static void expect_failure(scripted *s, int code, const char *says) {
  const fcgi_peer_event *event;
  assert_int_equal(fcgi_client_next(s->client, &event, LONG_MS), 1);
  assert_int_equal(event->type, FCGI_PEER_EVENT_CLOSE);
  assert_int_equal(fcgi_client_next(s->client, &event, LONG_MS), code);
  assert_non_null(strstr(fcgi_client_message(s->client), says));
  assert_int_equal(fcgi_client_next(s->client, &event, LONG_MS), code);
  assert_int_equal(
      fcgi_client_begin(s->client, FCGI_ROLE_RESPONDER, 0, NULL, 0), code);
}

static void test_client_tells_an_early_close(void **state) {
  scripted *s = *state;
  begin(s->client);
  fcgi_client_send(s->client, 1, FCGI_STREAM_STDIN, "x", 1);
  close(s->far);
  s->far = -1;
  expect_failure(s, FCGI_ERR_CLOSED, "closed the connection");
}

static void test_client_tells_a_broken_protocol(void **state) {
  scripted *s = *state;
  begin(s->client);
  assert_int_equal(write(s->far, "HTTP/1.1 400 Bad Request", 24), 24);
  expect_failure(s, FCGI_ERR_PROTOCOL, "it answers with HTTP");
}

/* The application answers at once, ends its side and reads nothing. */
static void test_client_takes_an_answer_before_its_body_is_sent(void **state) {
  scripted *s = *state;
  answer answers[2] = {{{0}, 0}};
  const char bytes[] = "\1\6\0\1\0\6\0\0\r\n\r\nhi"
                       "\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0";
  char *body = big_body(0);
  begin(s->client);
  fcgi_client_send(s->client, 1, FCGI_STREAM_STDIN, body, BIG);
  assert_int_equal(write(s->far, bytes, sizeof bytes - 1), sizeof bytes - 1);
  close(s->far);
  s->far = -1;
  assert_int_equal(collect(s->client, answers), 0);
  expect_body(&answers[1], "hi", 2);
  free(body);
}

static void test_client_times_out_and_can_wait_on(void **state) {
  scripted *s = *state;
  const fcgi_peer_event *event;
  begin(s->client);
  assert_int_equal(fcgi_client_next(s->client, &event, FCGI_WAIT_NEVER),
                   FCGI_ERR_TIMEOUT);
  assert_int_equal(fcgi_client_next(s->client, &event, 10), FCGI_ERR_TIMEOUT);
  assert_non_null(strstr(fcgi_client_message(s->client), "in time"));
  assert_int_equal(write(s->far, "\1\6\0\1\0\2\0\0hi", 10), 10);
  assert_int_equal(fcgi_client_next(s->client, &event, LONG_MS), 1);
  assert_int_equal(event->type, FCGI_PEER_EVENT_STDOUT);
}

static void expect_no_connection(const char *address, int code,
                                 const char *says) {
  fcgi_client *client = NULL;
  const fcgi_peer_event *event;
  assert_int_equal(fcgi_client_new(&client, NULL), 0);
  assert_int_equal(fcgi_client_next(client, &event, 0), FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_client_connect(client, address), code);
  assert_non_null(strstr(fcgi_client_message(client), says));
  assert_non_null(strstr(fcgi_client_message(client), address));
  assert_int_equal(fcgi_client_begin(client, 1, 0, NULL, 0), FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_client_next(client, &event, 0), FCGI_ERR_CLOSED);
  fcgi_client_free(client);
}

static void test_client_says_why_it_cannot_connect(void **state) {
  int ends[2];
  char pipe_address[32];
  (void)state;
  assert_int_equal(pipe(ends), 0);
  snprintf(pipe_address, sizeof pipe_address, "fd:%d", ends[0]);
  expect_no_connection("unix:/nowhere/at/all.sock", FCGI_ERR_SYSTEM,
                       "is the application running");
  expect_no_connection("nonsense", FCGI_ERR_INVALID, "not an address");
  expect_no_connection(pipe_address, FCGI_ERR_INVALID, "no stream socket");
  close(ends[0]);
  close(ends[1]);
}

/* Answered at once: what is left of bodies in memory and in files is dropped,
   and the connection serves on. */
static void test_client_drops_bodies_that_are_answered_early(void **state) {
  scripted *s = *state;
  const fcgi_peer_event *event;
  answer answers[3] = {{{0}, 0}};
  const char bytes[] = "\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0"
                       "\1\3\0\2\0\10\0\0\0\0\0\0\0\0\0\0";
  char *body = big_body(0), sink[65536];
  int endless = open("/dev/zero", O_RDONLY);
  begin(s->client);
  begin(s->client);
  fcgi_client_send(s->client, 1, FCGI_STREAM_STDIN, body, BIG);
  fcgi_client_send_fd(s->client, 2, FCGI_STREAM_STDIN, endless);
  assert_int_equal(fcgi_client_next(s->client, &event, 20), FCGI_ERR_TIMEOUT);
  assert_int_equal(write(s->far, bytes, sizeof bytes - 1), sizeof bytes - 1);
  while (answers[1].ended + answers[2].ended < 2) {
    assert_int_equal(fcgi_client_next(s->client, &event, LONG_MS), 1);
    answers[event->id].ended = 1;
  }
  int result;
  while ((result = fcgi_client_next(s->client, &event, 0)) != 0) {
    assert_int_equal(result, FCGI_ERR_TIMEOUT);
    assert_true(read(s->far, sink, sizeof sink) > 0);
  }
  assert_int_equal(begin(s->client), 1);
  free(body);
  close(endless);
}

static void test_client_tells_a_body_it_cannot_read(void **state) {
  scripted *s = *state;
  const fcgi_peer_event *event;
  int directory = open("/", O_RDONLY);
  begin(s->client);
  assert_int_equal(fcgi_client_send_fd(s->client, 1, FCGI_STREAM_STDIN, -1),
                   FCGI_ERR_INVALID);
  assert_int_equal(
      fcgi_client_send_fd(s->client, 1, FCGI_STREAM_STDIN, directory), 0);
  assert_int_equal(fcgi_client_next(s->client, &event, LONG_MS),
                   FCGI_ERR_SYSTEM);
  assert_non_null(strstr(fcgi_client_message(s->client), "cannot read"));
  close(directory);
}

/* Closed with bytes unread, a connection is reset. */
static void test_client_tells_a_reset(void **state) {
  scripted *s = *state;
  char byte;
  begin(s->client);
  const fcgi_peer_event *event;
  assert_int_equal(fcgi_client_next(s->client, &event, 20), FCGI_ERR_TIMEOUT);
  assert_int_equal(read(s->far, &byte, 1), 1);
  close(s->far);
  s->far = -1;
  expect_failure(s, FCGI_ERR_CLOSED, "the connection was reset");
}

/* Nobody accepts, and the queue of connections is full. */
static void test_client_gives_up_connecting(void **state) {
  const fcgi_client_config config = {.size = sizeof config,
                                     .connect_timeout_ms = 30};
  const char *address = "unix:@fastcgi-full-backlog";
  fcgi_server_config small = {.size = sizeof small, .backlog = 1};
  fcgi_server *server = NULL;
  fcgi_client *clients[4] = {NULL};
  int result = 0;
  char name[64];
  (void)state;
  snprintf(name, sizeof name, "%s-%ld", address, (long)getpid());
  assert_int_equal(fcgi_server_new(&server, &small, NULL, 0), 0);
  assert_int_equal(fcgi_server_listen(server, name), 0);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(fcgi_client_new(&clients[i], &config), 0);
    result = fcgi_client_connect(clients[i], name);
  }
  assert_int_equal(result, FCGI_ERR_TIMEOUT);
  assert_non_null(strstr(fcgi_client_message(clients[3]), "in time"));
  for (int i = 0; i < 4; i++)
    fcgi_client_free(clients[i]);
  fcgi_server_free(server);
}

/* One answer over a socket pair where the n-th allocation fails: 1 if one
   did. */
static int run_short_of_memory(long n) {
  failing memory = {.until_failure = n};
  const fcgi_peer_config peer = {.size = sizeof peer,
                                 .allocator = failing_allocator(&memory)};
  const fcgi_client_config config = {.size = sizeof config, .peer = &peer};
  const char bytes[] = "\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0";
  const fcgi_param param = {"A", 1, "b", 1};
  const fcgi_peer_event *event;
  fcgi_client *client = NULL;
  char address[32];
  int ends[2], result;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  snprintf(address, sizeof address, "fd:%d", ends[0]);
  assert_int_equal(write(ends[1], bytes, sizeof bytes - 1), sizeof bytes - 1);
  result = fcgi_client_new(&client, &config);
  if (!result)
    result = fcgi_client_connect(client, address);
  if (!result && (result = fcgi_client_begin(client, 1, 0, &param, 1)) == 1)
    result = fcgi_client_send(client, 1, FCGI_STREAM_STDIN, address, 32);
  while (!result && (result = fcgi_client_next(client, &event, LONG_MS)) == 1)
    result = 0;
  assert_int_equal(result, memory.failures ? FCGI_ERR_NOMEM : 0);
  fcgi_client_free(client);
  assert_int_equal(memory.live, 0);
  close(ends[0]);
  close(ends[1]);
  return memory.failures > 0;
}

static void test_client_memory_may_run_out(void **state) {
  const fcgi_client_config later = {.size = 0};
  const fcgi_peer_config peer = {.size = 0};
  const fcgi_client_config config = {.size = sizeof config, .peer = &peer};
  fcgi_client *client = NULL;
  long n = 0;
  (void)state;
  assert_int_equal(fcgi_client_new(&client, &later), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_client_new(&client, &config), FCGI_ERR_INVALID);
  fcgi_client_free(NULL);
  while (n < 100 && run_short_of_memory(n))
    n++;
  assert_in_range(n, 5, 50);
}

/* Each send(2) to a unix socket costs its buffer room of its own, so that a few
   hundred of one byte fill what one of all the bytes would not. */
static void test_client_sends_no_more_at_once_than_it_is_told(void **state) {
  static const size_t most[] = {0, 1};
  const fcgi_peer_event *event;
  char body[4000] = {0}, address[32];
  size_t left[2];
  (void)state;
  for (int i = 0; i < 2; i++) {
    const fcgi_client_config config = {.size = sizeof config,
                                       .send_bytes = most[i]};
    fcgi_client *client;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    snprintf(address, sizeof address, "fd:%d", ends[0]);
    assert_int_equal(fcgi_client_new(&client, &config), 0);
    assert_int_equal(fcgi_client_connect(client, address), 0);
    fcgi_client_send(client, begin(client), FCGI_STREAM_STDIN, body,
                     sizeof body);
    assert_int_equal(fcgi_client_next(client, &event, 0), FCGI_ERR_TIMEOUT);
    left[i] = fcgi_peer_queued(fcgi_client_peer(client));
    fcgi_client_free(client);
    close(ends[0]);
    close(ends[1]);
  }
  assert_int_equal(left[0], 0);
  assert_in_range(left[1], 1, sizeof body);
}

#define ECHOING_TEST(name)                                                     \
  cmocka_unit_test_setup_teardown(name, echoing_set_up, echoing_tear_down)
#define SCRIPTED_TEST(name)                                                    \
  cmocka_unit_test_setup_teardown(name, scripted_set_up, scripted_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      ECHOING_TEST(test_client_sends_and_receives_large_bodies),
      ECHOING_TEST(test_client_keeps_a_connection),
      ECHOING_TEST(test_client_reads_a_slow_body),
      ECHOING_TEST(test_client_asks_for_values),
      SCRIPTED_TEST(test_client_tells_an_early_close),
      SCRIPTED_TEST(test_client_tells_a_broken_protocol),
      SCRIPTED_TEST(test_client_takes_an_answer_before_its_body_is_sent),
      SCRIPTED_TEST(test_client_times_out_and_can_wait_on),
      SCRIPTED_TEST(test_client_drops_bodies_that_are_answered_early),
      SCRIPTED_TEST(test_client_tells_a_body_it_cannot_read),
      SCRIPTED_TEST(test_client_tells_a_reset),
      cmocka_unit_test(test_client_sends_no_more_at_once_than_it_is_told),
      cmocka_unit_test(test_client_gives_up_connecting),
      cmocka_unit_test(test_client_memory_may_run_out),
      cmocka_unit_test(test_client_says_why_it_cannot_connect),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
