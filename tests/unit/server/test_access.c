/* SPDX-License-Identifier: MIT */
/* The access log and the error log. */
#include "server/access.h"
#include "server/logqueue.h"
#include "server/server.h"
#include "support/serving.h"

#include <errno.h>
#include <fastcgi/error.h>
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

enum { TEXT = 262144, WAIT_MS = 10000 };

typedef struct logs {
  serving *f;         /* The server. */
  char directory[64]; /* Where the files are. */
  char access[96];    /* The access log. */
  char errors[96];    /* The error log. */
  char text[TEXT];    /* What log_read found. */
} logs;

static void begin(logs *l, serving *f, const char *format) {
  l->f = f;
  strcpy(l->directory, "/tmp/fastcgi-logs-XXXXXX");
  assert_non_null(mkdtemp(l->directory));
  snprintf(l->access, sizeof l->access, "%s/access", l->directory);
  snprintf(l->errors, sizeof l->errors, "%s/errors", l->directory);
  f->config.access_log = l->access;
  f->config.access_log_format = format;
  f->config.error_log = l->errors;
}

static void finish(logs *l) {
  fcgi_server_free(l->f->server);
  l->f->server = NULL;
  unlink(l->access);
  unlink(l->errors);
  assert_int_equal(rmdir(l->directory), 0);
}

static const char *read_file(logs *l, const char *path) {
  FILE *file = fopen(path, "re");
  size_t len = file ? fread(l->text, 1, sizeof l->text - 1, file) : 0;
  if (file)
    fclose(file);
  l->text[len] = '\0';
  return l->text;
}

/* What the file holds, once `what` is in it. */
static const char *await(logs *l, const char *path, const char *what) {
  for (int ms = 0; !strstr(read_file(l, path), what); ms++) {
    if (ms == WAIT_MS)
      fail_msg("%s has no \"%s\" but \"%s\"", path, what, l->text);
    usleep(1000);
  }
  return l->text;
}

static void expect_line(logs *l, const char *line) {
  fcgi__logs_flush(l->f->server);
  assert_string_equal(read_file(l, l->access), line);
}

static void get(logs *l, const char *uri) {
  records *to = &l->f->text->sent;
  records_begin(to, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, 1, "REQUEST_METHOD", "GET");
  records_param(to, 1, "REQUEST_URI", uri);
  records_param(to, 1, "REMOTE_ADDR", "192.0.2.7");
  records_param(to, 1, "SERVER_PROTOCOL", "HTTP/1.1");
  records_param(to, 1, "HTTP_REFERER", "http://x.example/");
  records_param(to, 1, "HTTP_USER_AGENT", "a \"b\\\n\xff");
  records_params_end(to, 1);
  records_stdin_end(to, 1);
  serving_send(l->f);
}

static void answer(logs *l, int status, const char *body) {
  fcgi_request *request = serving_take(l->f, FCGI_EVENT_REQUEST);
  assert_int_equal(
      fcgi_request_reply(request, status, "text/plain", body, strlen(body)), 0);
}

static void ask(logs *l, const char *uri) {
  char got[4096];
  get(l, uri);
  answer(l, 200, "hello");
  while (recv(l->f->client, got, sizeof got, MSG_DONTWAIT) > 0)
    ;
}

static void test_combined_is_the_default(void **state) {
  logs l;
  begin(&l, *state, NULL);
  serving_restart(l.f);
  ask(&l, "/a?b=\x1b[2J");
  fcgi__logs_flush(l.f->server);
  const char *line = read_file(&l, l.access);
  assert_ptr_equal(strstr(line, "192.0.2.7 - - ["), line);
  assert_non_null(strstr(line, "] \"GET /a?b=\\x1b[2J HTTP/1.1\" 200 5 "
                               "\"http://x.example/\" "
                               "\"a \\x22b\\x5c\\x0a\\xff\"\n"));
  finish(&l);
}

static void test_atoms(void **state) {
  logs l;
  char expected[160];
  begin(&l, *state,
        "100%% %(h)s %(l)s%(u)s %(m)s %(U)s %(q)s %(H)s %(s)s %(B)s %(b)s "
        "%({User-Agent}i)s %({Content-Type}o)s %({no}o)s %({REMOTE_ADDR}e)s "
        "%(f)s %(p)s %(T)s");
  serving_restart(l.f);
  ask(&l, "/a?q");
  snprintf(expected, sizeof expected,
           "100%% 192.0.2.7 -- GET /a  HTTP/1.1 200 5 5 "
           "a \\x22b\\x5c\\x0a\\xff text/plain - 192.0.2.7 "
           "http://x.example/ <%ld> 0\n",
           (long)getpid());
  expect_line(&l, expected);
  finish(&l);
}

