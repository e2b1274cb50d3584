/* SPDX-License-Identifier: MIT */
/* A child of fork(2) can do nothing to what its parent serves. */
#include "server/server.h"
#include "support/serving.h"

#include <fastcgi/fastcgi.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that hangs, in a lock of a thread that it does not have, is ended. */
enum { CHILD_SECONDS = 60 };

#define WRONG_UNLESS(condition)                                                \
  do {                                                                         \
    if (!(condition))                                                          \
      _exit(__LINE__ % 100 + 1);                                               \
  } while (0)

static void ask_request(fcgi_request *request) {
  fcgi_path path;
  char why[64];
  size_t len;
  WRONG_UNLESS(fcgi_request_path(request, &path) == 0);
  WRONG_UNLESS(!fcgi_request_raw_path(request, &len));
  WRONG_UNLESS(!fcgi_request_script_filename(request, &len));
  WRONG_UNLESS(fcgi_request_content_length(request) == -1);
  WRONG_UNLESS(fcgi_request_data_length(request) == -1);
  WRONG_UNLESS(fcgi_request_data_modified(request) == -1);
  WRONG_UNLESS(fcgi_request_check_answer(request, 200, NULL, 0, -1, why,
                                         sizeof why) == 0);
  fcgi_request_set_timeout(request, 10);
  fcgi_request_set_user_data(request, why);
  WRONG_UNLESS(fcgi_request_user_data(request) == why);
}

static void try_request(fcgi_request *request) {
  const fcgi_header header = {"X", 1, "y", 1};
  char data[16];
  const struct iovec iov = {.iov_base = data, .iov_len = 3};
  WRONG_UNLESS(fcgi_request_params(request) && fcgi_request_id(request) == 1);
  WRONG_UNLESS(fcgi_request_aborted(request) == FCGI_ABORT_NONE);
  WRONG_UNLESS(fcgi_request_read(request, data, sizeof data) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_read_data(request, data, 1) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_start(request, 200, &header, 1) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_write(request, "abc", 3) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_writev(request, &iov, 1) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_write_stderr(request, "x", 1) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_send_file(request, 0, 0, 1) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_flush(request) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_allow(request, NULL, 0) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_reply(request, 200, "a/b", "x", 1) ==
               FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_respond(request, 200, NULL, 0, "x", 1) ==
               FCGI_ERR_STATE);
  fcgi_request_gather(request);
  WRONG_UNLESS(fcgi_request_fail(request) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_request_end(request, 0) == FCGI_ERR_STATE);
}

static int answer(fcgi_request *request, void *user_data) {
  (void)user_data;
  return fcgi_request_reply(request, 200, "text/plain", "child\n", 6);
}

static int do_not_run(void *ran) {
  *(int *)ran = 1;
  return 0;
}

static void try_server(fcgi_server *server) {
  char text[256];
  int ran = 0;
  const fcgi_handler handler = {.size = sizeof handler, .on_request = answer};
  const fcgi_role_spec roles[] = {FCGI_ROLE_SPEC_RESPONDER};
  fcgi_server_event event = {.size = sizeof event};
  WRONG_UNLESS(fcgi_server_forked(server));
  WRONG_UNLESS(fcgi_server_next(server, &event, 0) == FCGI_ERR_CLOSED);
  WRONG_UNLESS(fcgi_server_next(server, &event, -1) == FCGI_ERR_CLOSED);
  WRONG_UNLESS(fcgi_server_run(server, &handler, NULL) == FCGI_ERR_STATE);
  WRONG_UNLESS(strstr(fcgi_server_message(server), "fork"));
  WRONG_UNLESS(fcgi_server_address(server, 0, text, sizeof text) == 0);
  WRONG_UNLESS(fcgi_server_run_threads(server, &handler, NULL, 3) ==
               FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_serve_signals(server, do_not_run, &ran) == FCGI_ERR_STATE);
  WRONG_UNLESS(!ran);
  WRONG_UNLESS(fcgi_server_listen(server, "127.0.0.1:0") == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_server_fd(server) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_server_hand_over(server, 0) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_server_take_over(server, 0) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_server_set_roles(server, roles, 1) == FCGI_ERR_STATE);
  WRONG_UNLESS(fcgi_server_log(server, FCGI_LOG_ERROR, "x", 1) == 0);
  fcgi_server_wait_ms(server);
  fcgi_server_reopen_logs(server);
  fcgi_server_stop(server, FCGI_STOP_GRACEFUL);
  fcgi_server_stop(server, FCGI_STOP_NOW);
  fcgi_server_free(server);
}

