/* SPDX-License-Identifier: MIT */
/* The error log, and what becomes of lines that cannot be written. */
#include "server/server.h"
#include "support/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAIT_MS = 10000 };

static void test_lines_of_the_server_and_of_handlers(void **state) {
  logs l;
  char mark[64];
  logs_begin(&l, *state, NULL);
  serving_restart(l.f);
  logs_get(&l, "/");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_write_stderr(request, "one", 3), 0);
  assert_int_equal(
      fcgi_request_write_stderr(request, "two\n\nthree\x1b\nfour", 16), 0);
  assert_int_equal(fcgi_request_write_stderr(request, "five", 4), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  fcgi__server_log(l.f->server, FCGI_LOG_WARNING, "so %s", "it is");
  fcgi__server_log(l.f->server, FCGI_LOG_DEBUG, "nothing");
  fcgi__logs_flush(l.f->server->observer.logs);
  const char *text = logs_read(&l, l.errors);
  static const char *const said[] = {
      "stderr: one\n",  "stderr: two\n",  "stderr: three\\x1b\n",
      "stderr: four\n", "stderr: five\n", "warning: so it is\n"};
  for (size_t i = 0; i < 6; i++) {
    snprintf(mark, sizeof mark, " [%ld] %s", (long)getpid(), said[i]);
    assert_non_null(strstr(text, mark));
  }
  assert_null(strstr(text, "nothing"));
  assert_null(strstr(text, "stderr: \n"));
  int year, month, zone;
  assert_int_equal(sscanf(text, "%4d-%2dT", &year, &month) +
                       sscanf(text, "%*[^.].%3d", &zone),
                   3);
  logs_finish(&l);
}

static int is_pipe_blocked(void) {
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, NULL, &now);
  return sigismember(&now, SIGPIPE);
}

