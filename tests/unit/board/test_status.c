/* SPDX-License-Identifier: MIT */
/* The status page: who gets it, and what its numbers are. */
#include "os/backlog.h"
#include "server/server.h"
#include "support/serving.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct answer {
  char *text; /* STDOUT, with a NUL. */
  size_t len; /* Without it. */
} answer;

/* The server answers while it is waited on; nothing is given out. */
static answer receive(serving *f) {
  answer got = {.text = calloc(1, 1)};
  for (int ended = 0; !ended;) {
    uint8_t header[8], content[65536 + 255];
    size_t len, rest;
    serving_idle(f, 1);
    if (recv(f->client, header, 8, MSG_PEEK | MSG_DONTWAIT) < 8)
      continue;
    recv(f->client, header, 8, 0);
    len = (size_t)(header[4] << 8 | header[5]);
    rest = len + header[6];
    assert_int_equal(recv(f->client, content, rest, MSG_WAITALL), rest);
    ended = header[1] == FCGI_RECORD_END_REQUEST;
    if (header[1] != FCGI_RECORD_STDOUT)
      continue;
    got.text = realloc(got.text, got.len + len + 1);
    memcpy(got.text + got.len, content, len);
    got.len += len;
    got.text[got.len] = '\0';
  }
  return got;
}

