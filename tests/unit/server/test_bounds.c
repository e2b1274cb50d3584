/* SPDX-License-Identifier: MIT */
/* What a limit does not concern, where it is just reached, and what its passing
   leaves. */
#include "board/status.h"
#include "server/request.h"
#include "server/server.h"
#include "support/serving.h"

#include <arpa/inet.h>
#include <fastcgi/error.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIMIT_MS = 60, WINDOW = 1000, LONG_MS = 20000 };

static const char answer[] = "stdout 1 Content-Type: text/plain\r\n"
                             "Content-Length: 1\r\n"
                             "Status: 200 OK\r\n\r\n"
                             "x\n"
                             "stdout_end 1\nend 1 app=0 status=0\n";

static fcgi_request *get(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static void reply(serving *f, fcgi_request *request) {
  assert_int_equal(fcgi_request_reply(request, 200, "text/plain", "x", 1), 0);
  serving_idle(f, 1);
  serving_expect(f, answer);
}

/* A connection is idle without a request, however long its request takes. */
static void test_a_handler_at_work_is_not_idle(void **state) {
  serving *f = *state;
  f->config.idle_timeout_ms = LIMIT_MS;
  serving_restart(f);
  fcgi_request *request = get(f);
  const fcgi__connection *connection = request->connection;
  serving_idle(f, 4 * LIMIT_MS);
  long long before = fcgi__now();
  assert_int_equal(fcgi_request_reply(request, 200, "text/plain", "x", 1), 0);
  assert_in_range(connection->life.idle_due, before + LIMIT_MS,
                  fcgi__now() + LIMIT_MS);
  serving_expect(f, answer);
  serving_idle(f, 4 * LIMIT_MS);
  assert_true(serving_is_closed(f, LONG_MS));
}

static void read_bytes(fcgi_request *request, size_t len) {
  char data[WINDOW];
  assert_int_equal(fcgi_request_read(request, data, len), len);
}

/* A window that is full is read again when half of it is free. */
static void test_half_a_window_is_room_enough(void **state) {
  char body[WINDOW + 1];
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  f->config.input_window = WINDOW;
  serving_restart(f);
  memset(body, 'b', WINDOW);
  body[WINDOW] = '\0';
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, body);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_true(fcgi__connection_is_paused(request->connection));
  read_bytes(request, WINDOW / 2 - 1);
  assert_true(fcgi__connection_is_paused(request->connection));
  read_bytes(request, 1);
  assert_false(fcgi__connection_is_paused(request->connection));
  fcgi_request_end(request, 0);
}

/* The deadline passes while nobody takes events, and its abort waits to be
   taken when the program ends the request: nobody hears of it then. */
static void test_an_abort_goes_with_its_request(void **state) {
  serving *f = *state;
  f->config.request_timeout_ms = LIMIT_MS;
  f->config.events = 1u << FCGI_EVENT_ABORT;
  serving_restart(f);
  fcgi_request *request = get(f);
  for (int ms = 0; fcgi_request_aborted(request) == FCGI_ABORT_NONE; ms++) {
    assert_true(ms < LONG_MS);
    usleep(1000);
  }
  assert_int_equal(fcgi_request_aborted(request), FCGI_ABORT_DEADLINE);
  assert_int_equal(fcgi_request_end(request, 0), FCGI_ERR_ABORTED);
  serving_idle(f, LIMIT_MS);
}

/* A body of so many bytes is a request, or is answered with 413. */
static void test_a_body_at_its_limit(void **state) {
  serving *f = *state;
  f->config.limit_request_body = 5;
  serving_restart(f);
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "12");
  records_stdin(&f->text->sent, 1, "345");
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  reply(f, serving_take(f, FCGI_EVENT_REQUEST));
  records_open(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "12");
  records_stdin(&f->text->sent, 1, "3456");
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  serving_idle(f, 20);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\n"
                    "Content-Length: 22\r\n"
                    "Status: 413 Content Too Large\r\n\r\n"
                    "413 Content Too Large\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static int say(fcgi_request *request, size_t len) {
  static const char text[WINDOW + 1];
  return fcgi_request_write_stderr(request, text, len);
}