static void expect_fine(pid_t child) {
  int status = 0;
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

/* A fork in which all locks are another thread's, who is not there. */
static pid_t fork_locked(serving *f, fcgi_request *request) {
  pthread_mutex_t *locks[] = {
      &request->connection->lock, &f->server->lock, &f->server->wheel.lock,
      &f->server->observer.troubles.lock, &f->server->observer.logs->lock};
  const size_t count = sizeof locks / sizeof locks[0];
  for (size_t i = 0; i < count; i++)
    pthread_mutex_lock(locks[i]);
  pid_t child = fork();
  for (size_t i = count; child != 0 && i-- > 0;)
    pthread_mutex_unlock(locks[i]);
  return child;
}

static const char whole[] = "stdout 1 Content-Type: text/plain\r\n"
                            "Content-Length: 7\r\n"
                            "Status: 200 OK\r\n\r\n"
                            "parent\n\n"
                            "stdout_end 1\nend 1 app=0 status=0\n";

static void serve_one(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(
      fcgi_request_reply(request, 200, "text/plain", "parent\n", 7), 0);
  serving_idle(f, 20);
  serving_expect(f, whole);
}

static void test_child_changes_nothing(void **state) {
  serving *f = *state;
  serve_one(f); /* The poller knows the connection now. */
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  pid_t child = fork_locked(f, request);
  if (child == 0) {
    alarm(CHILD_SECONDS);
    ask_request(request);
    try_request(request);
    try_server(f->server);
    _exit(0);
  }
  expect_fine(child);
  assert_false(fcgi_server_forked(f->server));
  serving_expect(f, "");
  assert_int_equal(
      fcgi_request_reply(request, 200, "text/plain", "parent\n", 7), 0);
  serving_idle(f, 20);
  serving_expect(f, whole);
  serve_one(f); /* The connection is watched still, */
  close(f->client);
  f->client = serving_connect(f); /* and so is the listener. */
  serve_one(f);
}

static int fork_inside(fcgi_request *request, void *user_data) {
  pid_t *child = user_data;
  *child = fork();
  if (*child == 0) {
    alarm(CHILD_SECONDS);
    return 0;
  }
  fcgi_request_reply(request, 200, "text/plain", "parent\n", 7);
  fcgi_server_stop(request->connection->server, FCGI_STOP_GRACEFUL);
  return 0;
}

static void test_child_of_a_callback_leaves_the_loop(void **state) {
  serving *f = *state;
  pid_t child = -1;
  const fcgi_handler handler = {.size = sizeof handler,
                                .on_request = fork_inside};
  records_get(&f->text->sent, 1);
  serving_send(f);
  int result = fcgi_server_run(f->server, &handler, &child);
  if (child == 0)
    _exit(result == 0 ? 0 : 1);
  assert_int_equal(result, 0);
  expect_fine(child);
  serving_expect(f, whole);
}

static void test_fork_of_a_fork_and_a_server_of_its_own(void **state) {
  serving *f = *state;
  pid_t child = fork();
  if (child == 0) {
    fcgi_server *own = NULL;
    alarm(CHILD_SECONDS);
    WRONG_UNLESS(fcgi_server_new(&own, &f->config, NULL, 0) == 0);
    WRONG_UNLESS(!fcgi_server_forked(own));
    WRONG_UNLESS(fcgi_server_listen(own, "unix:@fastcgi-unit-fork") == 0);
    pid_t grandchild = fork();
    if (grandchild == 0) {
      WRONG_UNLESS(fcgi_server_forked(own) && fcgi_server_forked(f->server));
      fcgi_server_free(own);
      _exit(0);
    }
    int status = 1;
    WRONG_UNLESS(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    fcgi_server_free(own);
    _exit(0);
  }
  expect_fine(child);
  serve_one(f);
}

static void test_without_such_pages_the_number_tells(void **state) {
  serving *f = *state;
  fcgi__process_clear(&f->server->process);
  assert_false(fcgi_server_forked(f->server));
  pid_t child = fork();
  if (child == 0)
    _exit(fcgi_server_forked(f->server) ? 0 : 1);
  expect_fine(child);
  serve_one(f);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_child_changes_nothing),
      SERVING_TEST(test_child_of_a_callback_leaves_the_loop),
      SERVING_TEST(test_fork_of_a_fork_and_a_server_of_its_own),
      SERVING_TEST(test_without_such_pages_the_number_tells),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