static void ask(serving *f, const char *const *params) {
  records *to = &f->text->sent;
  records_begin(to, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_param(to, 1, "REQUEST_METHOD", "GET");
  for (; *params; params += 2)
    records_param(to, 1, params[0], params[1]);
  records_params_end(to, 1);
  records_stdin_end(to, 1);
  serving_send(f);
}

static answer page(serving *f, const char *query) {
  const char *const params[] = {"SCRIPT_NAME", "/status", "QUERY_STRING", query,
                                NULL};
  ask(f, params);
  return receive(f);
}

/* The page as a client with an Accept header gets it. */
static void expect_accepted(serving *f, const char *accept, const char *query,
                            const char *text) {
  const char *const params[] = {"SCRIPT_NAME", "/status",      "HTTP_ACCEPT",
                                accept,        "QUERY_STRING", query,
                                NULL};
  answer got;
  ask(f, params);
  got = receive(f);
  if (!strstr(got.text, text))
    fail_msg("no \"%s\" in \"%s\"", text, got.text);
  free(got.text);
}

static void expect_in(serving *f, const char *query, const char *text) {
  answer got = page(f, query);
  if (!strstr(got.text, text))
    fail_msg("no \"%s\" in \"%s\"", text, got.text);
  free(got.text);
}

static void restart(serving *f) {
  f->config.status_path = "/status";
  serving_restart(f);
}

static void serve(serving *f, const char *path, int status) {
  const char *const params[] = {"SCRIPT_NAME", path, NULL};
  ask(f, params);
  fcgi_request_reply(serving_take(f, FCGI_EVENT_REQUEST), status, "text/plain",
                     "x", 1);
  free(receive(f).text);
}

static void test_formats(void **state) {
  serving *f = *state;
  restart(f);
  expect_in(f, "html", "Content-Type: text/html; charset=utf-8\r\n");
  expect_in(f, "", "Cache-Control: no-store\r\n");
  expect_in(f, "html", "<h2>Workers</h2>");
  expect_in(f, "json", "Content-Type: application/json\r\n");
  expect_in(f, "openmetrics", "application/openmetrics-text; version=1.0.0");
  expect_in(f, "openmetrics=", "application/openmetrics-text; version=1.0.0");
  expect_in(f, "", "\r\n\r\npool:                 fastcgi\nprocess manager:");
  expect_in(f, "", "accepted conn:        1\n");
  expect_in(f, "full", "max children reached: 0\n");
  expect_in(f, "text", "status pages:        9\n");
  expect_in(f, "x&json&full", "\"max children reached\":0");
  expect_in(f, "jsonx&_=1", "pool:                 fastcgi\n");
  expect_in(f, "xml", "<max-children-reached>0</max-children-reached>\n");
}

static void test_accepted_formats(void **state) {
  static const char browser[] = "text/html,application/xhtml+xml,*/*;q=0.8";
  static const char prometheus[] =
      "application/openmetrics-text;version=1.0.0;q=0.5,"
      "text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
  serving *f = *state;
  restart(f);
  expect_accepted(f, browser, "", "<h2>Workers</h2>");
  expect_accepted(f, browser, "_=1", "<h2>Workers</h2>");
  expect_accepted(f, browser, "json", "\"pool\":\"fastcgi\"");
  expect_accepted(f, browser, "full", "\n************************\npid:");
  expect_accepted(f, prometheus, "", "\nfastcgi_requests_total 0\n");
  expect_accepted(f, "*/*", "", "pool:                 fastcgi\n");
}

static void test_ping(void **state) {
  static const char *const params[] = {"SCRIPT_NAME", "/ping", NULL};
  serving *f = *state;
  answer got;
  f->config.ping_path = "/ping";
  serving_restart(f);
  ask(f, params);
  got = receive(f);
  assert_non_null(strstr(got.text, "Content-Type: text/plain"));
  assert_string_equal(strstr(got.text, "\r\n\r\n"), "\r\n\r\npong");
  free(got.text);
  serve(f, "/status", 200);
  serve(f, "/ping/", 200);
  f->config.ping_path = "";
  serving_restart(f);
  serve(f, "/ping", 200);
}

/* What waits in handlers for long is marked, and the oldest is shown first. */
static void test_hung_handlers_are_marked(void **state) {
  fcgi__status_request requests[] = {
      {.shown = {FCGI_PHASE_HANDLER, 5, 0, "GET", "/a"}},
      {.shown = {FCGI_PHASE_HANDLER, FCGI__HUNG_US, 0, "GET", "/b"}},
      {.shown = {FCGI_PHASE_QUEUED, 2 * FCGI__HUNG_US, 0, "GET", "/c"}}};
  fcgi__status_worker worker = {.shown = {.pid = 7, .request_count = 3},
                                .requests = requests};
  fcgi__status status = {.shown = {.worker_count = 1, .request_count = 3},
                         .workers = &worker};
  char *text;
  size_t len;
  (void)state;
  assert_int_equal(
      fcgi_status_render(&status.shown, FCGI_STATUS_AS_HTML, &text, &len), 0);
  assert_non_null(strstr(text, "<td class=queued>queued<td>20.00 s<td>GET"
                               "<td class=path>/c<tr><td>7<td class=hung>"
                               "handler<td class=hung>10.00 s<td>GET"
                               "<td class=path>/b<tr><td>7<td class=handler>"
                               "handler<td>0.01 ms<td>GET<td class=path>/a"));
  fcgi_status_text_free(text);
}

/* As the tools for PHP-FPM's page want it: those that are idle too. */
static void test_processes_as_php_fpm_has_them(void **state) {
  serving *f = *state;
  char expected[160];
  restart(f);
  serve(f, "/a", 200);
  snprintf(expected, sizeof expected,
           "\"processes\":[{\"pid\":%ld,\"state\":\"Idle\",\"start time\":",
           (long)getpid());
  expect_in(f, "json&full", expected);
  expect_in(f, "json&full",
            "\"requests\":1,\"request duration\":0,\"request method\":\"-\","
            "\"request uri\":\"-\",\"content length\":0,\"user\":\"-\","
            "\"script\":\"-\",\"last request cpu\":0.00,"
            "\"last request memory\":0}],\"fastcgi\":{");
  const char *const params[] = {"SCRIPT_NAME", "/busy\"", NULL};
  ask(f, params);
  serving_take(f, FCGI_EVENT_REQUEST);
  int other = serving_connect(f);
  close(f->client);
  f->client = other;
  expect_in(f, "json&full", "\"state\":\"Running\"");
}

static void test_numbers_are_of_what_was_done(void **state) {
  serving *f = *state;
  restart(f);
  serve(f, "/a", 200);
  serve(f, "/b", 404);
  serve(f, "/c", 500);
  expect_in(f, "json", "\"requests\":3,\"finished\":3,\"queued\":0");
  expect_in(f, "json",
            "\"responses_2xx\":1,\"responses_3xx\":0,"
            "\"responses_4xx\":1,\"responses_5xx\":1,");
  expect_in(f, "openmetrics", "\nfastcgi_responses_total{class=\"4xx\"} 1\n");
  expect_in(f, "openmetrics", "\nfastcgi_request_duration_seconds_count 3\n");
}

static void test_requests_under_way(void **state) {
  serving *f = *state;
  const char *const params[] = {"SCRIPT_NAME", "/a<b>\"\x1b[2J\xff",
                                "PATH_INFO", "/c", NULL};
  int watcher, first;
  restart(f);
  ask(f, params);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  first = f->client;
  watcher = f->client = serving_connect(f);
  expect_in(f, "json", "\"phase\":\"handler\",\"age_us\":");
  expect_in(f, "json",
            "\"method\":\"GET\",\"path\":\"/a<b>\\\"\\u001b[2J\\ufffd/c\"}");
  expect_in(f, "html", "<td>GET<td class=path>/a&#60;b&#62;&#34;?[2J?/c");
  expect_in(f, "text", "GET /a<b>\"?[2J?/c\n");
  fcgi_request_end(request, 0);
  f->client = first;
  free(receive(f).text);
  expect_in(f, "json", "\"in_flight\":[]");
  close(watcher);
}

/* Such a request has no status. */
static void test_no_answer_is_of_no_class(void **state) {
  serving *f = *state;
  const char *const params[] = {"SCRIPT_NAME", "/none", NULL};
  restart(f);
  ask(f, params);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  free(receive(f).text);
  expect_in(f, "json", "\"requests\":1,\"finished\":1,\"queued\":0");
  expect_in(f, "json", "\"overdue\":0,\"responses_1xx\":0,");
  expect_in(f, "json", "\"responses_5xx\":0,");
}

/* The status of raw CGI output is in its own words. */
static void test_raw_answers_are_classed(void **state) {
  static const char *const heads[] = {
      "Status: 302 Found\r\nLocation: /\r\n\r\n",
      "Content-Type: text/plain\nstatus:503\n\nStatus: 200\n",
      "Content-Type: text/plain\r\n\r\nStatus: 404\r\n"};
  serving *f = *state;
  const char *const params[] = {"SCRIPT_NAME", "/raw", NULL};
  restart(f);
  for (int i = 0; i < 3; i++) {
    ask(f, params);
    fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
    fcgi_request_write(request, heads[i], strlen(heads[i]));
    fcgi_request_end(request, 0);
    free(receive(f).text);
  }
  expect_in(f, "json",
            "\"responses_2xx\":1,\"responses_3xx\":1,"
            "\"responses_4xx\":0,\"responses_5xx\":1,");
}

static void test_more_requests_than_entries(void **state) {
  serving *f = *state;
  enum { MANY = FCGI__BOARD_ENTRIES + 6 };
  fcgi_request *requests[MANY];
  char text[64];
  int first;
  restart(f);
  for (uint16_t id = 1; id <= MANY; id++)
    records_get(&f->text->sent, id);
  serving_send(f);
  for (int i = 0; i < MANY; i++)
    requests[i] = serving_take(f, FCGI_EVENT_REQUEST);
  first = f->client;
  f->client = serving_connect(f);
  snprintf(text, sizeof text, "\"active\":%d,\"active_max\":%d", MANY, MANY);
  expect_in(f, "json", text);
  close(f->client);
  f->client = first;
  for (int i = 0; i < MANY; i++)
    fcgi_request_end(requests[i], 0);
}

/* By SCRIPT_NAME and PATH_INFO together, which is what the web server has
   judged; never by a part of them, and never by the URI. */
static void test_paths_that_ask_for_it(void **state) {
  static const char *const good[][5] = {
      {"SCRIPT_NAME", "/status", NULL},
      {"PATH_INFO", "/status", NULL},
      {"SCRIPT_NAME", "/sta", "PATH_INFO", "tus", NULL},
      {"SCRIPT_NAME", "", "PATH_INFO", "/status", NULL},
      {"REQUEST_URI", "/sub/status", "SCRIPT_NAME", "/status", NULL},
  };
  static const char *const bad[][5] = {
      {"SCRIPT_NAME", "/statu", NULL},
      {"SCRIPT_NAME", "/status/", NULL},
      {"SCRIPT_NAME", "/status", "PATH_INFO", "/more", NULL},
      {"REQUEST_URI", "/status/x", NULL},
      {"QUERY_STRING", "/status", NULL},
      {"REQUEST_URI", "/status?x=/y", "SCRIPT_NAME", "/front", NULL},
      {"SCRIPT_NAME", "/app", "PATH_INFO", "/status", NULL},
  };
  serving *f = *state;
  restart(f);
  for (int i = 0; i < 5; i++) {
    ask(f, good[i]);
    answer got = receive(f);
    assert_non_null(strstr(got.text, "accepted conn:"));
    free(got.text);
  }
  for (int i = 0; i < 7; i++) {
    ask(f, bad[i]);
    fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
    free(receive(f).text);
  }
}

static void test_only_where_it_is_wanted(void **state) {
  serving *f = *state;
  serve(f, "/status", 200);
  f->config.status_path = "";
  setenv("FASTCGI_STATUS_PATH", "/status", 1);
  serving_restart(f);
  serve(f, "/status", 200);
  f->config.status_path = NULL;
  serving_restart(f);
  expect_in(f, "json", "\"requests\":0");
  unsetenv("FASTCGI_STATUS_PATH");
  f->config.status_path = "status";
  fcgi_server *server;
  assert_int_equal(fcgi_server_new(&server, &f->config, NULL, 0),
                   FCGI_ERR_INVALID);
}

static void test_multiplexing_by_setting(void **state) {
  static const struct {
    const char *text; /* Of the variable; NULL leaves it out. */
    int given;        /* In the configuration. */
    int wanted;       /* What a session is told. */
  } rows[] = {{NULL, 0, 0}, {"1", 0, 1},  {"On", 0, 1},
              {"0", 0, 0},  {"no", 0, 0}, {"", 0, 0},
              {NULL, 1, 1}, {"0", 1, 1},  {"1", -1, 0}};
  serving *f = *state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].text)
      setenv("FASTCGI_NO_MULTIPLEX", rows[i].text, 1);
    f->config.no_multiplex = rows[i].given;
    serving_restart(f);
    unsetenv("FASTCGI_NO_MULTIPLEX");
    assert_int_equal(f->server->session_config.no_multiplex, rows[i].wanted);
  }
}

