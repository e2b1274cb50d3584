/* SPDX-License-Identifier: MIT */
/* Requests that hold as much as they may, and more: windows and bodies shrink
   or go to files, and whoever has begun is answered. */
#include "server/server.h"
#include "support/serving.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  KIB = 1024,
  LEAST = 4 * KIB,    /* What a window or a body has in any case. */
  RECEIVE = 32 * KIB, /* Read from a socket at once. */
  PIECE = 2000,       /* Bytes of a body in a record. */
  PIECES = 60,        /* Records of a body. */
  BODY = PIECE * PIECES,
  OPEN = 6,    /* Requests with such a body. */
  TURNS = 1000 /* Never reached where something happens. */
};

static void restart(serving *f, fcgi_body_mode body, size_t connection_memory,
                    size_t server_memory) {
  f->config.body = body;
  f->config.connection_memory = connection_memory;
  f->config.server_memory = server_memory;
  f->config.status_path = "/status"; /* For what is counted. */
  serving_restart(f);
}

static uint64_t metric(const serving *f, fcgi_metric which) {
  fcgi__board_slot *slot = atomic_load(&f->server->observer.slot);
  return atomic_load(&slot->counts.values[which]);
}

/* --- Shares --------------------------------------------------------------- */

static void open_streams(serving *f, fcgi_request **requests, uint16_t count) {
  for (uint16_t id = 1; id <= count; id++)
    records_open(&f->text->sent, id);
  serving_send(f);
  for (uint16_t id = 1; id <= count; id++)
    requests[id - 1] = serving_take(f, FCGI_EVENT_REQUEST);
}

static void close_streams(fcgi_request *const *requests, uint16_t count) {
  for (uint16_t i = 0; i < count; i++)
    fcgi_request_end(requests[i], 0);
}

/* Half of the connection's memory, by the requests that are open. */
static void test_shares(void **state) {
  static const struct {
    uint16_t open;
    size_t wanted, share;
  } cases[] = {
      {1, 256 * KIB, 256 * KIB}, /* Alone it is not cut. */
      {2, 256 * KIB, 20 * KIB},    {4, 256 * KIB, 10 * KIB},
      {4, 10 * KIB + 1, 10 * KIB}, {4, 10 * KIB - 1, 10 * KIB - 1},
      {5, 256 * KIB, 8 * KIB},     {10, 256 * KIB, LEAST},
      {50, 256 * KIB, LEAST},      {50, 100, 100},
  };
  fcgi_request *requests[50];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    serving *f = *state;
    restart(f, FCGI_BODY_STREAM, 80 * KIB, 0);
    open_streams(f, requests, cases[i].open);
    assert_int_equal(
        fcgi__connection_share(requests[0]->connection, cases[i].wanted),
        cases[i].share);
    close_streams(requests, cases[i].open);
  }
}

static void send_piece(serving *f, uint16_t id) {
  static char piece[PIECE];
  memset(piece, 'a' + id, sizeof piece);
  records_put(&f->text->sent, FCGI_RECORD_STDIN, id, piece, sizeof piece, 0);
}

/* Nobody reads the first one's body: how much of it is held. */
static uint64_t held_of_first(serving *f, uint16_t open) {
  fcgi_request *requests[OPEN];
  uint64_t held;
  restart(f, FCGI_BODY_STREAM, 64 * KIB, 0);
  open_streams(f, requests, open);
  for (int i = 0; i < PIECES; i++)
    send_piece(f, 1);
  serving_send(f);
  for (int i = 0; i < TURNS; i++) {
    fcgi_server_event event = {.size = sizeof event};
    if (fcgi__connection_is_paused(requests[0]->connection) ||
        fcgi__spool_unread(&requests[0]->body.spool) == BODY)
      break;
    fcgi_server_next(f->server, &event, 20);
  }
  held = fcgi__spool_unread(&requests[0]->body.spool);
  close_streams(requests, open);
  return held;
}

