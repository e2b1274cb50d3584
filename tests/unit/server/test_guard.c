/* SPDX-License-Identifier: MIT */
/* Who may connect to a server, over real sockets. */
#include "support/failing.h"
#include "support/lines.h"
#include "support/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fastcgi/fastcgi.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char variable[] = "FCGI_WEB_SERVER_ADDRS";

/* A server and what it has logged. */
typedef struct guarded {
  fcgi_server *server;       /* Under test, or NULL. */
  fcgi_server_config config; /* For open_server. */
  log_lines log;             /* What it logs. */
} guarded;

static int set_up(void **state) {
  guarded *g = calloc(1, sizeof *g);
  unsetenv(variable);
  g->config = (fcgi_server_config){.size = sizeof g->config};
  lines_begin(&g->log, &g->config);
  *state = g;
  return 0;
}

static int tear_down(void **state) {
  guarded *g = *state;
  fcgi_server_free(g->server);
  free(g);
  unsetenv(variable);
  return 0;
}

static int open_server(guarded *g, const char *address) {
  fcgi_server_free(g->server);
  assert_int_equal(fcgi_server_new(&g->server, &g->config, NULL, 0), 0);
  return fcgi_server_listen(g->server, address);
}

static int connect_tcp(guarded *g) {
  char text[80];
  struct sockaddr_in to = {.sin_family = AF_INET};
  assert_int_equal(fcgi_server_address(g->server, 0, text, sizeof text), 0);
  to.sin_port = htons((uint16_t)atoi(strrchr(text, ':') + 1));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
  return client;
}

static int connect_tcp6(guarded *g) {
  char text[80];
  struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                            .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  assert_int_equal(fcgi_server_address(g->server, 0, text, sizeof text), 0);
  to.sin6_port = htons((uint16_t)atoi(strrchr(text, ':') + 1));
  int client = socket(AF_INET6, SOCK_STREAM, 0);
  assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
  return client;
}

static int connect_unix(guarded *g) {
  char text[160];
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  assert_int_equal(fcgi_server_address(g->server, 0, text, sizeof text), 0);
  size_t len = strlen(text + 6);
  memcpy(to.sun_path + 1, text + 6, len);
  int client = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t size =
      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
  assert_int_equal(connect(client, (struct sockaddr *)&to, size), 0);
  return client;
}

/* 1 when the server serves a request from `client`, 0 when it has closed the
   connection without a byte. Closes it. */
static int is_served(guarded *g, int client) {
  static const uint8_t get[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
                                1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0};
  fcgi_server_event event = {.size = sizeof event};
  struct pollfd at = {.fd = client, .events = POLLIN};
  char byte;
  send(client, get, sizeof get, MSG_NOSIGNAL);
  int served = fcgi_server_next(g->server, &event, 200);
  if (served)
    fcgi_request_reply(event.request, 200, "text/plain", "x", 1);
  assert_int_equal(poll(&at, 1, 5000), 1);
  ssize_t len = recv(client, &byte, 1, 0);
  close(client);
  assert_int_equal(served, len == 1);
  return served;
}

static char *abstract(void) {
  static _Thread_local char address[80];
  snprintf(address, sizeof address, "unix:@fastcgi-guard-%ld", (long)getpid());
  return address;
}

static void test_guard_lets_in_who_is_listed(void **state) {
  guarded *g = *state;
  g->config.allow_from = "10.0.0.0/8, 127.0.0.1";
  assert_int_equal(open_server(g, "127.0.0.1:0"), 0);
  assert_true(is_served(g, connect_tcp(g)));
  assert_string_equal(lines_text(&g->log), "");
}

static void test_guard_copies_the_list(void **state) {
  guarded *g = *state;
  char list[] = "127.0.0.1";
  char users[16];
  snprintf(users, sizeof users, "%u", (unsigned)getuid());
  g->config.allow_from = list;
  g->config.peer_users = users;
  assert_int_equal(fcgi_server_new(&g->server, &g->config, NULL, 0), 0);
  list[0] = 'x';
  users[0] = 'x';
  assert_int_equal(fcgi_server_listen(g->server, "127.0.0.1:0"), 0);
  assert_true(is_served(g, connect_tcp(g)));
}

static void test_guard_closes_on_others(void **state) {
  guarded *g = *state;
  g->config.allow_from = "127.0.0.2, ::1";
  assert_int_equal(open_server(g, "127.0.0.1:0"), 0);
  assert_false(is_served(g, connect_tcp(g)));
  assert_string_equal(lines_text(&g->log),
                      "refused a connection from 127.0.0.1: not in "
                      "the allow list\n");
}

