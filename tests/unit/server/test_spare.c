/* SPDX-License-Identifier: MIT */
/* What goes on while every handler is busy, and what ends slow ones. */
#include "server/server.h"
#include "support/serving.h"

#include <fastcgi/error.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { THREADS = 2, LONG_MS = 60000, DEADLINE_MS = 150 };
enum { SLOW_MS = 1000 }; /* A request that waits so long has no stack. */

#define TIMEOUT_504                                                            \
  "stdout 1 Content-Type: text/plain\r\nContent-Length: 20\r\n"                \
  "Status: 504 Gateway Timeout\r\n\r\n504 Gateway Timeout\n\n"                 \
  "stdout_end 1\n"
#define END_504 TIMEOUT_504 "end 1 app=0 status=0\n"

typedef struct busy {
  serving *f;                        /* The server. */
  fcgi_handler handler;              /* Its callbacks. */
  pthread_t threads[THREADS];        /* Who runs it. */
  int thread_count;                  /* Number of serving threads. */
  atomic_int inside;                 /* Handlers that have not returned. */
  atomic_int leave;                  /* 1: they may. */
  atomic_int aborts;                 /* Calls of on_abort. */
  atomic_int closes;                 /* Calls of on_close. */
  atomic_int traces;                 /* Calls of the tracer. */
  atomic_int slow_lines;             /* Lines of the slow log. */
  atomic_int stack_lines;            /* Lines that the tracer gave. */
  atomic_int silent_lines;           /* Lines that say that it has not yet. */
  _Atomic(fcgi_abort_reason) reason; /* What the handler saw. */
  atomic_int has_method;             /* 1: its parameters were still there. */
  atomic_int end_result;             /* What its reply returned. */
} busy;

static int reply(fcgi_request *request) {
  return fcgi_request_reply(request, 200, "text/plain", "hi\n", 3);
}

/* Stays inside until told, then looks at its request and answers. */
static int hang(fcgi_request *request, void *user_data) {
  busy *b = user_data;
  atomic_fetch_add(&b->inside, 1);
  while (!atomic_load(&b->leave))
    usleep(1000);
  const char *method = fcgi_request_param(request, "REQUEST_METHOD");
  atomic_store(&b->reason, fcgi_request_aborted(request));
  atomic_store(&b->has_method, method != NULL);
  atomic_store(&b->end_result, reply(request));
  atomic_fetch_sub(&b->inside, 1);
  return 0;
}

static int on_abort(fcgi_request *request, void *user_data) {
  busy *b = user_data;
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_DEADLINE);
  atomic_fetch_add(&b->aborts, 1);
  return 0;
}

static int on_close(fcgi_request *request, void *user_data) {
  (void)request;
  atomic_fetch_add(&((busy *)user_data)->closes, 1);
  return 0;
}

static void count_lines(fcgi_log_level level, const char *line, void *data) {
  busy *b = data;
  (void)level;
  if (strncmp(line, "slow request: GET /slow, for ", 28) == 0)
    atomic_fetch_add(&b->slow_lines, 1);
  if (strcmp(line, "  in hang()") == 0)
    atomic_fetch_add(&b->stack_lines, 1);
  if (strstr(line, "has not answered yet"))
    atomic_fetch_add(&b->silent_lines, 1);
}

static void tell_stack(uintptr_t thread, fcgi_request *request, char *out,
                       size_t len, void *user_data) {
  busy *b = user_data;
  (void)request;
  assert_true(len > 100);
  for (int i = 0; i < b->thread_count; i++)
    if ((uintptr_t)b->threads[i] == thread)
      atomic_fetch_add(&b->traces, 1);
  strcpy(out, "in main()\nin hang()\n");
}

static void *run_thread(void *data) {
  busy *b = data;
  assert_int_equal(fcgi_server_run(b->f->server, &b->handler, b), 0);
  return NULL;
}

/* The tests that need it listen with a status path or deadlines. */
static void begin(busy *b, serving *f, int threads) {
  *b = (busy){.f = f, .thread_count = threads};
  b->handler = (fcgi_handler){.size = sizeof b->handler, .on_request = hang};
  f->config.log = count_lines;
  f->config.log_data = b;
  serving_restart(f);
}

static void start(busy *b) {
  for (int i = 0; i < b->thread_count; i++)
    assert_int_equal(pthread_create(&b->threads[i], NULL, run_thread, b), 0);
}

static void finish(busy *b) {
  atomic_store(&b->leave, 1);
  fcgi_server_stop(b->f->server, FCGI_STOP_GRACEFUL);
  for (int i = 0; i < b->thread_count; i++)
    pthread_join(b->threads[i], NULL);
}