static void test_memory_by_setting(void **state) {
  static const struct {
    const char *text;          /* Of the variables; NULL leaves them out. */
    size_t given;              /* In the configuration. */
    size_t connection, server; /* What is allowed. */
  } rows[] = {{NULL, 0, 4u << 20, 256u << 20}, {"64K", 0, 65536, 65536},
              {"5000", 0, 5000, 5000},         {"3M", 7000, 7000, 7000},
              {"1G", 0, 1u << 30, 1u << 30},   {"", 0, 4u << 20, 256u << 20}};
  serving *f = *state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].text) {
      setenv("FASTCGI_CONNECTION_MEMORY", rows[i].text, 1);
      setenv("FASTCGI_SERVER_MEMORY", rows[i].text, 1);
    }
    f->config.connection_memory = f->config.server_memory = rows[i].given;
    serving_restart(f);
    unsetenv("FASTCGI_CONNECTION_MEMORY");
    unsetenv("FASTCGI_SERVER_MEMORY");
    assert_int_equal(f->server->config.connection_memory, rows[i].connection);
    assert_int_equal(f->server->session_config.memory, rows[i].connection);
    assert_int_equal(f->server->config.server_memory, rows[i].server);
  }
}

static void test_bad_settings_are_refused(void **state) {
  static const char *const rows[][2] = {
      {"FASTCGI_NO_MULTIPLEX", "what"},
      {"FASTCGI_CONNECTION_MEMORY", "0"},
      {"FASTCGI_CONNECTION_MEMORY", "-1"},
      {"FASTCGI_CONNECTION_MEMORY", "4m"},
      {"FASTCGI_SERVER_MEMORY", "4MB"},
      {"FASTCGI_SERVER_MEMORY", "99999999999G"},
      {"FASTCGI_STATUS_PATH", "status"},
      {"FASTCGI_REQUEST_TIMEOUT", "soon"},
      {"FASTCGI_SLOW_LOG", "-1"}};
  const serving *f = *state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    fcgi_server *server;
    char why[512] = "";
    setenv(rows[i][0], rows[i][1], 1);
    assert_int_equal(fcgi_server_new(&server, &f->config, why, sizeof why),
                     FCGI_ERR_INVALID);
    unsetenv(rows[i][0]);
    assert_non_null(strstr(why, rows[i][0]));
  }
}