/* What waits on STDERR fills a window at most, newlines between messages among
   it, and has room again when it has left. */
static void test_messages_fill_a_window(void **state) {
  serving *f = *state;
  f->config.output_window = WINDOW;
  serving_restart(f);
  fcgi_request *request = get(f);
  assert_int_equal(say(request, WINDOW + 1), FCGI_ERR_LIMIT);
  assert_int_equal(say(request, WINDOW / 2), 0);
  assert_int_equal(say(request, WINDOW / 2), FCGI_ERR_LIMIT);
  assert_int_equal(say(request, WINDOW / 2 - 1), 0);
  assert_int_equal(say(request, 1), FCGI_ERR_LIMIT);
  assert_int_equal(fcgi_request_write_stderr(request, "\n", 1), FCGI_ERR_LIMIT);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  assert_int_equal(say(request, WINDOW), FCGI_ERR_LIMIT);
  assert_int_equal(say(request, WINDOW - 1), 0);
  fcgi_request_end(request, 0);
}

/* Who writes on for a second after the head learns that it has no end. */
static void test_a_second_of_a_body_that_nobody_reads(void **state) {
  serving *f = *state;
  fcgi_request *request = get(f);
  assert_int_equal(fcgi_request_start(request, 204, NULL, 0), 0);
  assert_int_equal(fcgi_request_write(request, "a", 1), FCGI_ERR_CLOSED);
  assert_in_range(fcgi__now() - request->out.unread_at, 0, LONG_MS);
  request->out.unread_at = fcgi__now() - 1000;
  assert_int_equal(fcgi_request_write(request, "a", 1), FCGI_ERR_ABORTED);
  fcgi_request_end(request, 0);
}

/* A listening socket of the program's, and a client that waits there. */
static int listen_for_one(int *client) {
  struct sockaddr_in at = {.sin_family = AF_INET,
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
  assert_int_equal(listen(fd, 4), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
  *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(*client, (struct sockaddr *)&at, len), 0);
  return fd;
}

static long long queue_of(serving *f) {
  records *to = &f->text->sent;
  fcgi_status *status;
  records_begin(to, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, 1, "REQUEST_METHOD", "GET");
  records_param(to, 1, "SCRIPT_NAME", "/status");
  records_params_end(to, 1);
  records_stdin_end(to, 1);
  serving_send(f);
  serving_idle(f, 10);
  assert_int_equal(fcgi__status_of_board(&status, &f->server->observer.board),
                   0);
  long long queue = status->listen_queue;
  fcgi_status_free(status);
  return queue;
}

/* Listeners that are not in use are zeroes, which name descriptor 0: whatever
   the server does to its listeners, from start to end, it does not do to it. */
static void test_descriptor_0_is_no_listener(void **state) {
  serving *f = *state;
  struct stat before, after;
  fcgi_server_event event = {.size = sizeof event};
  int client, own = listen_for_one(&client), kept = dup(STDIN_FILENO);
  struct pollfd waits = {.fd = own, .events = POLLIN};
  assert_int_equal(dup2(own, STDIN_FILENO), STDIN_FILENO);
  assert_int_equal(fstat(own, &before), 0);
  f->config.status_path = "/status";
  serving_restart(f);
  assert_int_equal(queue_of(f), 0);
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  assert_int_equal(fcgi_server_next(f->server, &event, LONG_MS),
                   FCGI_ERR_CLOSED);
  serving_restart(f);
  assert_int_equal(fstat(STDIN_FILENO, &after), 0);
  assert_int_equal(after.st_ino, before.st_ino);
  assert_int_equal(poll(&waits, 1, 0), 1);
  close(client);
  close(own);
  if (kept >= 0)
    dup2(kept, STDIN_FILENO);
  close(kept >= 0 ? kept : STDIN_FILENO);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_a_handler_at_work_is_not_idle),
      SERVING_TEST(test_half_a_window_is_room_enough),
      SERVING_TEST(test_an_abort_goes_with_its_request),
      SERVING_TEST(test_a_body_at_its_limit),
      SERVING_TEST(test_messages_fill_a_window),
      SERVING_TEST(test_a_second_of_a_body_that_nobody_reads),
      SERVING_TEST(test_descriptor_0_is_no_listener),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