static int64_t overdue_ms(const serving *f) {
  return fcgi__board_overdue_ms(&f->server->observer.board, 0);
}

static void wait_for(const atomic_int *what, int value) {
  for (int ms = 0; atomic_load(what) != value; ms++) {
    assert_true(ms < LONG_MS);
    usleep(1000);
  }
}

static void get(serving *f, uint16_t id, const char *path) {
  records *to = &f->text->sent;
  records_begin(to, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, id, "REQUEST_METHOD", "GET");
  records_param(to, id, "SCRIPT_NAME", path);
  records_params_end(to, id);
  records_stdin_end(to, id);
}

static void ask(serving *f, int client, const char *path) {
  get(f, 1, path);
  assert_int_equal(
      send(client, f->text->sent.data, f->text->sent.len, MSG_NOSIGNAL),
      f->text->sent.len);
  f->text->sent.len = 0;
}

/* Wait until the answer's END_REQUEST has come; 1: it has `text` in it. */
static int answered(int client, const char *text) {
  char got[65536] = "";
  size_t len = 0;
  for (;;) {
    struct pollfd at = {.fd = client, .events = POLLIN};
    assert_int_equal(poll(&at, 1, LONG_MS), 1);
    ssize_t part = recv(client, got + len, sizeof got - len, 0);
    assert_true(part > 0);
    len += (size_t)part;
    if (len >= 16 && got[len - 15] == FCGI_RECORD_END_REQUEST)
      return memmem(got, len, text, strlen(text)) != NULL;
  }
}

static void occupy(busy *b) {
  for (int i = 0; i < b->thread_count; i++) {
    int client = i == 0 ? b->f->client : serving_connect(b->f);
    ask(b->f, client, "/slow");
    wait_for(&b->inside, i + 1);
  }
}

/* A server as configured by now, and its first request, in a handler. */
static fcgi_request *begin_anew(serving *f) {
  serving_restart(f);
  records_get(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static void test_status_page_while_all_hang(void **state) {
  busy b;
  serving *f = *state;
  f->config.status_path = "/status";
  begin(&b, f, THREADS);
  start(&b);
  occupy(&b);
  for (int i = 0; i < 3; i++) {
    int client = serving_connect(f);
    ask(f, client, "/status");
    assert_true(answered(client, "accepted conn:"));
    close(client);
  }
  assert_int_equal(atomic_load(&b.inside), THREADS);
  finish(&b);
}

/* One that is accepted meanwhile is served when a handler returns. */
static void test_requests_wait_for_a_handler(void **state) {
  busy b;
  serving *f = *state;
  f->config.status_path = "/status";
  begin(&b, f, 1);
  start(&b);
  occupy(&b);
  int client = serving_connect(f);
  ask(f, client, "/other");
  while (atomic_load(&f->server->ready_count) == 0)
    usleep(1000);
  atomic_store(&b.leave, 1);
  assert_true(answered(client, "hi\n"));
  assert_true(answered(f->client, "hi\n"));
  close(client);
  finish(&b);
}

static void test_deadline_answers_504(void **state) {
  busy b;
  serving *f = *state;
  f->config.request_timeout_ms = DEADLINE_MS;
  begin(&b, f, THREADS);
  b.handler.on_abort = on_abort;
  b.handler.on_close = on_close;
  start(&b);
  ask(f, f->client, "/slow");
  wait_for(&b.inside, 1);
  assert_true(answered(f->client, "Status: 504 Gateway Timeout"));
  assert_int_equal(atomic_load(&b.inside), 1);
  wait_for(&b.aborts, 1);
  assert_in_range(overdue_ms(f), 0, LONG_MS);
  /* The connection goes on; the handler still has what it was given. */
  atomic_store(&b.leave, 1);
  wait_for(&b.inside, 0);
  assert_int_equal(atomic_load(&b.reason), FCGI_ABORT_DEADLINE);
  assert_true(atomic_load(&b.has_method));
  assert_int_equal(atomic_load(&b.end_result), FCGI_ERR_ABORTED);
  wait_for(&b.closes, 1);
  assert_int_equal(atomic_load(&b.aborts), 1);
  ask(f, f->client, "/again");
  assert_true(answered(f->client, "hi\n"));
  finish(&b);
  assert_int_equal(overdue_ms(f), -1);
}

/* It has never been given out: nobody holds it. */
static void test_deadline_of_a_waiting_request(void **state) {
  busy b;
  serving *f = *state;
  f->config.request_timeout_ms = 2 * DEADLINE_MS;
  begin(&b, f, 1);
  start(&b);
  occupy(&b);
  int client = serving_connect(f);
  ask(f, client, "/waits");
  assert_true(answered(client, "Status: 504 Gateway Timeout"));
  assert_int_equal(atomic_load(&b.inside), 1);
  close(client);
  finish(&b);
}

/* Through fcgi_server_next: the thread itself sees to the deadline, and the
   handle lives until it is ended. */
static void test_deadline_in_pull_mode(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  char byte;
  f->config.request_timeout_ms = DEADLINE_MS;
  fcgi_request *request = begin_anew(f);
  assert_int_equal(fcgi_server_next(f->server, &event, 4 * DEADLINE_MS), 0);
  serving_expect(f, END_504);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_DEADLINE);
  assert_non_null(fcgi_request_params(request));
  assert_int_equal(fcgi_request_write(request, "x", 1), FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_read(request, &byte, 1), FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_flush(request), FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_ABORTED);
  records_get(&f->text->sent, 1);
  serving_send(f);
  reply(serving_take(f, FCGI_EVENT_REQUEST));
  serving_idle(f, 2 * DEADLINE_MS);
}

static void test_deadline_tells_of_abort_and_close(void **state) {
  serving *f = *state;
  f->config.request_timeout_ms = DEADLINE_MS;
  f->config.events = 1u << FCGI_EVENT_ABORT | 1u << FCGI_EVENT_CLOSE;
  fcgi_request *request = begin_anew(f);
  assert_ptr_equal(serving_take(f, FCGI_EVENT_ABORT), request);
  serving_expect(f, END_504);
  assert_int_equal(fcgi_request_fail(request), FCGI_ERR_ABORTED);
  serving_take(f, FCGI_EVENT_CLOSE);
}

/* What has begun can only be cut off. */
static void test_deadline_after_output_resets(void **state) {
  serving *f = *state;
  f->config.request_timeout_ms = DEADLINE_MS;
  fcgi_request *request = begin_anew(f);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  fcgi_request_flush(request);
  serving_idle(f, 3 * DEADLINE_MS);
  assert_true(serving_is_closed(f, 1000));
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_DEADLINE);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_ABORTED);
}

