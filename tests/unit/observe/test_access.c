/* SPDX-License-Identifier: MIT */
/* The lines of the access log. */
#include "base/alloc.h"
#include "observe/access.h"
#include "server/server.h"
#include "support/logging.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_combined_is_the_default(void **state) {
  logs l;
  logs_begin(&l, *state, NULL);
  serving_restart(l.f);
  logs_ask(&l, "/a?b=\x1b[2J");
  fcgi__logs_flush(l.f->server->observer.logs);
  const char *line = logs_read(&l, l.access);
  assert_ptr_equal(strstr(line, "192.0.2.7 - - ["), line);
  assert_non_null(strstr(line, "] \"GET /a?b=\\x1b[2J HTTP/1.1\" 200 5 "
                               "\"http://x.example/\" "
                               "\"a \\x22b\\x5c\\x0a\\xff\"\n"));
  logs_finish(&l);
}

static void test_atoms(void **state) {
  logs l;
  char expected[160];
  logs_begin(
      &l, *state,
      "100%% %(h)s %(l)s%(u)s %(m)s %(U)s %(q)s %(H)s %(s)s %(B)s %(b)s "
      "%({User-Agent}i)s %({Content-Type}o)s %({no}o)s %({REMOTE_ADDR}e)s "
      "%(f)s %(p)s %(T)s");
  serving_restart(l.f);
  logs_ask(&l, "/a?q");
  snprintf(expected, sizeof expected,
           "100%% 192.0.2.7 -- GET /a  HTTP/1.1 200 5 5 "
           "a \\x22b\\x5c\\x0a\\xff text/plain - 192.0.2.7 "
           "http://x.example/ <%ld> 0\n",
           (long)getpid());
  logs_expect(&l, expected);
  logs_finish(&l);
}

/* Two headers have parameters without HTTP_ (RFC 3875, 4.1); names alike do
 * not. */
static void test_headers_of_the_request(void **state) {
  static const char format[] =
      "%({CONTENT-Type}i)s %({content-length}i)s %({x-one_two}i)s "
      "%({Content-Typo}i)s %({Content-Lengths}i)s";
  static const char *const names[] = {"CONTENT_TYPE", "CONTENT_LENGTH",
                                      "HTTP_X_ONE_TWO", "HTTP_CONTENT_TYPO",
                                      "HTTP_CONTENT_LENGTHS"};
  fcgi_allocator allocator = fcgi__allocator(NULL);
  fcgi__access_format parsed;
  size_t found = 0;
  (void)state;
  assert_int_equal(fcgi__access_parse(&parsed, &allocator, format), 0);
  for (size_t i = 0; i < parsed.count; i++)
    if (parsed.parts[i].put == fcgi__access_put_param) {
      assert_true(found < sizeof names / sizeof *names);
      assert_int_equal(parsed.parts[i].name_len, strlen(names[found]));
      assert_memory_equal(parsed.parts[i].name, names[found],
                          strlen(names[found]));
      found++;
    }
  assert_int_equal(found, sizeof names / sizeof *names);
  fcgi__access_clear(&parsed, &allocator);
}

static void test_times(void **state) {
  unsigned long long us, ms;
  double decimal;
  logs l;
  logs_begin(&l, *state, "%(D)s %(M)s %(L)s");
  serving_restart(l.f);
  logs_get(&l, "/");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  usleep(30000);
  fcgi_request_reply(request, 200, NULL, "", 0);
  fcgi__logs_flush(l.f->server->observer.logs);
  assert_int_equal(
      sscanf(logs_read(&l, l.access), "%llu %llu %lf\n", &us, &ms, &decimal),
      3);
  assert_in_range(us, 30000, 10000000);
  assert_int_equal(ms, us / 1000);
  assert_in_range((long long)(decimal * 1e6 + 0.5), us - 1, us + 1);
  logs_finish(&l);
}

static void test_json(void **state) {
  logs l;
  logs_begin(&l, *state, "json");
  serving_restart(l.f);
  logs_ask(&l, "/\"\\\x01\xff\xc3\xa9");
  fcgi__logs_flush(l.f->server->observer.logs);
  const char *line = logs_read(&l, l.access);
  assert_ptr_equal(strstr(line, "{\"time\":\"20"), line);
  assert_non_null(
      strstr(line, "\"remote_addr\":\"192.0.2.7\",\"remote_user\":null,"
                   "\"method\":\"GET\",\"uri\":\"/\\\"\\\\\\u0001\\\\xff\xc3"
                   "\xa9\",\"protocol\":\"HTTP/1.1\",\"host\":null,"
                   "\"status\":200,\"bytes\":5,\"duration_us\":"));
  assert_non_null(strstr(line, "\"user_agent\":\"a \\\"b\\\\\\u000a\\\\xff\""));
  logs_finish(&l);
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
    logs_begin(&l, *state, formats[i]);
    serving_restart(l.f);
    logs_ask(&l, uri);
    fcgi__logs_flush(l.f->server->observer.logs);
    size_t len = strlen(logs_read(&l, l.access));
    assert_in_range(len, 1000, FCGI__LOG_LINE);
    assert_string_equal(l.text + len - (i == 0 ? 4 : 2),
                        i == 0 ? "...\n" : "}\n");
    assert_non_null(strstr(l.text, i == 0 ? "\\x01" : "\\u0001...\""));
    logs_finish(&l);
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
  logs_begin(&l, f, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fcgi_server *server;
    f->config.access_logformat = cases[i].format;
    assert_int_equal(fcgi_server_new(&server, &f->config, NULL, 0), 0);
    assert_int_equal(fcgi_server_listen(server, "unix:@fastcgi-unit-format"),
                     FCGI_ERR_INVALID);
    const char *said = fcgi_server_message(server);
    assert_ptr_equal(strstr(said, "access log format: "), said);
    if (!strstr(said, cases[i].said))
      fail_msg("\"%s\" gives \"%s\"", cases[i].format, said);
    assert_null(strchr(said, '\n'));
    fcgi_server_free(server);
  }
  logs_finish(&l);
}

