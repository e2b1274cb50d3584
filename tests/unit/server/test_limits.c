/* SPDX-License-Identifier: MIT */
/* A time limit holds whatever else happens on its connection, and while every
   thread is inside a handler. */
#include "server/server.h"
#include "support/serving.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LONG_MS = 20000, LIMIT_MS = 200, STEP_MS = 20 };

typedef struct busy {
  serving *f;           /* The server. */
  fcgi_handler handler; /* Its callbacks. */
  pthread_t thread;     /* Who runs it. */
  atomic_int inside;    /* 1: the handler runs. */
  atomic_int leave;     /* 1: it may return. */
} busy;

static int hang(fcgi_request *request, void *user_data) {
  busy *b = user_data;
  atomic_store(&b->inside, 1);
  while (!atomic_load(&b->leave))
    usleep(1000);
  return fcgi_request_reply(request, 200, "text/plain", "hi\n", 3);
}

static void *run_thread(void *data) {
  busy *b = data;
  assert_int_equal(fcgi_server_run(b->f->server, &b->handler, b), 0);
  return NULL;
}

static void send_on(serving *f, int client) {
  records *to = &f->text->sent;
  assert_int_equal(send(client, to->data, to->len, MSG_NOSIGNAL), to->len);
  to->len = 0;
}

static void begin(busy *b, serving *f) {
  *b = (busy){.f = f};
  b->handler = (fcgi_handler){.size = sizeof b->handler, .on_request = hang};
  serving_restart(f);
  assert_int_equal(pthread_create(&b->thread, NULL, run_thread, b), 0);
}

/* Wait until the other connections are known, and then keep the thread busy. */
static void occupy(busy *b, unsigned others) {
  while (atomic_load(&b->f->server->open) < others + 1)
    usleep(1000);
  usleep(STEP_MS * 1000);
  records_get(&b->f->text->sent, 1);
  serving_send(b->f);
  while (!atomic_load(&b->inside))
    usleep(1000);
}

static void finish(busy *b) {
  assert_int_equal(atomic_load(&b->inside), 1);
  atomic_store(&b->leave, 1);
  fcgi_server_stop(b->f->server, FCGI_STOP_GRACEFUL);
  pthread_join(b->thread, NULL);
}

/* What comes until the end of the connection, or until `text` has. */
static int brings(int client, const char *text) {
  char got[4096] = "";
  size_t len = 0;
  for (;;) {
    struct pollfd at = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&at, 1, LONG_MS), 1);
    ssize_t part = recv(client, got + len, sizeof got - len, 0);
    if (part <= 0)
      return text == NULL;
    len += (size_t)part;
    if (text && memmem(got, len, text, strlen(text)))
      return 1;
  }
}

static void test_header_limit_while_all_hang(void **state) {
  busy b;
  serving *f = *state;
  f->config.header_timeout_ms = LIMIT_MS;
  begin(&b, f);
  int client = serving_connect(f);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  send_on(f, client);
  occupy(&b, 1);
  assert_true(brings(client, NULL));
  close(client);
  finish(&b);
}

static void test_body_limit_while_all_hang(void **state) {
  busy b;
  serving *f = *state;
  f->config.io_timeout_ms = LIMIT_MS;
  begin(&b, f);
  int client = serving_connect(f);
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "a part");
  send_on(f, client);
  occupy(&b, 1);
  assert_true(brings(client, "408 Request Timeout"));
  close(client);
  finish(&b);
}

static void test_idle_limit_while_all_hang(void **state) {
  busy b;
  serving *f = *state;
  f->config.idle_timeout_ms = LIMIT_MS;
  begin(&b, f);
  int client = serving_connect(f);
  occupy(&b, 1);
  assert_true(brings(client, NULL));
  close(client);
  finish(&b);
}