static void test_input_windows_shrink(void **state) {
  serving *f = *state;
  f->config.input_window = 48 * KIB;
  assert_in_range(held_of_first(f, 1), 48 * KIB, 48 * KIB + RECEIVE);
  assert_in_range(held_of_first(f, 2), 16 * KIB, 16 * KIB + RECEIVE);
  f->config.input_window = 2 * KIB;
  assert_in_range(held_of_first(f, 2), 2 * KIB, 2 * KIB + RECEIVE);
}

/* The client reads nothing: what is held beside what the socket takes. */
static uint64_t written_by_first(serving *f, uint16_t open) {
  static char text[512];
  fcgi_request *requests[OPEN];
  size_t before;
  restart(f, FCGI_BODY_STREAM, 64 * KIB, 0);
  open_streams(f, requests, open);
  before = atomic_load(&f->server->memory);
  fcgi_request_set_timeout(requests[0], 0);
  assert_int_equal(fcgi_request_start(requests[0], 200, NULL, 0), 0);
  while (fcgi_request_write(requests[0], text, sizeof text) > 0)
    ;
  before = atomic_load(&f->server->memory) - before;
  close_streams(requests, open);
  return before;
}

static void test_output_windows_shrink(void **state) {
  serving *f = *state;
  f->config.output_window = 48 * KIB;
  uint64_t alone = written_by_first(f, 1), of_four = written_by_first(f, 4);
  assert_in_range(alone, 48 * KIB, 120 * KIB);
  assert_in_range(of_four, 8 * KIB, 24 * KIB);
}

/* --- Bodies that memory has no room for ----------------------------------- */

static void expect_body(fcgi_request *request, uint16_t id) {
  static char body[BODY];
  size_t got = 0;
  for (ptrdiff_t len; got < BODY; got += (size_t)len) {
    len = fcgi_request_read(request, body + got, BODY - got);
    assert_true(len > 0);
  }
  for (size_t i = 0; i < BODY; i++)
    assert_int_equal(body[i], 'a' + id);
  assert_int_equal(fcgi_request_read(request, body, 1), 0);
}

static void test_a_body_spills_where_memory_is_full(void **state) {
  static const struct {
    size_t connection_memory, server_memory;
    int spills;
  } cases[] = {{0, 0, 0}, {16 * KIB, 0, 1}, {0, 16 * KIB, 1}};
  serving *f = *state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fcgi_request *request;
    restart(f, FCGI_BODY_COLLECT, cases[i].connection_memory,
            cases[i].server_memory);
    records_open(&f->text->sent, 1);
    for (int j = 0; j < PIECES; j++)
      send_piece(f, 1);
    records_stdin_end(&f->text->sent, 1);
    serving_send(f);
    request = serving_take(f, FCGI_EVENT_REQUEST);
    assert_int_equal(metric(f, FCGI_METRIC_SPILLS), cases[i].spills);
    if (cases[i].spills)
      assert_in_range(request->body.spool.memory.len, 1, 20 * KIB);
    expect_body(request, 1);
    assert_int_equal(fcgi_request_end(request, 0), 0);
  }
}

/* --- More than the budget, and no deadlock -------------------------------- */

/* What each request holds without its body. */
enum { SMALL = 8 * KIB };

static void *send_bodies(void *data) {
  serving *f = data;
  for (int i = 0; i < PIECES; i++)
    for (uint16_t id = 1; id <= OPEN; id++) {
      send_piece(f, id);
      serving_send(f);
    }
  for (uint16_t id = 1; id <= OPEN; id++)
    records_stdin_end(&f->text->sent, id);
  serving_send(f);
  return NULL;
}

static void begin_all(serving *f) {
  for (uint16_t id = 1; id <= OPEN; id++)
    records_open(&f->text->sent, id);
  serving_send(f);
}