/* A thread that waits for room when the deadline comes gives up. */
static void *write_much(void *data) {
  static char much[4 << 20];
  fcgi_request *request = data;
  ptrdiff_t done;
  fcgi_request_start(request, 200, NULL, 0);
  while ((done = fcgi_request_write(request, much, sizeof much)) > 0)
    ;
  assert_int_equal(done, FCGI_ERR_ABORTED);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_ABORTED);
  return NULL;
}

static void test_deadline_of_a_writer(void **state) {
  serving *f = *state;
  pthread_t thread;
  f->config.request_timeout_ms = DEADLINE_MS;
  fcgi_request *request = begin_anew(f);
  assert_int_equal(pthread_create(&thread, NULL, write_much, request), 0);
  serving_idle(f, 3 * DEADLINE_MS);
  pthread_join(thread, NULL);
}

static void test_client_gone_before_the_deadline(void **state) {
  serving *f = *state;
  f->config.request_timeout_ms = DEADLINE_MS;
  fcgi_request *request = begin_anew(f);
  close(f->client);
  f->client = -1;
  serving_idle(f, 3 * DEADLINE_MS);
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_CONNECTION);
  assert_in_range(overdue_ms(f), 0, LONG_MS);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  assert_int_equal(overdue_ms(f), -1);
}

static void test_slow_log_has_the_stack_once(void **state) {
  busy b;
  serving *f = *state;
  f->config.slow_log_ms = SLOW_MS;
  begin(&b, f, THREADS);
  fcgi_server_set_tracer(f->server, tell_stack, &b);
  start(&b);
  occupy(&b);
  wait_for(&b.stack_lines, THREADS);
  usleep(200 * 1000);
  assert_int_equal(atomic_load(&b.slow_lines), THREADS);
  assert_int_equal(atomic_load(&b.traces), THREADS);
  finish(&b);
  assert_int_equal(atomic_load(&b.inside), 0);
}

/* An interpreter that a handler keeps busy. */
static void tell_late(uintptr_t thread, fcgi_request *request, char *out,
                      size_t len, void *user_data) {
  busy *b = user_data;
  wait_for(&b->silent_lines, atomic_load(&b->traces) + 1);
  tell_stack(thread, request, out, len, user_data);
}

static void test_slow_log_does_not_wait_for_an_interpreter(void **state) {
  busy b;
  serving *f = *state;
  f->config.slow_log_ms = SLOW_MS;
  begin(&b, f, THREADS);
  fcgi_server_set_tracer(f->server, tell_late, &b);
  start(&b);
  occupy(&b);
  wait_for(&b.stack_lines, THREADS);
  assert_int_equal(atomic_load(&b.silent_lines), THREADS);
  finish(&b);
}