/* It has come in time, though nobody has read it yet. */
static void test_a_request_that_waits_is_not_idle(void **state) {
  busy b;
  serving *f = *state;
  f->config.idle_timeout_ms = LIMIT_MS;
  begin(&b, f);
  int client = serving_connect(f);
  occupy(&b, 1);
  records_get(&f->text->sent, 1);
  send_on(f, client);
  usleep(4 * LIMIT_MS * 1000);
  atomic_store(&b.leave, 1);
  assert_true(brings(client, "hi\n"));
  close(client);
  finish(&b);
}

static void ask_values(serving *f) {
  static const uint8_t name[] = "\x0e\x00"
                                "FCGI_MAX_CONNS";
  records_put(&f->text->sent, FCGI_RECORD_GET_VALUES, 0, name, sizeof name - 1,
              0);
}

static void test_what_is_no_request_is_idle(void **state) {
  serving *f = *state;
  f->config.idle_timeout_ms = LIMIT_MS;
  serving_restart(f);
  for (int ms = 0; !serving_is_closed(f, 0); ms += STEP_MS) {
    assert_true(ms < LONG_MS / 4);
    ask_values(f);
    send(f->client, f->text->sent.data, f->text->sent.len, MSG_NOSIGNAL);
    f->text->sent.len = 0;
    serving_idle(f, STEP_MS);
  }
}

static void test_what_is_no_request_holds_no_stop(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  int result = 0;
  f->config.drain_silence_ms = LIMIT_MS;
  serving_restart(f);
  ask_values(f);
  serving_send(f);
  serving_idle(f, STEP_MS);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  for (int ms = 0; result == 0; ms += STEP_MS) {
    assert_true(ms < LONG_MS / 4);
    ask_values(f);
    send(f->client, f->text->sent.data, f->text->sent.len, MSG_NOSIGNAL);
    f->text->sent.len = 0;
    result = fcgi_server_next(f->server, &event, STEP_MS);
  }
  assert_int_equal(result, FCGI_ERR_CLOSED);
}

/* Others on its connection come and go meanwhile. */
static void serve_neighbours(serving *f, const char *until) {
  for (int ms = 0; !serving_is_closed(f, 0); ms += STEP_MS) {
    fcgi_server_event event = {.size = sizeof event};
    assert_true(ms < LONG_MS / 4);
    records_get(&f->text->sent, 2);
    send(f->client, f->text->sent.data, f->text->sent.len, MSG_NOSIGNAL);
    f->text->sent.len = 0;
    while (fcgi_server_next(f->server, &event, STEP_MS) == 1)
      fcgi_request_reply(event.request, 200, "text/plain", "hi\n", 3);
    serving_receive(f);
    if (until && f->got.len > 0 &&
        memmem(f->got.data, f->got.len, until, strlen(until)))
      return;
  }
  assert_null(until);
}

static void test_neighbours_do_not_renew_the_header_limit(void **state) {
  serving *f = *state;
  f->config.header_timeout_ms = LIMIT_MS;
  serving_restart(f);
  records_begin(&f->text->sent, 1, FCGI_ROLE_RESPONDER, 1);
  serving_send(f);
  serve_neighbours(f, NULL);
}

static void test_neighbours_do_not_renew_the_body_limit(void **state) {
  serving *f = *state;
  f->config.io_timeout_ms = LIMIT_MS;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "a part");
  serving_send(f);
  serve_neighbours(f, "408 Request Timeout");
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_header_limit_while_all_hang),
      SERVING_TEST(test_body_limit_while_all_hang),
      SERVING_TEST(test_idle_limit_while_all_hang),
      SERVING_TEST(test_a_request_that_waits_is_not_idle),
      SERVING_TEST(test_what_is_no_request_is_idle),
      SERVING_TEST(test_what_is_no_request_holds_no_stop),
      SERVING_TEST(test_neighbours_do_not_renew_the_header_limit),
      SERVING_TEST(test_neighbours_do_not_renew_the_body_limit),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
