/* SPDX-License-Identifier: MIT */
/* Whom a supervisor's inherited sockets let in. */
#include "base/alloc.h"
#include "supervisor/sockets.h"
#include "supervisor/supervisor.h"
#include "support/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sockaddr_in listen_at_loopback(int *fd) {
  struct sockaddr_in here = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof here;
  *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(*fd, (struct sockaddr *)&here, len), 0);
  assert_int_equal(listen(*fd, 8), 0);
  assert_int_equal(getsockname(*fd, (struct sockaddr *)&here, &len), 0);
  return here;
}

/* Whether a connection comes about within that time. */
static int reaches(const struct sockaddr_in *there, int ms) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct pollfd wait = {.fd = fd, .events = POLLOUT};
  int error = 0;
  socklen_t len = sizeof error;
  connect(fd, (const struct sockaddr *)there, sizeof *there);
  int came = poll(&wait, 1, ms) == 1 &&
             getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
             error == 0;
  close(fd);
  return came;
}

static void guard_for(fcgi__supervisor *s, const char *list, int fd) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  char why[256] = "";
  fcgi__allow_clear(&s->allow, &allocator);
  s->guarded = 0;
  s->config.allow_from = list;
  assert_int_equal(fcgi__sockets_read_allow(s, why, sizeof why), 0);
  assert_int_equal(s->guarded, list != NULL);
  assert_int_equal(fcgi__sockets_guard(s, fd), 0);
}

static void test_a_list_is_kept_to_until_there_is_none(void **state) {
#ifdef __linux__
  static fcgi__supervisor s;
  struct sockaddr_in here;
  int fd;
  (void)state;
  unsetenv("FCGI_WEB_SERVER_ADDRS");
  here = listen_at_loopback(&fd);
  assert_true(reaches(&here, 10000));
  guard_for(&s, "10.1.1.1", fd);
  assert_false(reaches(&here, 300));
  guard_for(&s, "127.0.0.1", fd);
  assert_true(reaches(&here, 10000));
  guard_for(&s, "10.1.1.1", fd);
  assert_false(reaches(&here, 300));
  guard_for(&s, NULL, fd);
  assert_true(reaches(&here, 10000));
  close(fd);
#else
  (void)state;
  skip();
#endif
}

static void test_a_unix_socket_has_no_list(void **state) {
  static fcgi__supervisor s;
  int pair[2];
  (void)state;
  s.guarded = 1;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  assert_int_equal(fcgi__sockets_guard(&s, pair[0]), 0);
  close(pair[0]);
  close(pair[1]);
}

static void test_a_wrong_list_is_explained(void **state) {
  static fcgi__supervisor s;
  char why[256] = "";
  (void)state;
  s.config.allow_from = "10.0.0.0/8,web";
  assert_int_equal(fcgi__sockets_read_allow(&s, why, sizeof why), -1);
  assert_non_null(strstr(why, "web"));
}

/* The variable is no way round the configured list, nor that round it. */
static void test_both_lists_apply(void **state) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  static fcgi__supervisor s;
  char why[512] = "";
  (void)state;
  s.config.allow_from = "127.0.0.0/8";
  setenv("FCGI_WEB_SERVER_ADDRS", "127.0.0.2,10.0.0.1", 1);
  assert_int_equal(fcgi__sockets_read_allow(&s, why, sizeof why), 0);
  assert_string_equal(s.allow_text, "127.0.0.2");
  assert_int_equal(s.allow.count, 1);
  fcgi__sockets_close(&s);
  assert_null(s.allow_text);
  setenv("FCGI_WEB_SERVER_ADDRS", "10.0.0.1", 1);
  assert_int_equal(fcgi__sockets_read_allow(&s, why, sizeof why), 0);
  assert_string_equal(s.tcp_refused,
                      "no address is both in the allow list "
                      "\"127.0.0.0/8\" and in FCGI_WEB_SERVER_ADDRS "
                      "\"10.0.0.1\"; let them agree, or leave one out");
  fcgi__sockets_close(&s);
  s.tcp_refused[0] = '\0';
  setenv("FCGI_WEB_SERVER_ADDRS", "", 1);
  assert_int_equal(fcgi__sockets_read_allow(&s, why, sizeof why), 0);
  assert_non_null(strstr(s.tcp_refused, "FCGI_WEB_SERVER_ADDRS \"\": "));
  fcgi__allow_clear(&s.allow, &allocator);
  unsetenv("FCGI_WEB_SERVER_ADDRS");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_list_is_kept_to_until_there_is_none),
      cmocka_unit_test(test_a_unix_socket_has_no_list),
      cmocka_unit_test(test_a_wrong_list_is_explained),
      cmocka_unit_test(test_both_lists_apply),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