static void test_times(void **state) {
  unsigned long long us, ms;
  double decimal;
  logs l;
  begin(&l, *state, "%(D)s %(M)s %(L)s");
  serving_restart(l.f);
  get(&l, "/");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  usleep(30000);
  fcgi_request_reply(request, 200, NULL, "", 0);
  fcgi__logs_flush(l.f->server);
  assert_int_equal(
      sscanf(read_file(&l, l.access), "%llu %llu %lf\n", &us, &ms, &decimal),
      3);
  assert_in_range(us, 30000, 10000000);
  assert_int_equal(ms, us / 1000);
  assert_in_range((long long)(decimal * 1e6 + 0.5), us - 1, us + 1);
  finish(&l);
}

static void test_json(void **state) {
  logs l;
  begin(&l, *state, "json");
  serving_restart(l.f);
  ask(&l, "/\"\\\x01\xff\xc3\xa9");
  fcgi__logs_flush(l.f->server);
  const char *line = read_file(&l, l.access);
  assert_ptr_equal(strstr(line, "{\"time\":\"20"), line);
  assert_non_null(
      strstr(line, "\"remote_addr\":\"192.0.2.7\",\"remote_user\":null,"
                   "\"method\":\"GET\",\"uri\":\"/\\\"\\\\\\u0001\\\\xff\xc3"
                   "\xa9\",\"protocol\":\"HTTP/1.1\",\"host\":null,"
                   "\"status\":200,\"bytes\":5,\"duration_us\":"));
  assert_non_null(strstr(line, "\"user_agent\":\"a \\\"b\\\\\\u000a\\\\xff\""));
  finish(&l);
}