/* Requests that end while others go over the deadline, from many threads. */
static int take_a_while(fcgi_request *request, void *user_data) {
  busy *b = user_data;
  if (fcgi_request_id(request) % 2)
    usleep(30 * 1000);
  atomic_fetch_add(&b->inside, 1);
  reply(request);
  return 0;
}

static void test_races_of_deadline_and_end(void **state) {
  busy b;
  serving *f = *state;
  enum { REQUESTS = 400 };
  f->config.request_timeout_ms = 30;
  f->config.slow_log_ms = 20;
  f->config.status_path = "/status";
  begin(&b, f, THREADS);
  b.handler.on_request = take_a_while;
  start(&b);
  for (int i = 0; i < REQUESTS / 20; i++) {
    for (int j = 0; j < 20; j++)
      get(f, (uint16_t)(i * 20 + j + 1), j % 10 == 9 ? "/status" : "/slow");
    serving_send(f);
    for (int ended = 0; ended < 20;) {
      struct pollfd at = {.fd = f->client, .events = POLLIN};
      uint8_t header[8], content[65536 + 255];
      assert_int_equal(poll(&at, 1, LONG_MS), 1);
      assert_int_equal(recv(f->client, header, 8, MSG_WAITALL), 8);
      size_t rest = (size_t)(header[4] << 8 | header[5]) + header[6];
      assert_int_equal(recv(f->client, content, rest, MSG_WAITALL), rest);
      ended += header[1] == FCGI_RECORD_END_REQUEST;
    }
  }
  finish(&b);
  assert_int_equal(atomic_load(&f->server->spare.open), 0);
}

/* A foreign event loop waits for the descriptor, while requests of it are
   open: whatever the spare thread takes from the poller reaches it. */
static void test_foreign_loop_is_woken(void **state) {
  serving *f = *state;
  fcgi_server_event event = {.size = sizeof event};
  fcgi_request *open = NULL;
  f->config.status_path = "/status";
  serving_restart(f);
  int fd = fcgi_server_fd(f->server);
  if (fd < 0)
    skip(); /* There is none with poll(2). */
  for (uint16_t id = 1; id <= 60; id++) {
    struct pollfd at = {.fd = fd, .events = POLLIN};
    int result = 0;
    get(f, id, "/slow");
    serving_send(f);
    for (int looks = 0; result == 0; looks++) {
      assert_true(looks < 100);
      assert_int_equal(poll(&at, 1, LONG_MS), 1);
      result = fcgi_server_next(f->server, &event, 0);
    }
    assert_int_equal(result, 1);
    if (open)
      reply(open);
    open = event.request; /* One is always open, so the spare looks. */
    usleep(id % 6 * 10000);
  }
  reply(open);
}

/* Stopping does not need a handler to return first. */
static void test_stop_while_all_hang(void **state) {
  busy b;
  serving *f = *state;
  f->config.status_path = "/status";
  begin(&b, f, 1);
  start(&b);
  occupy(&b);
  int idle = serving_connect(f);
  ask(f, idle, "/status");
  assert_true(answered(idle, "accepted conn:"));
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  while (atomic_load(&f->server->stopping) != FCGI__STOPPING)
    usleep(1000);
  assert_int_equal(atomic_load(&b.inside), 1);
  finish(&b);
  close(idle);
}

/* A server that nothing was asked of has no thread and no memory of its own. */
static void test_nothing_is_started_unasked(void **state) {
  serving *f = *state;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(atomic_load(&f->server->spare.on), 0);
  assert_null(atomic_load(&f->server->observer.slot));
  reply(request);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_status_page_while_all_hang),
      SERVING_TEST(test_requests_wait_for_a_handler),
      SERVING_TEST(test_deadline_answers_504),
      SERVING_TEST(test_deadline_of_a_waiting_request),
      SERVING_TEST(test_deadline_in_pull_mode),
      SERVING_TEST(test_deadline_tells_of_abort_and_close),
      SERVING_TEST(test_deadline_after_output_resets),
      SERVING_TEST(test_deadline_of_a_writer),
      SERVING_TEST(test_client_gone_before_the_deadline),
      SERVING_TEST(test_slow_log_has_the_stack_once),
      SERVING_TEST(test_slow_log_does_not_wait_for_an_interpreter),
      SERVING_TEST(test_races_of_deadline_and_end),
      SERVING_TEST(test_foreign_loop_is_woken),
      SERVING_TEST(test_stop_while_all_hang),
      SERVING_TEST(test_nothing_is_started_unasked),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