static void test_a_good_setting_counts(void **state) {
  serving *f = *state;
  setenv("FASTCGI_REQUEST_TIMEOUT", "1.5", 1);
  serving_restart(f);
  unsetenv("FASTCGI_REQUEST_TIMEOUT");
  assert_int_equal(f->server->config.request_timeout_ms, 1500);
}

/* As a supervisor has it: the slot is given, and is marked by the server. */
static void test_a_supervisors_board(void **state) {
  serving *f = *state;
  fcgi__board board;
  char value[64];
  assert_int_equal(fcgi__board_new(&board, 4), 0);
  fcgi__board_take(&board, 1);
  int slot = fcgi__board_take(&board, 1);
  snprintf(value, sizeof value, "%ld:%d:%d", (long)getpid(), dup(board.fd),
           slot);
  setenv("FASTCGI_SCOREBOARD", value, 1);
  restart(f);
  serve(f, "/a", 200);
  unsetenv("FASTCGI_SCOREBOARD");
  fcgi__board_slot *at = fcgi__board_slot_at(&board, slot);
  assert_int_equal(atomic_load(&at->state), FCGI_WORKER_READY);
  assert_int_equal(atomic_load(&at->pid), getpid());
  assert_int_equal(fcgi__board_requests(&board, slot), 1);
  expect_in(f, "json", "\"state\":\"starting\"");
  fcgi_server_stop(f->server, FCGI_STOP_GRACEFUL);
  fcgi_server_event event = {.size = sizeof event};
  fcgi_server_next(f->server, &event, 10);
  assert_int_equal(atomic_load(&at->state), FCGI_WORKER_DRAINING);
  fcgi__board_free(&board);
}