/* A request that comes while all is taken is refused, and no other harmed. */
static void expect_refusal(serving *f, uint16_t id) {
  records_get(&f->text->sent, id);
  serving_send(f);
  serving_idle(f, 20);
  serving_receive(f);
  assert_non_null(memmem(f->got.data, f->got.len, "Status: 503", 11));
  f->got.len = 0;
}

static void expect_end(serving *f, fcgi_request *request, uint16_t id) {
  char text[160];
  assert_int_equal(fcgi_request_id(request), id);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  snprintf(text, sizeof text, "stdout_end %u\nend %u app=0 status=0\n", id, id);
  serving_expect(f, text);
}

/* The program has them when they are whole, in the order of their ends. */
static void test_collected_bodies_beyond_the_budget(void **state) {
  serving *f = *state;
  pthread_t client;
  fcgi_request *requests[OPEN];
  restart(f, FCGI_BODY_COLLECT, 32 * KIB, 64 * KIB);
  begin_all(f);
  serving_idle(f, 20);
  assert_int_equal(pthread_create(&client, NULL, send_bodies, f), 0);
  for (uint16_t i = 0; i < OPEN; i++)
    requests[i] = serving_take(f, FCGI_EVENT_REQUEST);
  pthread_join(client, NULL);
  assert_int_equal(metric(f, FCGI_METRIC_SPILLS), OPEN);
  assert_in_range(atomic_load(&f->server->memory), LEAST,
                  32 * KIB + OPEN * (LEAST + SMALL));
  for (uint16_t id = 1; id <= OPEN; id++) {
    expect_body(requests[id - 1], id);
    expect_end(f, requests[id - 1], id);
  }
  assert_int_equal(atomic_load(&f->server->memory), 0);
}

/* One at a time is read: what comes for the others meanwhile is not in its
   way. */
static void read_in_turn(serving *f, fcgi_request *const *requests,
                         int backwards) {
  pthread_t client;
  assert_int_equal(pthread_create(&client, NULL, send_bodies, f), 0);
  for (uint16_t i = 0; i < OPEN; i++) {
    uint16_t id = backwards ? OPEN - i : i + 1;
    expect_body(requests[id - 1], id);
    assert_in_range(atomic_load(&f->server->memory), 1,
                    32 * KIB + OPEN * (LEAST + SMALL) + RECEIVE);
  }
  pthread_join(client, NULL);
  for (uint16_t id = 1; id <= OPEN; id++)
    expect_end(f, requests[id - 1], id);
  assert_int_equal(atomic_load(&f->server->memory), 0);
}

static void test_streamed_bodies_beyond_the_budget(void **state) {
  serving *f = *state;
  fcgi_request *requests[OPEN];
  for (int backwards = 0; backwards < 2; backwards++) {
    restart(f, FCGI_BODY_STREAM, 32 * KIB, 64 * KIB);
    open_streams(f, requests, OPEN);
    read_in_turn(f, requests, backwards);
  }
}

/* Not one byte is left, so that bodies have the least there may be. */
static void test_a_full_server_serves_what_has_begun(void **state) {
  serving *f = *state;
  fcgi_request *requests[OPEN];
  restart(f, FCGI_BODY_STREAM, 0, 0);
  open_streams(f, requests, OPEN);
  f->server->config.server_memory = atomic_load(&f->server->memory);
  assert_true(fcgi__server_is_full(f->server));
  expect_refusal(f, OPEN + 1);
  read_in_turn(f, requests, 1);
  records_get(&f->text->sent, OPEN + 2);
  serving_send(f);
  expect_end(f, serving_take(f, FCGI_EVENT_REQUEST), OPEN + 2);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_shares),
      SERVING_TEST(test_input_windows_shrink),
      SERVING_TEST(test_output_windows_shrink),
      SERVING_TEST(test_a_body_spills_where_memory_is_full),
      SERVING_TEST(test_collected_bodies_beyond_the_budget),
      SERVING_TEST(test_streamed_bodies_beyond_the_budget),
      SERVING_TEST(test_a_full_server_serves_what_has_begun),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