static void test_guard_knows_v6_peers(void **state) {
  guarded *g = *state;
  g->config.allow_from = "::1";
  assert_int_equal(open_server(g, "[::1]:0"), 0);
  assert_true(is_served(g, connect_tcp6(g)));
  g->config.allow_from = "::2/127, 127.0.0.1";
  assert_int_equal(open_server(g, "[::1]:0"), 0);
  assert_false(is_served(g, connect_tcp6(g)));
  assert_non_null(
      strstr(lines_text(&g->log), "from ::1: not in the allow list\n"));
}

static void test_guard_logs_a_flood_once(void **state) {
  guarded *g = *state;
  g->config.allow_from = "127.0.0.2";
  assert_int_equal(open_server(g, "127.0.0.1:0"), 0);
  for (int i = 0; i < 5; i++)
    assert_false(is_served(g, connect_tcp(g)));
  assert_int_equal(lines_count(&g->log, ""), 1);
}

static void test_guard_obeys_the_environment(void **state) {
  guarded *g = *state;
  setenv(variable, "127.0.0.2,127.0.0.3", 1);
  assert_int_equal(open_server(g, "127.0.0.1:0"), 0);
  assert_false(is_served(g, connect_tcp(g)));
  assert_non_null(
      strstr(lines_text(&g->log), "not in FCGI_WEB_SERVER_ADDRS\n"));
  setenv(variable, "127.0.0.2,127.0.0.1", 1);
  assert_int_equal(open_server(g, "127.0.0.1:0"), 0);
  assert_true(is_served(g, connect_tcp(g)));
}

static void test_guard_wants_both_lists(void **state) {
  guarded *g = *state;
  g->config.allow_from = "127.0.0.1,127.0.0.3";
  setenv(variable, "127.0.0.2,127.0.0.3", 1);
  assert_int_equal(open_server(g, "127.0.0.1:0"), 0);
  assert_false(is_served(g, connect_tcp(g)));
  g->config.allow_from = "127.0.0.2,127.0.0.3";
  setenv(variable, "127.0.0.1,127.0.0.3", 1);
  assert_int_equal(open_server(g, "127.0.0.1:0"), 0);
  assert_false(is_served(g, connect_tcp(g)));
}

static void assert_not_listened_with(guarded *g, const char *value,
                                     const char *says) {
  char line[160];
  setenv(variable, value, 1);
  assert_int_equal(open_server(g, "127.0.0.1:0"), FCGI_ERR_INVALID);
  snprintf(line, sizeof line, "FCGI_WEB_SERVER_ADDRS \"%s\"%s", value, says);
  assert_non_null(strstr(fcgi_server_message(g->server), line));
  assert_null(strchr(fcgi_server_message(g->server), '\n'));
  assert_int_equal(fcgi_server_listen(g->server, abstract()), 0);
  assert_true(is_served(g, connect_unix(g)));
}

static void test_guard_malformed_variable_is_not_listened_with(void **state) {
  assert_not_listened_with(*state, "", ": ");
  assert_not_listened_with(*state, "127.0.0.1,", ": ");
  assert_not_listened_with(*state, "127.0.0.1 localhost", ": ");
}

static void test_guard_disjoint_lists_are_not_listened_with(void **state) {
  guarded *g = *state;
  g->config.allow_from = "127.0.0.1";
  assert_not_listened_with(*state, "127.0.0.2", "; let them agree");
}

static void test_guard_malformed_list_is_not_listened_with(void **state) {
  guarded *g = *state;
  static const char *const wrong[] = {"", "127.0.0.1, nonsense", "10/8"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    g->config.allow_from = wrong[i];
    assert_int_equal(open_server(g, "127.0.0.1:0"), FCGI_ERR_INVALID);
    const char *message = fcgi_server_message(g->server);
    assert_non_null(strstr(message, "cannot listen: allow list"));
    assert_null(strchr(message, '\n'));
  }
}

static void test_guard_needs_a_list_beyond_loopback(void **state) {
  guarded *g = *state;
  static const char *const open[] = {"0.0.0.0:0", "[::]:0"};
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(open_server(g, open[i]), FCGI_ERR_INVALID);
    const char *message = fcgi_server_message(g->server);
    assert_non_null(strstr(message, open[i]));
    assert_non_null(strstr(message, "--allow-from"));
    g->config.allow_from = "127.0.0.1";
    assert_int_equal(open_server(g, open[i]), 0);
    g->config.allow_from = NULL;
  }
  setenv(variable, "127.0.0.1", 1);
  assert_int_equal(open_server(g, "0.0.0.0:0"), 0);
  assert_true(is_served(g, connect_tcp(g)));
}

static void test_guard_needs_a_list_for_descriptors_too(void **state) {
  guarded *g = *state;
  char text[16];
  struct sockaddr_in any = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
  assert_int_equal(listen(fd, 5), 0);
  snprintf(text, sizeof text, "fd:%d", fd);
  assert_int_equal(open_server(g, text), FCGI_ERR_INVALID);
  g->config.allow_from = "127.0.0.1";
  assert_int_equal(open_server(g, text), 0);
  assert_true(is_served(g, connect_tcp(g)));
  close(fd);
}

