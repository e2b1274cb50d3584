/* SPDX-License-Identifier: MIT */
/* Every allocation of a server at work fails once: nothing crashes or leaks,
   whoever comes next is served, and whoever was there before is too. */
#include "support/failing.h"
#include "support/serving.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIG = 100000, ROUNDS = 200, BODY = 3000, BESIDE = 2 };

/* A request on a connection of its own, half of its body sent. */
typedef struct beside {
  int client;            /* The connection. */
  fcgi_request *request; /* Once REQUEST came; it is answered later. */
} beside;

static int open_files(void) {
  DIR *dir = opendir("/proc/self/fd");
  int count = 0;
  while (dir && readdir(dir))
    count++;
  if (dir)
    closedir(dir);
  return count;
}

/* An answer of every kind, by request id. */
static void answer(fcgi_request *request, int file) {
  static const char big[BIG];
  const fcgi_header header = {"Content-Type", 12, "text/plain", 10};
  char data[4096];
  while (fcgi_request_read(request, data, sizeof data) > 0)
    ;
  fcgi_request_write_stderr(request, "note\n", 5);
  switch (fcgi_request_id(request)) {
  case 1:
    fcgi_request_reply(request, 200, "text/plain", "hi\n", 3);
    break;
  case 3:
    fcgi_request_start(request, 200, &header, 1);
    fcgi_request_write(request, big, sizeof big);
    fcgi_request_end(request, 0);
    break;
  case 5:
    fcgi_request_start(request, 200, &header, 1);
    fcgi_request_send_file(request, file, 0, BIG);
    fcgi_request_end(request, 0);
    break;
  default:
    fcgi_request_respond(request, 200, &header, 1, big, sizeof big);
    break;
  }
}

static void receive(int client) {
  static char data[65536];
  while (recv(client, data, sizeof data, MSG_DONTWAIT) > 0)
    ;
}

/* Serve until nothing happens any more; `other` NULL: there is none. */
static void serve_beside(serving *f, int file, beside *other) {
  fcgi_server_event event = {.size = sizeof event};
  for (int i = 0, quiet = 0; i < ROUNDS && quiet < 3; i++) {
    int result = fcgi_server_next(f->server, &event, quiet);
    assert_true(result >= 0);
    quiet = result ? 0 : quiet + 1;
    int is_other = result && other && fcgi_request_id(event.request) == BESIDE;
    if (is_other && event.type == FCGI_EVENT_REQUEST)
      other->request = event.request;
    else if (result && event.type == FCGI_EVENT_REQUEST)
      answer(event.request, file);
    if (f->client >= 0)
      receive(f->client);
  }
}

static void serve(serving *f, int file) {
  serve_beside(f, file, NULL);
}

static void send_bytes(int client, const records *bytes) {
  if (client >= 0)
    (void)!send(client, bytes->data, bytes->len, MSG_NOSIGNAL);
}

static void fill(records *r) {
  static char body[BODY];
  records_put(r, FCGI_RECORD_GET_VALUES, 0, "\17\0FCGI_MPXS_CONNS", 17, 7);
  for (uint16_t id = 1; id <= 7; id += 2) {
    records_begin(r, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
    records_param(r, id, "HTTP_A", "one");
    records_param(r, id, "HTTP_A", "two");
    records_params_end(r, id);
    records_put(r, FCGI_RECORD_STDIN, id, body, sizeof body, 0);
  }
  for (uint16_t id = 1; id <= 7; id += 2) {
    records_put(r, FCGI_RECORD_STDIN, id, body, sizeof body, 0);
    records_stdin_end(r, id);
  }
}

static int listen_somewhere(serving *f) {
  char address[80];
  snprintf(address, sizeof address, "unix:@fastcgi-memory-%ld-%p",
           (long)getpid(), (void *)f);
  return fcgi_server_listen(f->server, address);
}

/* The memory is there again: a new client notices nothing. */
static void expect_service(serving *f) {
  if (f->client >= 0)
    close(f->client);
  f->client = serving_connect(f);
  f->text->sent.len = 0;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_server_event event = {.size = sizeof event};
  while (event.type != FCGI_EVENT_REQUEST ||
         fcgi_request_content_length(event.request) != -1)
    assert_int_equal(fcgi_server_next(f->server, &event, 5000), 1);
  fcgi_request_reply(event.request, 200, "text/plain", "hi\n", 3);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\nContent-Length: 3\r\n"
                    "Status: 200 OK\r\n\r\nhi\n\nstdout_end 1\n"
                    "end 1 app=0 status=0\n");
}

/* The scenario with the allocation `n` failing: 1 when there was one. */
static int scenario(serving *f, const records *input, long n, int file) {
  failing memory = {.until_failure = n};
  f->config.allocator = failing_allocator(&memory);
  f->server = NULL;
  if (fcgi_server_new(&f->server, &f->config, NULL, 0) == 0 &&
      listen_somewhere(f) == 0) {
    f->client = serving_connect(f);
    for (size_t at = 0; at < input->len; at += 4096) {
      size_t left = input->len - at;
      records part = {.data = input->data + at,
                      .len = left < 4096 ? left : 4096};
      send_bytes(f->client, &part);
      serve(f, file);
      if (memory.failures)
        memory.until_failure = -1;
    }
    memory.until_failure = -1;
    expect_service(f);
  }
  fcgi_server_free(f->server);
  f->server = NULL;
  if (f->client >= 0)
    close(f->client);
  f->client = -1;
  assert_int_equal(memory.live, 0);
  return memory.failures > 0;
}