/* Terminals take these for commands, and readers for other characters. */
static void test_utf8(void **state) {
  static const struct {
    const char *text, *escaped;
  } cases[] = {
      {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
       "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"\xc2\x9b", "\\xc2\\x9b"},          /* CSI. */
      {"\x7f", "\\x7f"},                   /* DEL. */
      {"\xc0\xaf", "\\xc0\\xaf"},          /* '/' in two bytes. */
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* A surrogate. */
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
      {"\xe2\x82", "\\xe2\\x82"}, /* Cut. */
      {"\xe2\x82q", "\\xe2\\x82q"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fcgi__log_text line = {.len = 0};
    fcgi__log_escape(&line, cases[i].text, strlen(cases[i].text),
                     FCGI__LOG_PLAIN, FCGI__LOG_LINE);
    assert_int_equal(line.len, strlen(cases[i].escaped));
    assert_memory_equal(line.data, cases[i].escaped, line.len);
  }
}

static void test_long_lines_are_cut(void **state) {
  static const char *const formats[] = {"%(r)s", "json"};
  char *uri = malloc(60000);
  memset(uri, '\x01', 59999);
  uri[59999] = '\0';
  uri[0] = '/';
  for (size_t i = 0; i < 2; i++) {
    logs l;
    begin(&l, *state, formats[i]);
    serving_restart(l.f);
    ask(&l, uri);
    fcgi__logs_flush(l.f->server);
    size_t len = strlen(read_file(&l, l.access));
    assert_in_range(len, 1000, FCGI__LOG_LINE);
    assert_string_equal(l.text + len - (i == 0 ? 4 : 2),
                        i == 0 ? "...\n" : "}\n");
    assert_non_null(strstr(l.text, i == 0 ? "\\x01" : "\\u0001...\""));
    finish(&l);
  }
  free(uri);
}

static void test_wrong_formats_are_refused(void **state) {
  static const struct {
    const char *format, *said;
  } cases[] = {
      {"%(h)s %(x)s", "there is no atom \"%(x)s\"; known are"},
      {"%({Host}x)s", "there is no atom \"%({Host}x)s\""},
      {"%({}i)s", "there is no atom"},
      {"%({Hosti)s", "there is no atom"},
      {"%(hh)s", "there is no atom"},
      {"%h", "\"%h\" begins no atom; write %% for a percent sign"},
      {"%(h)s %", "begins no atom"},
      {"%(h", "begins no atom"},
      {"comon", "\"comon\" is neither common, combined nor json"},
  };
  logs l;
  serving *f = *state;
  begin(&l, f, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fcgi_server *server;
    f->config.access_log_format = cases[i].format;
    assert_int_equal(fcgi_server_new(&server, &f->config), 0);
    assert_int_equal(fcgi_server_listen(server, "unix:@fastcgi-unit-format"),
                     FCGI_ERR_INVALID);
    const char *said = fcgi_server_message(server);
    assert_ptr_equal(strstr(said, "access log format: "), said);
    if (!strstr(said, cases[i].said))
      fail_msg("\"%s\" gives \"%s\"", cases[i].format, said);
    assert_null(strchr(said, '\n'));
    fcgi_server_free(server);
  }
  finish(&l);
}

static void test_unwritable_files_are_refused(void **state) {
  logs l;
  serving *f = *state;
  fcgi_server *server;
  begin(&l, f, NULL);
  f->config.access_log = "/nowhere/access";
  assert_int_equal(fcgi_server_new(&server, &f->config), 0);
  assert_int_equal(fcgi_server_listen(server, "unix:@fastcgi-unit-file"),
                   FCGI_ERR_SYSTEM);
  assert_string_equal(fcgi_server_message(server),
                      "cannot open the access log /nowhere/access: No such "
                      "file or directory; name a file that this user can "
                      "write");
  fcgi_server_free(server);
  finish(&l);
}

static void test_raw_output_and_no_body(void **state) {
  static const struct {
    const char *output, *line;
  } cases[] = {
      {"Status: 404 Nope\r\nX: y\r\n\r\nabc", "404 3 y\n"},
      {"X: y\n\nabcd", "200 4 y\n"},
      {"Location: /x\r\n\r\n", "200 - -\n"},
      {"Location: http://h/\r\n\r\n", "302 - -\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    logs l;
    begin(&l, *state, "%(s)s %(b)s %({x}o)s");
    serving_restart(l.f);
    get(&l, "/");
    fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
    for (const char *at = cases[i].output; *at; at++)
      assert_int_equal(fcgi_request_write(request, at, 1), 1);
    assert_int_equal(fcgi_request_end(request, 0), 0);
    expect_line(&l, cases[i].line);
    finish(&l);
  }
}

static void test_large_bodies_and_files_count(void **state) {
  enum { LARGE = 100000 };
  logs l;
  char *data = calloc(1, LARGE);
  begin(&l, *state, "%(s)s %(b)s");
  serving_restart(l.f);
  get(&l, "/");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  FILE *file = tmpfile();
  assert_int_equal(fwrite(data, 1, LARGE, file), LARGE);
  fflush(file);
  assert_int_equal(fcgi_request_start(request, 206, NULL, 0), 0);
  assert_int_equal(fcgi_request_write(request, data, LARGE), LARGE);
  assert_int_equal(fcgi_request_send_file(request, fileno(file), 0, 70000), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  expect_line(&l, "206 170000\n");
  fclose(file);
  free(data);
  finish(&l);
}

/* What a client that goes away does not take is not in the log. */
static void test_what_was_not_sent(void **state) {
  enum { HUGE = 4 * 1024 * 1024 };
  logs l;
  int status;
  long long bytes;
  char *data = calloc(1, HUGE);
  begin(&l, *state, "%(s)s %(B)s");
  l.f->config.output_window = 2 * HUGE;
  serving_restart(l.f);
  get(&l, "/");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  fcgi_request_set_timeout(request, 0);
  assert_int_equal(fcgi_request_start(request, 200, NULL, 0), 0);
  assert_int_equal(fcgi_request_write(request, data, HUGE), HUGE);
  char got[4096];
  ssize_t taken = 0;
  for (int i = 0; i < 20; i++)
    taken += recv(l.f->client, got, sizeof got, MSG_WAITALL);
  close(l.f->client);
  l.f->client = -1;
  fcgi_request_end(request, 0);
  serving_idle(l.f, 50);
  fcgi__logs_flush(l.f->server);
  assert_int_equal(sscanf(read_file(&l, l.access), "%d %lld", &status, &bytes),
                   2);
  assert_int_equal(status, 200);
  assert_in_range(bytes, taken - 1000, 1024 * 1024);
  free(data);
  finish(&l);
}

static void test_no_answer_is_a_dash(void **state) {
  logs l;
  begin(&l, *state, "%(r)s %(s)s %(b)s");
  serving_restart(l.f);
  get(&l, "/gone");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  close(l.f->client);
  l.f->client = -1;
  serving_idle(l.f, 50);
  fcgi_request_reply(request, 200, NULL, "hello", 5);
  expect_line(&l, "GET /gone HTTP/1.1 - -\n");
  finish(&l);
}

static void test_open_requests_are_logged_at_the_end(void **state) {
  logs l;
  begin(&l, *state, "%(U)s %(s)s");
  serving_restart(l.f);
  get(&l, "/open");
  serving_take(l.f, FCGI_EVENT_REQUEST);
  fcgi_server_free(l.f->server);
  l.f->server = NULL;
  assert_string_equal(read_file(&l, l.access), "/open -\n");
  finish(&l);
}

static void test_lines_of_the_server_and_of_handlers(void **state) {
  logs l;
  char mark[64];
  begin(&l, *state, NULL);
  serving_restart(l.f);
  get(&l, "/");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_write_stderr(request, "one ", 4), 0);
  assert_int_equal(
      fcgi_request_write_stderr(request, "line\n\ntwo\x1b\nre", 13), 0);
  assert_int_equal(fcgi_request_write_stderr(request, "st", 2), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  fcgi__server_log(l.f->server, FCGI_LOG_WARNING, "so %s", "it is");
  fcgi__server_log(l.f->server, FCGI_LOG_DEBUG, "nothing");
  fcgi__logs_flush(l.f->server);
  const char *text = read_file(&l, l.errors);
  static const char *const said[] = {"stderr: one line\n", "stderr: two\\x1b\n",
                                     "stderr: rest\n", "warning: so it is\n"};
  for (size_t i = 0; i < 4; i++) {
    snprintf(mark, sizeof mark, " [%ld] %s", (long)getpid(), said[i]);
    assert_non_null(strstr(text, mark));
  }
  assert_null(strstr(text, "nothing"));
  assert_null(strstr(text, "stderr: \n"));
  int year, month, zone;
  assert_int_equal(sscanf(text, "%4d-%2dT", &year, &month) +
                       sscanf(text, "%*[^.].%3d", &zone),
                   3);
  finish(&l);
}

static void test_reopening(void **state) {
  logs l;
  char old[112];
  begin(&l, *state, "%(U)s");
  serving_restart(l.f);
  snprintf(old, sizeof old, "%s.1", l.access);
  fcgi_server_reopen_logs(l.f->server);
  ask(&l, "/old");
  fcgi__logs_flush(l.f->server);
  assert_int_equal(rename(l.access, old), 0);
  ask(&l, "/still");
  fcgi__logs_flush(l.f->server);
  fcgi_server_reopen_logs(l.f->server);
  ask(&l, "/new");
  await(&l, l.access, "/new\n");
  assert_string_equal(l.text, "/new\n");
  assert_string_equal(read_file(&l, old), "/old\n/still\n");
  unlink(old);
  finish(&l);
}

static void test_a_log_that_cannot_be_reopened_goes_on(void **state) {
  logs l;
  char old[112];
  begin(&l, *state, "%(U)s");
  serving_restart(l.f);
  ask(&l, "/one");
  fcgi__logs_flush(l.f->server);
  snprintf(old, sizeof old, "%s.1", l.access);
  assert_int_equal(rename(l.access, old), 0);
  assert_int_equal(mkdir(l.access, 0700), 0);
  fcgi_server_reopen_logs(l.f->server);
  await(&l, l.errors, "error: cannot reopen the access log ");
  ask(&l, "/two");
  fcgi__logs_flush(l.f->server);
  assert_string_equal(read_file(&l, old), "/one\n/two\n");
  rmdir(l.access);
  unlink(old);
  finish(&l);
}

static uint64_t dropped(const logs *l) {
  return atomic_load(&atomic_load(&l->f->server->slot)
                          ->counts.values[FCGI_STATUS_LOG_DROPPED]);
}

/* A limit of the file's size stands for a full disk. */
static void test_a_full_disk_drops_lines_and_recovers(void **state) {
  struct rlimit before, small;
  logs l;
  char mark[64];
  begin(&l, *state, "%(U)s");
  l.f->config.status_path = "/status";
  signal(SIGXFSZ, SIG_IGN);
  serving_restart(l.f);
  ask(&l, "/first");
  fcgi__logs_flush(l.f->server);
  getrlimit(RLIMIT_FSIZE, &before);
  small = before;
  small.rlim_cur = 10; /* "/first\n" and three bytes. */
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  for (int i = 0; i < 5; i++)
    ask(&l, "/lost");
  fcgi__logs_flush(l.f->server);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_int_equal(dropped(&l), 5);
  ask(&l, "/again");
  snprintf(mark, sizeof mark, "; 5 lines are lost: %s\n", strerror(EFBIG));
  await(&l, l.errors, mark);
  assert_non_null(strstr(l.text, "error: the access log "));
  expect_line(&l, "/first\n/lo\n/again\n");
  finish(&l);
}

static void make_pipe(logs *l) {
  unlink(l->access);
  assert_int_equal(mkfifo(l->access, 0600), 0);
}

static void test_a_pipe_without_a_reader(void **state) {
  logs l;
  char got[64] = "";
  begin(&l, *state, "%(U)s");
  l.f->config.status_path = "/status";
  make_pipe(&l);
  serving_restart(l.f);
  ask(&l, "/lost");
  fcgi__logs_flush(l.f->server);
  assert_int_equal(dropped(&l), 1);
  int reader = open(l.access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  usleep(1100000);
  ask(&l, "/read");
  await(&l, l.errors, "; 1 lines are lost: No such device or address\n");
  assert_int_equal(read(reader, got, sizeof got), 6);
  assert_string_equal(got, "/read\n");
  close(reader);
  ask(&l, "/gone");
  fcgi__logs_flush(l.f->server);
  assert_int_equal(dropped(&l), 2);
  finish(&l);
}

/* More than the queue and the pipe hold: handlers go on, and what is read
   later are whole lines. */
static void test_a_reader_that_does_not_read(void **state) {
  enum { LINES = 400 };
  logs l;
  char *uri = malloc(4001), *got = malloc(8192);
  long long began = fcgi__now(), lines = 0;
  begin(&l, *state, "%(U)s");
  l.f->config.status_path = "/status";
  make_pipe(&l);
  int reader = open(l.access, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  serving_restart(l.f);
  memset(uri, 'u', 4000);
  uri[0] = '/';
  uri[4000] = '\0';
  for (int i = 0; i < LINES; i++)
    ask(&l, uri);
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
  ask(&l, "/after");
  await(&l, l.errors, "it took them more slowly than they came\n");
  fclose(from);
  free(uri);
  free(got);
  finish(&l);
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
  begin(&l, *state, NULL);
  serving_restart(l.f);
  ask(&l, "/");
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, add_lines, &c), 0);
  for (int i = 0; i < 20; i++) {
    fcgi_server_reopen_logs(l.f->server);
    usleep(500);
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  fcgi__logs_flush(l.f->server);
  for (const char *at = read_file(&l, l.errors); (at = strchr(at, '\n')); at++)
    lines++;
  assert_in_range(lines, LINES, LINES);
  finish(&l);
}

static void test_the_environment(void **state) {
  logs l;
  begin(&l, *state, NULL);
  setenv("FASTCGI_ACCESS_LOG", l.access, 1);
  setenv("FASTCGI_ACCESS_LOG_FORMAT", "%(U)s", 1);
  setenv("FASTCGI_ERROR_LOG", l.errors, 1);
  l.f->config.access_log = l.f->config.error_log = NULL;
  serving_restart(l.f);
  ask(&l, "/env");
  expect_line(&l, "/env\n");
  assert_int_equal(access(l.errors, F_OK), 0);
  l.f->config.access_log = l.f->config.error_log = "";
  serving_restart(l.f);
  assert_null(l.f->server->logs);
  unsetenv("FASTCGI_ACCESS_LOG");
  unsetenv("FASTCGI_ACCESS_LOG_FORMAT");
  unsetenv("FASTCGI_ERROR_LOG");
  finish(&l);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_combined_is_the_default),
      SERVING_TEST(test_atoms),
      SERVING_TEST(test_times),
      SERVING_TEST(test_json),
      SERVING_TEST(test_utf8),
      SERVING_TEST(test_long_lines_are_cut),
      SERVING_TEST(test_wrong_formats_are_refused),
      SERVING_TEST(test_unwritable_files_are_refused),
      SERVING_TEST(test_raw_output_and_no_body),
      SERVING_TEST(test_large_bodies_and_files_count),
      SERVING_TEST(test_what_was_not_sent),
      SERVING_TEST(test_no_answer_is_a_dash),
      SERVING_TEST(test_open_requests_are_logged_at_the_end),
      SERVING_TEST(test_lines_of_the_server_and_of_handlers),
      SERVING_TEST(test_reopening),
      SERVING_TEST(test_a_log_that_cannot_be_reopened_goes_on),
      SERVING_TEST(test_a_full_disk_drops_lines_and_recovers),
      SERVING_TEST(test_a_pipe_without_a_reader),
      SERVING_TEST(test_a_reader_that_does_not_read),
      SERVING_TEST(test_many_threads),
      SERVING_TEST(test_the_environment),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