static void test_connections_that_wait(void **state) {
  serving *f = *state;
  int waiting[3];
  fcgi__backlog before = fcgi__backlog_read(f->server->listeners[0].fd);
  assert_int_equal(before.length, 1); /* The client's own. */
  assert_true(before.limit > 1);
  for (int i = 0; i < 3; i++)
    waiting[i] = serving_connect(f);
  assert_int_equal(fcgi__backlog_read(f->server->listeners[0].fd).length, 4);
  for (int i = 0; i < 3; i++)
    close(waiting[i]);
  assert_int_equal(fcgi_server_listen(f->server, "127.0.0.1:0"), 0);
  assert_int_equal(fcgi__backlog_read(f->server->listeners[1].fd).length, 0);
  assert_int_equal(fcgi__backlog_read(-1).length, -1);
}

static void test_queues_are_shown(void **state) {
  serving *f = *state;
  restart(f);
  expect_in(f, "json", "\"listen_queue\":0,\"listen_queue_max\":0,");
}

static void test_no_board_for_another_process(void **state) {
  serving *f = *state;
  setenv("FASTCGI_SCOREBOARD", "1:0:0", 1);
  serving_restart(f);
  serve(f, "/a", 200);
  unsetenv("FASTCGI_SCOREBOARD");
  assert_null(atomic_load(&f->server->observer.slot));
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_formats),
      SERVING_TEST(test_accepted_formats),
      SERVING_TEST(test_ping),
      SERVING_TEST(test_hung_handlers_are_marked),
      SERVING_TEST(test_processes_as_php_fpm_has_them),
      SERVING_TEST(test_numbers_are_of_what_was_done),
      SERVING_TEST(test_requests_under_way),
      SERVING_TEST(test_no_answer_is_of_no_class),
      SERVING_TEST(test_raw_answers_are_classed),
      SERVING_TEST(test_more_requests_than_entries),
      SERVING_TEST(test_paths_that_ask_for_it),
      SERVING_TEST(test_only_where_it_is_wanted),
      SERVING_TEST(test_multiplexing_by_setting),
      SERVING_TEST(test_memory_by_setting),
      SERVING_TEST(test_bad_settings_are_refused),
      SERVING_TEST(test_a_good_setting_counts),
      SERVING_TEST(test_a_supervisors_board),
      SERVING_TEST(test_connections_that_wait),
      SERVING_TEST(test_queues_are_shown),
      SERVING_TEST(test_no_board_for_another_process),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