static void open_beside(serving *f, int file, beside *other) {
  static const char body[BODY];
  records sent = {0};
  *other = (beside){.client = serving_connect(f)};
  records_open(&sent, BESIDE);
  records_put(&sent, FCGI_RECORD_STDIN, BESIDE, body, sizeof body, 0);
  send_bytes(other->client, &sent);
  serve_beside(f, file, other);
  records_free(&sent);
}

/* The rest of its body comes; it is read whole, and answered right. */
static void end_beside(serving *f, int file, beside *other) {
  static const char body[BODY];
  char data[4096];
  ptrdiff_t len, all = 0;
  f->client = other->client;
  records_put(&f->text->sent, FCGI_RECORD_STDIN, BESIDE, body, sizeof body, 0);
  records_stdin_end(&f->text->sent, BESIDE);
  serving_send(f);
  if (!other->request)
    other->request = serving_take(f, FCGI_EVENT_REQUEST);
  else
    serve_beside(f, file, other);
  while ((len = fcgi_request_read(other->request, data, sizeof data)) > 0)
    all += len;
  assert_int_equal(len, 0);
  assert_int_equal(all, 2 * BODY);
  fcgi_request_reply(other->request, 200, "text/plain", "hi\n", 3);
  serving_expect(f, "stdout 2 Content-Type: text/plain\r\nContent-Length: 3\r\n"
                    "Status: 200 OK\r\n\r\nhi\n\nstdout_end 2\n"
                    "end 2 app=0 status=0\n");
}

/* The scenario beside another connection's request, the allocation `n` of what
   comes after that failing, and only that one: 1 when there was one. */
static int scenario_beside(serving *f, const records *input, long n, int file) {
  failing memory = {.until_failure = -1, .once = 1};
  beside other;
  f->config.allocator = failing_allocator(&memory);
  assert_int_equal(fcgi_server_new(&f->server, &f->config, NULL, 0), 0);
  assert_int_equal(listen_somewhere(f), 0);
  open_beside(f, file, &other);
  memory.until_failure = n;
  int first = serving_connect(f);
  f->client = first;
  for (size_t at = 0; at < input->len; at += 4096) {
    size_t left = input->len - at;
    records part = {.data = input->data + at, .len = left < 4096 ? left : 4096};
    send_bytes(first, &part);
    serve_beside(f, file, &other);
  }
  memory.until_failure = -1;
  end_beside(f, file, &other);
  fcgi_server_free(f->server);
  f->server = NULL;
  close(first);
  close(other.client);
  f->client = -1;
  assert_int_equal(memory.live, 0);
  return memory.failures > 0;
}

static void ignore_line(fcgi_log_level level, const char *line, void *data) {
  (void)level;
  (void)line;
  (void)data;
}

static void sweep(serving *f, int (*one)(serving *f, const records *input,
                                         long n, int file)) {
  char path[] = "/tmp/fastcgi-unit-XXXXXX";
  records input = {0};
  int file = mkstemp(path), before;
  long n = 0;
  unlink(path);
  assert_int_equal(ftruncate(file, BIG), 0);
  fcgi_server_free(f->server);
  close(f->client);
  f->server = NULL;
  f->client = -1;
  f->config.io_timeout_ms = FCGI_WAIT_NEVER;
  f->config.body_memory = 2000;
  f->config.log = ignore_line;
  fill(&input);
  before = open_files();
  while (one(f, &input, n, file))
    n++;
  assert_in_range(n, 20, 10000);
  assert_int_equal(open_files(), before);
  f->config.allocator = (fcgi_allocator){0};
  records_free(&input);
  close(file);
}

static void test_collected_bodies(void **state) {
  sweep(*state, scenario);
}

static void test_streamed_bodies(void **state) {
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  sweep(f, scenario);
}

static void test_collected_bodies_beside_another(void **state) {
  sweep(*state, scenario_beside);
}

static void test_streamed_bodies_beside_another(void **state) {
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  sweep(f, scenario_beside);
}

/* Counts what is taken and not given back. */
static void *count_memory(void *ptr, size_t size, void *user_data) {
  atomic_fetch_add((atomic_int *)user_data,
                   (size > 0 && !ptr) - (size == 0 && ptr));
  if (size > 0)
    return realloc(ptr, size);
  free(ptr);
  return NULL;
}

static void ask(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  serving_take(f, FCGI_EVENT_REQUEST);
}

/* One that was answered with 504, and one whose client has gone: the program
   has ended neither. */
static void test_handles_past_the_deadline_go_with_the_server(void **state) {
  serving *f = *state;
  atomic_int blocks = 0;
  f->config.allocator = (fcgi_allocator){count_memory, &blocks};
  f->config.request_timeout_ms = 100;
  f->config.log = ignore_line;
  serving_restart(f);
  ask(f);
  serving_idle(f, 300);
  receive(f->client);
  ask(f);
  close(f->client);
  f->client = -1;
  serving_idle(f, 300);
  fcgi_server_free(f->server);
  f->server = NULL;
  assert_int_equal(atomic_load(&blocks), 0);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_collected_bodies),
      SERVING_TEST(test_streamed_bodies),
      SERVING_TEST(test_collected_bodies_beside_another),
      SERVING_TEST(test_streamed_bodies_beside_another),
      SERVING_TEST(test_handles_past_the_deadline_go_with_the_server),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
