/* SPDX-License-Identifier: MIT */
/* What the requests of all connections hold, against what they may. */
#include "server/server.h"
#include "support/serving.h"

#include <fastcgi/error.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE = 10000, BUSY = 500, PARAM = 2000, KIB = 1024 };

static size_t counted(const serving *f) {
  return atomic_load(&f->server->memory);
}

/* Memory in use, by an allocator that counts. */
static void *count(void *ptr, size_t size, void *user_data) {
  size_t *block = ptr ? (size_t *)ptr - 2 : NULL, *live = user_data;
  *live -= block ? *block : 0;
  if (size == 0) {
    free(block);
    return NULL;
  }
  block = realloc(block, size + 2 * sizeof *block);
  *block = size;
  *live += size;
  return block + 2;
}

static void put_get(records *to, uint16_t id, int with_end) {
  static char value[PARAM + 1];
  memset(value, 'v', PARAM);
  records_begin(to, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, id, "A", value);
  if (!with_end)
    return;
  records_params_end(to, id);
  records_stdin_end(to, id);
}

static void send_to(serving *f, int client) {
  records *sent = &f->text->sent;
  assert_int_equal(send(client, sent->data, sent->len, MSG_NOSIGNAL),
                   sent->len);
  sent->len = 0;
}

/* Both ends of `count` connections, or as many as the system allows. */
static int room_for(int wanted) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return files.rlim_cur > (rlim_t)2 * (unsigned)wanted + 100
             ? wanted
             : (int)(files.rlim_cur - 100) / 2;
}

static void test_idle_connections_are_not_counted(void **state) {
  static int clients[IDLE];
  serving *f = *state;
  /* Each look of poll(2) is at all of them. */
  int idle = room_for(f->config.poller == FCGI_POLLER_POLL ? IDLE / 10 : IDLE);
  f->config.server_memory = 64 * KIB;
  serving_restart(f);
  for (int i = 0; i < idle; i++) {
    clients[i] = serving_connect(f);
    put_get(&f->text->sent, 1, 1);
    send_to(f, clients[i]);
    fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
    assert_in_range(counted(f), PARAM, 16 * KIB);
    assert_int_equal(fcgi_request_end(request, 0), 0);
    assert_int_equal(counted(f), 0);
  }
  for (int i = 0; i < idle; i++)
    close(clients[i]);
}

/* Until all of them are accepted. */
static void await_open(serving *f, unsigned wanted) {
  for (int i = 0; i < 10000 && atomic_load(&f->server->open) != wanted; i++)
    serving_idle(f, 10);
  assert_int_equal(atomic_load(&f->server->open), wanted);
}

/* Every byte of what small requests on many connections hold. */
static void test_small_requests_of_many_connections(void **state) {
  static int clients[BUSY];
  static fcgi_request *requests[BUSY];
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  size_t live = 0, before;
  int taken = 0;
  f->config.allocator = (fcgi_allocator){count, &live};
  f->config.server_memory = 400 * KIB;
  serving_restart(f);
  for (int i = 0; i < BUSY; i++)
    clients[i] = serving_connect(f);
  await_open(f, BUSY + 1);
  before = live;
  for (int i = 0; i < BUSY; i++) {
    put_get(&f->text->sent, 1, 1);
    send_to(f, clients[i]);
    while (fcgi_server_next(f->server, &event, 0) > 0)
      requests[taken++] = event.request;
  }
  assert_in_range(taken, 400 * KIB / 8000, 400 * KIB / PARAM);
  assert_in_range(counted(f), 390 * KIB, 420 * KIB);
  assert_in_range(live - before, 300 * KIB, 480 * KIB);
  for (int i = 0; i < taken; i++)
    assert_int_equal(fcgi_request_end(requests[i], 0), 0);
  assert_int_equal(counted(f), 0);
  put_get(&f->text->sent, 2, 1);
  send_to(f, clients[0]);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  serving_idle(f, 0);
  for (int i = 0; i < BUSY; i++)
    close(clients[i]);
  while (fcgi_server_next(f->server, &event, 50) > 0)
    ;
  serving_restart(f);
  fcgi_server_free(f->server);
  f->server = NULL;
  assert_int_equal(live, 0);
  f->config.allocator = (fcgi_allocator){NULL, NULL};
  f->config.server_memory = 0;
  assert_int_equal(fcgi_server_new(&f->server, &f->config, NULL, 0), 0);
}

/* Parameters that never end are held by no request yet. */
static void test_unfinished_parameters_of_many_connections(void **state) {
  static int clients[BUSY];
  serving *f = *state;
  f->config.server_memory = 400 * KIB;
  serving_restart(f);
  for (int i = 0; i < BUSY; i++) {
    clients[i] = serving_connect(f);
    put_get(&f->text->sent, 1, 0);
    send_to(f, clients[i]);
    serving_idle(f, 0);
  }
  for (int i = 0; i < 2000 && counted(f) < 400 * KIB; i++)
    serving_idle(f, 5);
  assert_in_range(counted(f), 400 * KIB, 420 * KIB + BUSY * 9 * KIB);
  for (int i = 0; i < BUSY; i++)
    close(clients[i]);
  for (int i = 0; i < 2000 && counted(f) > 0; i++)
    serving_idle(f, 5);
  assert_int_equal(counted(f), 0);
}

/* What waits to be read by the client, and messages that wait for a head. */
static void test_output_and_messages_are_counted(void **state) {
  static char text[50000];
  serving *f = *state;
  memset(text, 'x', sizeof text);
  put_get(&f->text->sent, 1, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  size_t before = counted(f);
  for (int i = 0; i < 4; i++)
    assert_int_equal(fcgi_request_write_stderr(request, text, sizeof text), 0);
  assert_in_range(counted(f) - before, 200000, 300000);
  fcgi_request_set_timeout(request, 0);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  while (fcgi_request_write(request, text, 1000) > 0)
    ;
  before = counted(f);
  assert_in_range(before, 200000, 700000);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  close(f->client);
  f->client = -1;
  for (int i = 0; i < 2000 && counted(f) > 0; i++)
    serving_idle(f, 5);
  assert_int_equal(counted(f), 0);
}

/* The body is held as soon as it is read, so the second request is one too
   many, although both have come in one piece. */
static void test_a_full_server_refuses_what_came_with_it(void **state) {
  static char body[8 * KIB];
  serving *f = *state;
  records *to = &f->text->sent;
  f->config.body = FCGI_BODY_STREAM;
  f->config.server_memory = 4 * KIB;
  serving_restart(f);
  records_begin(to, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_params_end(to, 1);
  memset(body, 'x', sizeof body - 1);
  records_stdin(to, 1, body);
  put_get(to, 2, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_id(request), 1);
  serving_idle(f, 20);
  fcgi_request_end(request, 0);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_idle_connections_are_not_counted),
      SERVING_TEST(test_small_requests_of_many_connections),
      SERVING_TEST(test_unfinished_parameters_of_many_connections),
      SERVING_TEST(test_output_and_messages_are_counted),
      SERVING_TEST(test_a_full_server_refuses_what_came_with_it),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