/* Before the server is waited on, the caller itself writes. */
static void test_texts_on_stderr_end_with_a_newline(void **state) {
  serving *f = *state;
  char text[64] = "";
  int ends[2], saved = dup(STDERR_FILENO), blocked = is_pipe_blocked();
  assert_int_equal(pipe(ends), 0);
  f->config.log = NULL;
  dup2(ends[1], STDERR_FILENO);
  serving_restart(f);
  fcgi_server_log(f->server, FCGI_LOG_WARNING, "one", 3);
  fcgi_server_log(f->server, FCGI_LOG_WARNING, "two\n", 4);
  fcgi_server_log(f->server, FCGI_LOG_INFO, "no\n", 3);
  fcgi_server_log(f->server, FCGI_LOG_ERROR, "three\nfour", 10);
  fcgi__logs_flush(f->server->observer.logs);
  dup2(saved, STDERR_FILENO);
  close(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  assert_true(read(ends[0], text, sizeof text - 1) > 0);
  close(ends[0]);
  close(saved);
  assert_string_equal(text, "one\ntwo\nthree\nfour\n");
  assert_int_equal(is_pipe_blocked(), blocked);
}

static void test_reopening(void **state) {
  logs l;
  char old[112];
  logs_begin(&l, *state, "%(U)s");
  serving_restart(l.f);
  snprintf(old, sizeof old, "%s.1", l.access);
  fcgi_server_reopen_logs(l.f->server);
  logs_ask(&l, "/old");
  fcgi__logs_flush(l.f->server->observer.logs);
  assert_int_equal(rename(l.access, old), 0);
  logs_ask(&l, "/still");
  fcgi__logs_flush(l.f->server->observer.logs);
  fcgi_server_reopen_logs(l.f->server);
  logs_ask(&l, "/new");
  logs_await(&l, l.access, "/new\n");
  assert_string_equal(l.text, "/new\n");
  assert_string_equal(logs_read(&l, old), "/old\n/still\n");
  unlink(old);
  logs_finish(&l);
}

static void test_a_log_that_cannot_be_reopened_goes_on(void **state) {
  logs l;
  char old[112];
  logs_begin(&l, *state, "%(U)s");
  serving_restart(l.f);
  logs_ask(&l, "/one");
  fcgi__logs_flush(l.f->server->observer.logs);
  snprintf(old, sizeof old, "%s.1", l.access);
  assert_int_equal(rename(l.access, old), 0);
  assert_int_equal(mkdir(l.access, 0700), 0);
  fcgi_server_reopen_logs(l.f->server);
  logs_await(&l, l.errors, "error: cannot reopen the access log ");
  logs_ask(&l, "/two");
  fcgi__logs_flush(l.f->server->observer.logs);
  assert_string_equal(logs_read(&l, old), "/one\n/two\n");
  rmdir(l.access);
  unlink(old);
  logs_finish(&l);
}

static uint64_t dropped(const logs *l) {
  return atomic_load(&atomic_load(&l->f->server->observer.slot)
                          ->counts.values[FCGI_METRIC_LOG_DROPPED]);
}

/* A limit of the file's size stands for a full disk. */
static void test_a_full_disk_drops_lines_and_recovers(void **state) {
  struct rlimit before, small;
  logs l;
  char mark[64];
  logs_begin(&l, *state, "%(U)s");
  l.f->config.status_path = "/status";
  signal(SIGXFSZ, SIG_IGN);
  serving_restart(l.f);
  logs_ask(&l, "/first");
  fcgi__logs_flush(l.f->server->observer.logs);
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = 10; /* "/first\n" and three bytes. */
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  for (int i = 0; i < 5; i++)
    logs_ask(&l, "/lost");
  fcgi__logs_flush(l.f->server->observer.logs);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(dropped(&l), 5);
  logs_ask(&l, "/again");
  snprintf(mark, sizeof mark, "; 5 lines are lost: %s\n", strerror(EFBIG));
  logs_await(&l, l.errors, mark);
  assert_non_null(strstr(l.text, "error: the access log "));
  logs_expect(&l, "/first\n/lo\n/again\n");
  logs_finish(&l);
}

static void make_pipe(logs *l) {
  unlink(l->access);
  assert_int_equal(mkfifo(l->access, 0600), 0);
}

static void test_a_pipe_without_a_reader(void **state) {
  logs l;
  char got[64] = "";
  logs_begin(&l, *state, "%(U)s");
  l.f->config.status_path = "/status";
  make_pipe(&l);
  serving_restart(l.f);
  logs_ask(&l, "/lost");
  fcgi__logs_flush(l.f->server->observer.logs);
  assert_int_equal(dropped(&l), 1);
  int reader = open(l.access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  usleep(1100000);
  logs_ask(&l, "/read");
  logs_await(&l, l.errors, "; 1 lines are lost: No such device or address\n");
  assert_int_equal(read(reader, got, sizeof got), 6);
  assert_string_equal(got, "/read\n");
  close(reader);
  logs_ask(&l, "/gone");
  fcgi__logs_flush(l.f->server->observer.logs);
  assert_int_equal(dropped(&l), 2);
  logs_finish(&l);
}

/* A queue that is smaller holds fewer lines. */
static void test_a_queue_of_another_size(void **state) {
  enum { LINES = 100, LEN = 4000, PIPE = 65536, QUEUE = 16384 };
  logs l;
  char *uri = malloc(LEN + 1);
  logs_begin(&l, *state, "%(U)s");
  l.f->config.status_path = "/status";
  l.f->config.log_queue = QUEUE;
  make_pipe(&l);
  int reader = open(l.access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  serving_restart(l.f);
  memset(uri, 'u', LEN);
  uri[0] = '/';
  uri[LEN] = '\0';
  for (int i = 0; i < LINES; i++)
    logs_ask(&l, uri);
  /* What the pipe, the queue and the writer's hand hold is not lost. */
  assert_in_range(dropped(&l), LINES - (PIPE + QUEUE) / LEN - 3, LINES);
  close(reader);
  free(uri);
  logs_finish(&l);
}

/* More than the queue and the pipe hold: handlers go on, and what is read
   later are whole lines. */
static void test_a_reader_that_does_not_read(void **state) {
  enum { LINES = 400 };
  logs l;
  char *uri = malloc(4001), *got = malloc(8192);
  long long began = fcgi__now(), lines = 0;
  logs_begin(&l, *state, "%(U)s");
  l.f->config.status_path = "/status";
  make_pipe(&l);
  int reader = open(l.access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  serving_restart(l.f);
  memset(uri, 'u', 4000);
  uri[0] = '/';
  uri[4000] = '\0';
  for (int i = 0; i < LINES; i++)
    logs_ask(&l, uri);
  assert_in_range(fcgi__now() - began, 0, WAIT_MS);
  uint64_t lost = dropped(&l);
  assert_in_range(lost, 50, LINES);
  FILE *from = fdopen(reader, "r");
  for (int ms = 0; lines < LINES - (long long)lost && ms < WAIT_MS;) {
    if (fgets(got, 8192, from)) {
      assert_int_equal(strlen(got), 4001);
      lines++;
    } else {
      clearerr(from);
      usleep(1000);
      ms++;
    }
  }
  assert_int_equal(lines, LINES - (long long)lost);
  logs_ask(&l, "/after");
  logs_await(&l, l.errors, "it took them more slowly than they came\n");
  fclose(from);
  free(uri);
  free(got);
  logs_finish(&l);
}

typedef struct crowd {
  logs *l;         /* Whose server. */
  atomic_int left; /* Lines to write. */
} crowd;

static void *add_lines(void *data) {
  crowd *c = data;
  while (atomic_fetch_sub(&c->left, 1) > 0)
    fcgi__server_log(c->l->f->server, FCGI_LOG_INFO, "a line");
  return NULL;
}

static void test_many_threads(void **state) {
  enum { THREADS = 4, LINES = 4000 };
  pthread_t threads[THREADS];
  logs l;
  crowd c = {.l = &l, .left = LINES};
  int lines = 0;
  logs_begin(&l, *state, NULL);
  serving_restart(l.f);
  logs_ask(&l, "/");
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, add_lines, &c), 0);
  for (int i = 0; i < 20; i++) {
    fcgi_server_reopen_logs(l.f->server);
    usleep(500);
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  fcgi__logs_flush(l.f->server->observer.logs);
  for (const char *at = logs_read(&l, l.errors); (at = strchr(at, '\n')); at++)
    lines++;
  assert_in_range(lines, LINES, LINES);
  logs_finish(&l);
}

static void test_the_environment(void **state) {
  logs l;
  logs_begin(&l, *state, NULL);
  setenv("FASTCGI_ACCESS_LOGFILE", l.access, 1);
  setenv("FASTCGI_ACCESS_LOGFORMAT", "%(U)s", 1);
  setenv("FASTCGI_ERROR_LOGFILE", l.errors, 1);
  l.f->config.access_logfile = l.f->config.error_logfile = NULL;
  serving_restart(l.f);
  logs_ask(&l, "/env");
  logs_expect(&l, "/env\n");
  assert_int_equal(access(l.errors, F_OK), 0);
  l.f->config.access_logfile = l.f->config.error_logfile = "";
  serving_restart(l.f);
  assert_false(fcgi__logs_has_errors(l.f->server->observer.logs));
  unsetenv("FASTCGI_ACCESS_LOGFILE");
  unsetenv("FASTCGI_ACCESS_LOGFORMAT");
  unsetenv("FASTCGI_ERROR_LOGFILE");
  logs_finish(&l);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_lines_of_the_server_and_of_handlers),
      SERVING_TEST(test_texts_on_stderr_end_with_a_newline),
      SERVING_TEST(test_reopening),
      SERVING_TEST(test_a_log_that_cannot_be_reopened_goes_on),
      SERVING_TEST(test_a_full_disk_drops_lines_and_recovers),
      SERVING_TEST(test_a_pipe_without_a_reader),
      SERVING_TEST(test_a_queue_of_another_size),
      SERVING_TEST(test_a_reader_that_does_not_read),
      SERVING_TEST(test_many_threads),
      SERVING_TEST(test_the_environment),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
