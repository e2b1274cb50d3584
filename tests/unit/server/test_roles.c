/* SPDX-License-Identifier: MIT */
/* Roles at a server: authorizers, filters and custom ones. */
#include "support/failing.h"
#include "support/serving.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static fcgi_request *take_role(serving *f, uint16_t role) {
  records_begin(&f->text->sent, 1, role, FCGI_BEGIN_KEEP);
  records_params_end(&f->text->sent, 1);
  serving_send(f);
  return serving_take(f, FCGI_EVENT_REQUEST);
}

static fcgi_header variable(const char *name, const char *value) {
  return (fcgi_header){name, strlen(name), value, strlen(value)};
}

static void test_authorizer_allows_with_variables(void **state) {
  serving *f = *state;
  fcgi_request *request = take_role(f, FCGI_ROLE_AUTHORIZER);
  const fcgi_header variables[] = {variable("AUTH_USER", "ann"),
                                   variable("LEVEL", "")};
  assert_string_equal(fcgi_request_role_name(request), "authorizer");
  assert_int_equal(fcgi_request_allow(request, variables, 2), 0);
  serving_idle(f, 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n"
                    "Variable-AUTH_USER: ann\r\nVariable-LEVEL: \r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_authorizer_allows_without_variables(void **state) {
  serving *f = *state;
  assert_int_equal(
      fcgi_request_allow(take_role(f, FCGI_ROLE_AUTHORIZER), NULL, 0), 0);
  serving_idle(f, 0);
  serving_expect(f, "stdout 1 Status: 200 OK\r\n\r\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

/* What cannot be said must not become a yes. */
static void assert_denied(serving *f, fcgi_header bad) {
  fcgi_request *request = take_role(f, FCGI_ROLE_AUTHORIZER);
  const fcgi_header variables[] = {variable("A", "b"), bad};
  assert_int_equal(fcgi_request_allow(request, variables, 2), FCGI_ERR_INVALID);
  serving_idle(f, 0);
  serving_expect(f, "stdout 1 Status: 500 Internal Server Error\r\n"
                    "Content-Type: text/plain\r\n"
                    "Content-Length: 26\r\n\r\n"
                    "500 Internal Server Error\n\n"
                    "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_authorizer_never_allows_by_mistake(void **state) {
  serving *f = *state;
  assert_denied(f, variable("", "x"));
  assert_denied(f, variable("A B", "x"));
  assert_denied(f, variable("A", "x\r\nVariable-ADMIN: 1"));
  assert_denied(f, (fcgi_header){"A", 1, "x\0y", 3});
}

/* Whichever allocation fails, the peer never gets an end without a status: that
   would be a yes. It gets all of the yes, a no, or a broken connection. */
static void test_authorizer_never_allows_for_lack_of_memory(void **state) {
  serving *f = *state;
  failing memory = {.until_failure = -1};
  char name[2000] = ""; /* Too long for a head that is made on the stack. */
  char bytes[4000];
  memset(name, 'a', sizeof name - 1);
  const fcgi_header user = variable("AUTH_USER", name);
  f->config.allocator = failing_allocator(&memory);
  for (long n = 0; n < 40; n++) {
    fcgi_server_event event = {.size = sizeof event};
    memory.until_failure = -1;
    serving_restart(f);
    serving_idle(f, 10);
    memory.until_failure = n;
    records_begin(&f->text->sent, 1, FCGI_ROLE_AUTHORIZER, 0);
    records_params_end(&f->text->sent, 1);
    serving_send(f);
    if (fcgi_server_next(f->server, &event, 50) == 1)
      fcgi_request_allow(event.request, &user, 1);
    fcgi_server_next(f->server, &event, 0);
    ssize_t len = recv(f->client, bytes, sizeof bytes, MSG_DONTWAIT);
    if (len > 0)
      assert_non_null(memmem(bytes, (size_t)len, "Status: ", 8));
  }
  memory.until_failure = -1;
  f->config.allocator = (fcgi_allocator){0};
  serving_restart(f);
  assert_int_equal(memory.live, 0);
  assert_true(memory.failures > 3);
}

static void send_filter(serving *f, const char *length, const char *modified) {
  records *sent = &f->text->sent;
  records_begin(sent, 1, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  records_param(sent, 1, "CONTENT_LENGTH", "4");
  records_param(sent, 1, "FCGI_DATA_LENGTH", length);
  records_param(sent, 1, "FCGI_DATA_LAST_MOD", modified);
  records_params_end(sent, 1);
  records_stdin(sent, 1, "form");
  records_stdin_end(sent, 1);
  records_data(sent, 1, "the file");
  records_data_end(sent, 1);
  serving_send(f);
}

/* A stream to its end or to an error, which is returned. */
static ptrdiff_t read_all(fcgi_request *request,
                          ptrdiff_t (*read)(fcgi_request *, void *, size_t),
                          char *out) {
  ptrdiff_t got;
  while ((got = read(request, out, 3)) > 0)
    out += got;
  *out = '\0';
  return got;
}

static void check_filter(serving *f) {
  char text[80];
  send_filter(f, "8", "1700000000");
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_data_length(request), 8);
  assert_int_equal(fcgi_request_data_modified(request), 1700000000);
  assert_int_equal(read_all(request, fcgi_request_read, text), 0);
  assert_string_equal(text, "form");
  assert_int_equal(read_all(request, fcgi_request_read_data, text), 0);
  assert_string_equal(text, "the file");
  fcgi_request_end(request, 0);
  serving_idle(f, 0);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_filter_reads_both_streams(void **state) {
  serving *f = *state;
  check_filter(f);
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  check_filter(f);
}

static void test_filter_reads_data_first_when_collected(void **state) {
  serving *f = *state;
  char text[80];
  send_filter(f, "8", "0");
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(read_all(request, fcgi_request_read_data, text), 0);
  assert_string_equal(text, "the file");
  assert_int_equal(read_all(request, fcgi_request_read, text), 0);
  assert_string_equal(text, "form");
  fcgi_request_end(request, 0);
}

/* A whole DATA stream above `body_memory`, so that it lies in a file. */
static void test_filter_collects_much_data(void **state) {
  serving *f = *state;
  char chunk[1000], got[1000];
  ptrdiff_t len;
  size_t total = 0;
  f->config.body_memory = 100;
  serving_restart(f);
  memset(chunk, 'd', sizeof chunk);
  records_begin(&f->text->sent, 1, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  records_params_end(&f->text->sent, 1);
  records_stdin_end(&f->text->sent, 1);
  for (int i = 0; i < 50; i++)
    records_put(&f->text->sent, FCGI_RECORD_DATA, 1, chunk, sizeof chunk, 7);
  records_data_end(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_read(request, got, sizeof got), 0);
  while ((len = fcgi_request_read_data(request, got, sizeof got)) > 0)
    total += (size_t)len;
  assert_int_equal(len, 0);
  assert_int_equal(total, 50000);
  fcgi_request_end(request, 0);
}

static void check_truncated(serving *f) {
  char text[80];
  send_filter(f, "9", "x");
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_data_modified(request), -1);
  assert_int_equal(read_all(request, fcgi_request_read, text), 0);
  assert_int_equal(read_all(request, fcgi_request_read_data, text),
                   FCGI_ERR_TRUNCATED);
  assert_string_equal(text, "the file");
  fcgi_request_end(request, 0);
}

static void test_filter_tells_cut_data(void **state) {
  serving *f = *state;
  check_truncated(f);
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  check_truncated(f);
}

/* The answer goes out at once; END_REQUEST follows the end of DATA. */
static void test_filter_answers_without_reading_data(void **state) {
  serving *f = *state;
  records *sent = &f->text->sent;
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  fcgi_request *request = take_role(f, FCGI_ROLE_FILTER);
  assert_int_equal(fcgi_request_reply(request, 304, "text/plain", NULL, 0), 0);
  serving_idle(f, 0);
  serving_expect(f, "stdout 1 Content-Type: text/plain\r\n"
                    "Status: 304 Not Modified\r\n\r\n\nstdout_end 1\n");
  records_stdin_end(sent, 1);
  records_data(sent, 1, "\1\1\0\1\0\10\0\0");
  serving_send(f);
  serving_idle(f, 50);
  serving_expect(f, "");
  records_data_end(sent, 1);
  serving_send(f);
  serving_idle(f, 50);
  serving_expect(f, "end 1 app=0 status=0\n");
}

/* Each stream has its own end: STDIN was whole before DATA was cut. */
static void test_filter_whose_data_is_cut_has_its_stdin(void **state) {
  serving *f = *state;
  records *sent = &f->text->sent;
  char text[80];
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  records_begin(sent, 1, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  records_params_end(sent, 1);
  records_stdin(sent, 1, "form");
  records_stdin_end(sent, 1);
  records_data(sent, 1, "part");
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  close(f->client);
  f->client = -1;
  assert_int_equal(read_all(request, fcgi_request_read_data, text),
                   FCGI_ERR_ABORTED);
  assert_string_equal(text, "part");
  assert_int_equal(read_all(request, fcgi_request_read, text), 0);
  assert_string_equal(text, "form");
  fcgi_request_end(request, 0);
}

/* Nothing is wrong with an answer that has been given. */
static void test_a_failure_that_comes_too_late_breaks_nothing(void **state) {
  serving *f = *state;
  f->config.body = FCGI_BODY_STREAM;
  serving_restart(f);
  fcgi_request *request = take_role(f, FCGI_ROLE_RESPONDER);
  assert_int_equal(fcgi_request_end(request, 0), 0);
  assert_int_equal(fcgi_request_reply(request, 500, NULL, "", 0),
                   FCGI_ERR_STATE);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  serving_idle(f, 20);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
  assert_false(serving_is_closed(f, 0));
}

static void test_responder_has_no_data(void **state) {
  serving *f = *state;
  char byte;
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_read_data(request, &byte, 1), 0);
  assert_int_equal(fcgi_request_data_length(request), -1);
  assert_int_equal(fcgi_request_data_modified(request), -1);
  fcgi_request_end(request, 0);
}

static void set_custom(serving *f, fcgi_role_streams streams) {
  char name[] = "oracle";
  fcgi_role_spec roles[] = {FCGI_ROLE_SPEC_RESPONDER, {77, streams, name}};
  assert_int_equal(fcgi_server_set_roles(f->server, roles, 2), 0);
  name[0] = 'X'; /* It was copied. */
  roles[1].number = 78;
}

static void test_custom_role_without_streams_starts_at_once(void **state) {
  serving *f = *state;
  set_custom(f, FCGI_STREAMS_NONE);
  fcgi_request *request = take_role(f, 77);
  assert_int_equal(fcgi_request_role(request), 77);
  assert_string_equal(fcgi_request_role_name(request), "oracle");
  fcgi_request_end(request, 0);
  serving_idle(f, 0);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
}

static void test_custom_role_collects_its_stdin(void **state) {
  serving *f = *state;
  char text[80];
  set_custom(f, FCGI_STREAMS_STDIN);
  records_begin(&f->text->sent, 1, 77, FCGI_BEGIN_KEEP);
  records_params_end(&f->text->sent, 1);
  records_stdin(&f->text->sent, 1, "question");
  serving_send(f);
  serving_idle(f, 20);
  records_stdin_end(&f->text->sent, 1);
  serving_send(f);
  fcgi_request *request = serving_take(f, FCGI_EVENT_REQUEST);
  assert_int_equal(read_all(request, fcgi_request_read, text), 0);
  assert_string_equal(text, "question");
  fcgi_request_end(request, 0);
}

static void test_role_not_served_is_unknown(void **state) {
  serving *f = *state;
  set_custom(f, FCGI_STREAMS_STDIN);
  records_begin(&f->text->sent, 1, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  records_params_end(&f->text->sent, 1);
  serving_send(f);
  serving_idle(f, 20);
  serving_expect(f, "end 1 app=0 status=3\n");
}

static void assert_bad_roles(serving *f, fcgi_role_spec a, fcgi_role_spec b) {
  const fcgi_role_spec roles[] = {a, b};
  assert_int_equal(fcgi_server_set_roles(f->server, roles, 2),
                   FCGI_ERR_INVALID);
}

static void test_roles_are_checked(void **state) {
  serving *f = *state;
  const fcgi_role_spec good = {77, FCGI_STREAMS_STDIN, "a"};
  assert_int_equal(fcgi_server_set_roles(f->server, &good, 0),
                   FCGI_ERR_INVALID);
  assert_bad_roles(f, good, (fcgi_role_spec){0, FCGI_STREAMS_STDIN, "b"});
  assert_bad_roles(f, good, (fcgi_role_spec){78, FCGI_STREAMS_STDIN, NULL});
  assert_bad_roles(f, good, (fcgi_role_spec){78, FCGI_STREAMS_STDIN, ""});
  assert_bad_roles(f, good, (fcgi_role_spec){77, FCGI_STREAMS_STDIN, "b"});
  assert_bad_roles(f, good, (fcgi_role_spec){78, FCGI_STREAMS_STDIN, "a"});
  assert_bad_roles(f, good, (fcgi_role_spec){2, FCGI_STREAMS_STDIN, "b"});
  assert_int_equal(fcgi_server_set_roles(f->server, &good, 1), 0);
}

static void test_roles_are_fixed_once_a_peer_has_come(void **state) {
  serving *f = *state;
  const fcgi_role_spec role = FCGI_ROLE_SPEC_RESPONDER;
  serving_idle(f, 20); /* Accepts the fixture's client. */
  assert_int_equal(fcgi_server_set_roles(f->server, &role, 1), FCGI_ERR_STATE);
}

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      SERVING_TEST(test_authorizer_allows_with_variables),
      SERVING_TEST(test_authorizer_allows_without_variables),
      SERVING_TEST(test_authorizer_never_allows_by_mistake),
      SERVING_TEST(test_authorizer_never_allows_for_lack_of_memory),
      SERVING_TEST(test_filter_reads_both_streams),
      SERVING_TEST(test_filter_reads_data_first_when_collected),
      SERVING_TEST(test_filter_collects_much_data),
      SERVING_TEST(test_filter_tells_cut_data),
      SERVING_TEST(test_filter_answers_without_reading_data),
      SERVING_TEST(test_filter_whose_data_is_cut_has_its_stdin),
      SERVING_TEST(test_a_failure_that_comes_too_late_breaks_nothing),
      SERVING_TEST(test_responder_has_no_data),
      SERVING_TEST(test_custom_role_without_streams_starts_at_once),
      SERVING_TEST(test_custom_role_collects_its_stdin),
      SERVING_TEST(test_role_not_served_is_unknown),
      SERVING_TEST(test_roles_are_checked),
      SERVING_TEST(test_roles_are_fixed_once_a_peer_has_come),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
