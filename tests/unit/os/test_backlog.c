/* SPDX-License-Identifier: MIT */
/* How many connections wait at listeners. */
#include "os/backlog.h"
#include "support/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 5 };

/* One that has a name of its own. */
static int listen_at(int family, struct sockaddr_storage *name,
                     socklen_t *len) {
  struct sockaddr_in local = {.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct sockaddr_un nameless = {.sun_family = AF_UNIX};
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), failed;
  failed = family == AF_INET ? bind(fd, (struct sockaddr *)&local, sizeof local)
                             : bind(fd, (const struct sockaddr *)&nameless,
                                    sizeof nameless.sun_family);
  assert_int_equal(failed, 0);
  assert_int_equal(listen(fd, MOST), 0);
  *len = sizeof *name;
  assert_int_equal(getsockname(fd, (struct sockaddr *)name, len), 0);
  return fd;
}

static int connect_to(const struct sockaddr_storage *name, socklen_t len) {
  int fd = socket(name->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fd, (const struct sockaddr *)name, len), 0);
  return fd;
}

static void expect_queue(int fd, int64_t length, int64_t limit) {
  const fcgi__backlog found = fcgi__backlog_read(fd);
  assert_int_equal(found.length, length);
  assert_int_equal(found.limit, limit);
}

static void expect_counted(int family) {
  struct sockaddr_storage name;
  socklen_t len;
  int fd = listen_at(family, &name, &len), clients[3];
  if (fcgi__backlog_read(fd).length < 0) {
    close(fd);
    skip(); /* This system does not tell. */
  }
  expect_queue(fd, 0, MOST);
  for (int i = 0; i < 3; i++)
    clients[i] = connect_to(&name, len);
  expect_queue(fd, 3, MOST);
  close(accept(fd, NULL, NULL));
  expect_queue(fd, 2, MOST);
  for (int i = 0; i < 3; i++)
    close(clients[i]);
  close(fd);
}

static void test_at_a_unix_socket(void **state) {
  (void)state;
  expect_counted(AF_UNIX);
}

static void test_at_a_port(void **state) {
  (void)state;
  expect_counted(AF_INET);
}

/* What does not tell is left out of the sum. */
static void test_several_are_added(void **state) {
  struct sockaddr_storage name;
  socklen_t len;
  fcgi__backlog sum = {-1, -1};
  int one = listen_at(AF_UNIX, &name, &len), client = connect_to(&name, len);
  int two = listen_at(AF_INET, &name, &len), other = connect_to(&name, len);
  (void)state;
  fcgi__backlog_add(&sum, -1);
  assert_int_equal(sum.length, -1);
  assert_int_equal(sum.limit, -1);
  if (fcgi__backlog_read(one).length == 1) {
    fcgi__backlog_add(&sum, one);
    assert_int_equal(sum.length, 1);
    assert_int_equal(sum.limit, MOST);
    fcgi__backlog_add(&sum, -1);
    fcgi__backlog_add(&sum, two);
    assert_int_equal(sum.length, 2);
    assert_int_equal(sum.limit, 2 * MOST);
  }
  close(client);
  close(other);
  close(one);
  close(two);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_at_a_unix_socket),
      cmocka_unit_test(test_at_a_port),
      cmocka_unit_test(test_several_are_added),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