static void test_guard_lists_are_not_for_unix_sockets(void **state) {
  guarded *g = *state;
  g->config.allow_from = "10.0.0.1";
  setenv(variable, "nonsense", 1);
  assert_int_equal(open_server(g, abstract()), 0);
  assert_true(is_served(g, connect_unix(g)));
}

static void test_guard_knows_users(void **state) {
  guarded *g = *state;
  unsigned own = (unsigned)getuid();
  char ours[40], others[40];
  char line[120];
  snprintf(ours, sizeof ours, "%u, %u", own + 1, own);
  snprintf(others, sizeof others, "%u,%u", own + 1, own + 2);
  g->config.peer_users = ours;
  assert_int_equal(open_server(g, abstract()), 0);
  assert_true(is_served(g, connect_unix(g)));
  g->config.peer_users = others;
  assert_int_equal(open_server(g, abstract()), 0);
  assert_false(is_served(g, connect_unix(g)));
  snprintf(line, sizeof line,
           "refused a connection from user %lu: not among the users who may "
           "connect\n",
           (unsigned long)getuid());
  assert_string_equal(lines_text(&g->log), line);
}

static void test_guard_knows_users_by_name(void **state) {
  guarded *g = *state;
  const struct passwd *own = getpwuid(getuid());
  assert_non_null(own);
  g->config.peer_users = own->pw_name;
  assert_int_equal(open_server(g, abstract()), 0);
  assert_true(is_served(g, connect_unix(g)));
}

static void test_guard_refuses_users_that_are_none(void **state) {
  guarded *g = *state;
  static const char *const wrong[] = {
      "", "no-such-user", "1,", ",1", "-1", "4294967295", "1099511627776"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    g->config.peer_users = wrong[i];
    assert_int_equal(open_server(g, abstract()), FCGI_ERR_INVALID);
    assert_non_null(strstr(fcgi_server_message(g->server),
                           "cannot listen: users who may connect \""));
  }
}

static void test_guard_serves_on_after_a_refusal(void **state) {
  guarded *g = *state;
  g->config.allow_from = "127.0.0.2";
  assert_int_equal(open_server(g, "127.0.0.1:0"), 0);
  assert_int_equal(fcgi_server_listen(g->server, abstract()), 0);
  assert_false(is_served(g, connect_tcp(g)));
  assert_false(is_served(g, connect_tcp(g)));
}

/* Whichever allocation fails, making and listening say so and nothing leaks. */
static void test_guard_survives_lack_of_memory(void **state) {
  guarded *g = *state;
  const fcgi_role_spec roles[] = {FCGI_ROLE_SPECS, {9, FCGI_STREAMS_NONE, "x"}};
  int error = FCGI_ERR_NOMEM;
  g->config.allow_from = "127.0.0.1";
  g->config.peer_users = "1, 2";
  for (long n = 0; error; n++) {
    failing memory = {.until_failure = n};
    g->config.allocator = failing_allocator(&memory);
    error = fcgi_server_new(&g->server, &g->config, NULL, 0);
    if (!error)
      error = fcgi_server_set_roles(g->server, roles, 4);
    if (!error)
      error = fcgi_server_listen(g->server, "127.0.0.1:0");
    assert_true(error == 0 || error == FCGI_ERR_NOMEM);
    fcgi_server_free(g->server);
    g->server = NULL;
    assert_int_equal(memory.live, 0);
    assert_true(n < 100);
  }
}

#define GUARD_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      GUARD_TEST(test_guard_lets_in_who_is_listed),
      GUARD_TEST(test_guard_copies_the_list),
      GUARD_TEST(test_guard_closes_on_others),
      GUARD_TEST(test_guard_knows_v6_peers),
      GUARD_TEST(test_guard_logs_a_flood_once),
      GUARD_TEST(test_guard_obeys_the_environment),
      GUARD_TEST(test_guard_wants_both_lists),
      GUARD_TEST(test_guard_malformed_variable_is_not_listened_with),
      GUARD_TEST(test_guard_disjoint_lists_are_not_listened_with),
      GUARD_TEST(test_guard_malformed_list_is_not_listened_with),
      GUARD_TEST(test_guard_needs_a_list_beyond_loopback),
      GUARD_TEST(test_guard_needs_a_list_for_descriptors_too),
      GUARD_TEST(test_guard_lists_are_not_for_unix_sockets),
      GUARD_TEST(test_guard_knows_users),
      GUARD_TEST(test_guard_knows_users_by_name),
      GUARD_TEST(test_guard_refuses_users_that_are_none),
      GUARD_TEST(test_guard_serves_on_after_a_refusal),
      GUARD_TEST(test_guard_survives_lack_of_memory),
  };
  return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