static void test_unwritable_files_are_refused(void **state) {
  logs l;
  serving *f = *state;
  fcgi_server *server;
  logs_begin(&l, f, NULL);
  f->config.access_logfile = "/nowhere/access";
  assert_int_equal(fcgi_server_new(&server, &f->config, NULL, 0), 0);
  assert_int_equal(fcgi_server_listen(server, "unix:@fastcgi-unit-file"),
                   FCGI_ERR_SYSTEM);
  assert_string_equal(fcgi_server_message(server),
                      "cannot open the access log /nowhere/access: No such "
                      "file or directory; name a file that this user can "
                      "write");
  fcgi_server_free(server);
  logs_finish(&l);
}

static void test_raw_output_and_no_body(void **state) {
  static const struct {
    const char *output, *line;
  } cases[] = {
      {"Status: 404 Nope\r\nX: y\r\n\r\nabc", "404 3 y\n"},
      {"X: y\n\nabcd", "200 4 y\n"},
      {"Location: /x\r\n\r\n", "302 - -\n"},
      {"Location: http://h/\r\n\r\n", "302 - -\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    logs l;
    logs_begin(&l, *state, "%(s)s %(b)s %({x}o)s");
    serving_restart(l.f);
    logs_get(&l, "/");
    fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
    for (const char *at = cases[i].output; *at; at++)
      assert_int_equal(fcgi_request_write(request, at, 1), 1);
    assert_int_equal(fcgi_request_end(request, 0), 0);
    logs_expect(&l, cases[i].line);
    logs_finish(&l);
  }
}

static void test_large_bodies_and_files_count(void **state) {
  enum { LARGE = 100000 };
  logs l;
  char *data = calloc(1, LARGE);
  logs_begin(&l, *state, "%(s)s %(b)s");
  serving_restart(l.f);
  logs_get(&l, "/");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  FILE *file = tmpfile();
  assert_int_equal(fwrite(data, 1, LARGE, file), LARGE);
  fflush(file);
  assert_int_equal(fcgi_request_start(request, 206, NULL, 0), 0);
  assert_int_equal(fcgi_request_write(request, data, LARGE), LARGE);
  assert_int_equal(fcgi_request_send_file(request, fileno(file), 0, 70000), 0);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  logs_expect(&l, "206 170000\n");
  fclose(file);
  free(data);
  logs_finish(&l);
}

/* What a client that goes away does not take is not in the log. */
static void test_what_was_not_sent(void **state) {
  enum { HUGE = 4 * 1024 * 1024 };
  logs l;
  int status;
  long long bytes;
  char *data = calloc(1, HUGE);
  logs_begin(&l, *state, "%(s)s %(B)s");
  l.f->config.output_window = 2 * HUGE;
  serving_restart(l.f);
  logs_get(&l, "/");
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
  fcgi__logs_flush(l.f->server->observer.logs);
  assert_int_equal(sscanf(logs_read(&l, l.access), "%d %lld", &status, &bytes),
                   2);
  assert_int_equal(status, 200);
  assert_in_range(bytes, taken - 1000, 1024 * 1024);
  free(data);
  logs_finish(&l);
}

static void test_no_answer_is_a_dash(void **state) {
  logs l;
  logs_begin(&l, *state, "%(r)s %(s)s %(b)s");
  serving_restart(l.f);
  logs_get(&l, "/gone");
  fcgi_request *request = serving_take(l.f, FCGI_EVENT_REQUEST);
  close(l.f->client);
  l.f->client = -1;
  serving_idle(l.f, 50);
  fcgi_request_reply(request, 200, NULL, "hello", 5);
  logs_expect(&l, "GET /gone HTTP/1.1 - -\n");
  logs_finish(&l);
}

static void test_open_requests_are_logged_at_the_end(void **state) {
  logs l;
  logs_begin(&l, *state, "%(U)s %(s)s");
  serving_restart(l.f);
  logs_get(&l, "/open");
  serving_take(l.f, FCGI_EVENT_REQUEST);
  fcgi_server_free(l.f->server);
  l.f->server = NULL;
  assert_string_equal(logs_read(&l, l.access), "/open -\n");
  logs_finish(&l);
}

/* Every line of a refused request ends here; its parameters came as far. */
static void begin_of(logs *l, const char *method) {
  records *to = &l->f->text->sent;
  records_begin(to, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, 1, "REQUEST_METHOD", method);
  records_param(to, 1, "REQUEST_URI", "/no?q");
  records_param(to, 1, "REMOTE_ADDR", "192.0.2.7");
}

static void refuse_it(logs *l, const char *rest, size_t len) {
  records *to = &l->f->text->sent;
  records_params(to, 1, rest, len);
  records_params_end(to, 1);
  records_stdin_end(to, 1);
  serving_send(l->f);
  serving_idle(l->f, 50);
}

static void test_refused_requests_have_a_line(void **state) {
  logs l;
  logs_begin(&l, *state, "%(h)s %(r)s %(s)s %(b)s %({Content-Type}o)s");
  serving_restart(l.f);
  begin_of(&l, "GET");
  refuse_it(&l, "\1\1A\0", 4); /* A NUL in a value. */
  begin_of(&l, "HEAD");
  refuse_it(&l, "\5\5CU", 4); /* PARAMS end inside a pair. */
  begin_of(&l, "GET");
  refuse_it(&l, "\xff\xff\xff\xff\1", 5); /* Too large. */
  refuse_it(&l, "\1\1A\0", 4);            /* No request at all. */
  records_begin(&l.f->text->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  refuse_it(&l, "\1\1A\0", 4); /* Nothing is known of it. */
  logs_expect(&l, "192.0.2.7 GET /no?q 400 16 text/plain\n"
                  "192.0.2.7 HEAD /no?q 400 - text/plain\n"
                  "192.0.2.7 GET /no?q 431 36 text/plain\n"
                  "- - - 400 16 text/plain\n");
  logs_finish(&l);
}

/* What was refused is not shown, wherever its records were cut. */
static void test_a_path_with_a_nul_is_none(void **state) {
  static const char uri[] = "\13\7REQUEST_URI/a\0b?\0q";
  logs l;
  logs_begin(&l, *state, "%(r)s %(U)s %(s)s");
  serving_restart(l.f);
  for (size_t at = 0; at < sizeof uri - 1; at++) {
    records_begin(&l.f->text->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
    if (at > 0)
      records_params(&l.f->text->sent, 1, uri, at);
    records_params(&l.f->text->sent, 1, uri + at, sizeof uri - 1 - at);
    records_params_end(&l.f->text->sent, 1);
    records_stdin_end(&l.f->text->sent, 1);
    serving_send(l.f);
    while (strlen(logs_read(&l, l.access)) < 10 * (at + 1)) {
      serving_idle(l.f, 10);
      fcgi__logs_flush(l.f->server->observer.logs);
    }
    assert_string_equal(l.text + 10 * at, "- - - 400\n");
  }
  logs_finish(&l);
}

static void test_requests_beyond_the_limit_have_a_line(void **state) {
  logs l;
  records *to;
  logs_begin(&l, *state, "json");
  l.f->config.max_multiplexed = 1;
  serving_restart(l.f);
  to = &l.f->text->sent;
  records_open(to, 2);
  serving_send(l.f);
  serving_idle(l.f, 20);
  begin_of(&l, "GET");
  refuse_it(&l, "", 0);
  fcgi__logs_flush(l.f->server->observer.logs);
  assert_non_null(strstr(logs_read(&l, l.access),
                         "\"remote_addr\":null,\"remote_user\":null,"
                         "\"method\":null,\"uri\":null,"
                         "\"protocol\":null,\"host\":null,"
                         "\"status\":503,\"bytes\":24,\"duration_us\":0"));
  logs_finish(&l);
}

static void test_refusals_that_nobody_got(void **state) {
  logs l;
  records *to;
  logs_begin(&l, *state, "%(U)s %(s)s %(b)s");
  serving_restart(l.f);
  to = &l.f->text->sent;
  begin_of(&l, "GET");
  records_params(to, 1, "\1\1A\0", 4);
  serving_send(l.f);
  serving_idle(l.f, 20);
  close(l.f->client); /* Before PARAMS end: there was no answer. */
  l.f->client = -1;
  serving_idle(l.f, 50);
  logs_expect(&l, "");
  logs_finish(&l);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_combined_is_the_default),
      SERVING_TEST(test_atoms),
      SERVING_TEST(test_headers_of_the_request),
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
      SERVING_TEST(test_refused_requests_have_a_line),
      SERVING_TEST(test_a_path_with_a_nul_is_none),
      SERVING_TEST(test_requests_beyond_the_limit_have_a_line),
      SERVING_TEST(test_refusals_that_nobody_got),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
