/* SPDX-License-Identifier: MIT */
/* Who reaches a TCP socket, in the kernel. */
#include "base/alloc.h"
#include "os/sieve.h"
#include "support/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fastcgi/error.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOST_MS = 150, COMES_MS = 10000 };

typedef union place {
  struct sockaddr any;     /* Its family. */
  struct sockaddr_in in;   /* IPv4. */
  struct sockaddr_in6 in6; /* IPv6. */
} place;

static socklen_t place_of(place *out, const char *text, in_port_t port) {
  memset(out, 0, sizeof *out);
  if (inet_pton(AF_INET, text, &out->in.sin_addr) == 1) {
    out->in.sin_family = AF_INET;
    out->in.sin_port = port;
    return sizeof out->in;
  }
  assert_int_equal(inet_pton(AF_INET6, text, &out->in6.sin6_addr), 1);
  out->in6.sin6_family = AF_INET6;
  out->in6.sin6_port = port;
  return sizeof out->in6;
}

/* A listening socket on any port of the address, or -1 where there is none. */
static int listen_on(const char *text, in_port_t *port) {
  place here;
  socklen_t len = place_of(&here, text, 0);
  int fd = socket(here.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, &here.any, len) < 0 || listen(fd, 8) < 0) {
    if (fd >= 0)
      close(fd);
    return -1;
  }
  getsockname(fd, &here.any, &len);
  *port = here.any.sa_family == AF_INET ? here.in.sin_port : here.in6.sin6_port;
  return fd;
}

static int reaches(const char *from, const char *to, in_port_t port, int ms) {
  place target, source;
  socklen_t len = place_of(&source, from, 0);
  int fd = socket(source.any.sa_family,
                  SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  assert_int_equal(bind(fd, &source.any, len), 0);
  len = place_of(&target, to, port);
  if (connect(fd, &target.any, len) < 0)
    assert_int_equal(errno, EINPROGRESS);
  struct pollfd at = {.fd = fd, .events = POLLOUT};
  int came = poll(&at, 1, ms) == 1 && !(at.revents & POLLERR);
  close(fd);
  return came;
}

static void attach(int fd, const char *list) {
  fcgi__allow allow;
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  char why[128];
  assert_int_equal(fcgi__allow_parse(&allow, &allocator, list, why, sizeof why),
                   0);
  assert_int_equal(fcgi__sieve_attach(fd, &allow), 0);
  fcgi__allow_clear(&allow, &allocator);
}

static void check(int fd, in_port_t port, const char *to, const char *list,
                  const char *from, int expected) {
  attach(fd, list);
  if (reaches(from, to, port, expected ? COMES_MS : LOST_MS) != expected)
    fail_msg("\"%s\": %s reaches it: %d", list, from, !expected);
}

static const struct {
  const char *list; /* Who may. */
  const char *from; /* Who tries. */
  int reaches;      /* Whether it does. */
} ipv4[] = {
    {"127.0.0.1", "127.0.0.1", 1},
    {"127.0.0.1", "127.0.0.2", 0},
    {"10.0.0.0/8", "127.0.0.1", 0},
    {"127.0.0.0/8", "127.9.8.7", 1},
    {"126.0.0.0/7", "127.9.8.7", 1},
    {"127.1.0.0/17", "127.1.127.255", 1},
    {"127.1.0.0/17", "127.1.128.0", 0},
    {"0.0.0.0/0", "127.0.0.1", 1},
    {"127.0.0.2,127.0.0.3", "127.0.0.3", 1},
    {"127.0.0.2,127.0.0.3", "127.0.0.4", 0},
    {"::ffff:127.0.0.1", "127.0.0.1", 1},
    {"::/0", "127.0.0.1", 0},
    {"fd00::/8,::1,2001:db8::/33,127.0.0.1", "127.0.0.1", 1},
};

static void test_ipv4(void **state) {
  (void)state;
  in_port_t port;
  int any = listen_on("0.0.0.0", &port);
  assert_true(any >= 0);
  for (size_t i = 0; i < sizeof ipv4 / sizeof *ipv4; i++)
    check(any, port, "127.0.0.1", ipv4[i].list, ipv4[i].from, ipv4[i].reaches);
  close(any);
}

static const struct {
  const char *list; /* Who may. */
  int reaches;      /* Whether ::1 does. */
} ipv6[] = {
    {"::1", 1},           {"::2", 0},       {"::/127", 1},
    {"::2/127", 0},       {"::/0", 1},      {"::/96", 1},
    {"1::/16", 0},        {"fd00::/8", 0},  {"0.0.0.0/0", 0},
    {"fd00::/8,::1", 1},  {"::1:0:0:1", 0}, {"0:0:1::1", 0},
    {"127.0.0.1,::1", 1}, {"::/33", 1},     {"8000::/1", 0},
};

static void test_ipv6(void **state) {
  (void)state;
  in_port_t port;
  int fd = listen_on("::1", &port);
  if (fd < 0)
    skip(); /* There is no IPv6 here. */
  for (size_t i = 0; i < sizeof ipv6 / sizeof *ipv6; i++)
    check(fd, port, "::1", ipv6[i].list, "::1", ipv6[i].reaches);
  close(fd);
}

/* Of a socket that takes both, as systemd makes them. */
static void test_both_on_one_socket(void **state) {
  (void)state;
  place here;
  socklen_t len = place_of(&here, "::", 0);
  const int off = 0;
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 ||
      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0 ||
      bind(fd, &here.any, len) < 0)
    skip(); /* There is no IPv6 here, or not for both. */
  assert_int_equal(listen(fd, 8), 0);
  getsockname(fd, &here.any, &len);
  check(fd, here.in6.sin6_port, "127.0.0.1", "127.0.0.1", "127.0.0.1", 1);
  check(fd, here.in6.sin6_port, "127.0.0.1", "127.0.0.1", "127.0.0.2", 0);
  check(fd, here.in6.sin6_port, "127.0.0.1", "::1", "127.0.0.1", 0);
  check(fd, here.in6.sin6_port, "::1", "127.0.0.1", "::1", 0);
  close(fd);
}

static void test_detached_lets_everybody_in(void **state) {
  (void)state;
  in_port_t port;
  int fd = listen_on("127.0.0.1", &port);
  attach(fd, "10.0.0.1");
  assert_int_equal(reaches("127.0.0.1", "127.0.0.1", port, LOST_MS), 0);
  fcgi__sieve_detach(fd);
  assert_int_equal(reaches("127.0.0.1", "127.0.0.1", port, COMES_MS), 1);
  close(fd);
}

static void test_long_lists(void **state) {
  (void)state;
  fcgi__allow_block *blocks = calloc(2000, sizeof *blocks);
  fcgi__allow allow = {.blocks = blocks, .count = 100};
  in_port_t port;
  int fd = listen_on("127.0.0.1", &port);
  for (size_t i = 0; i < 2000; i++)
    blocks[i] = (fcgi__allow_block){
        .family = AF_INET6, .bits = 128, .bytes = {0xfd, (uint8_t)i}};
  blocks[99] = (fcgi__allow_block){
      .family = AF_INET, .bits = 32, .bytes = {127, 0, 0, 1}};
  assert_int_equal(fcgi__sieve_attach(fd, &allow), 0);
  assert_int_equal(reaches("127.0.0.1", "127.0.0.1", port, COMES_MS), 1);
  assert_int_equal(reaches("127.0.0.2", "127.0.0.1", port, LOST_MS), 0);
  allow.count = 2000;
  assert_int_equal(fcgi__sieve_attach(fd, &allow), -1);
  assert_int_equal(errno, E2BIG);
  close(fd);
  free(blocks);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ipv4),
      cmocka_unit_test(test_ipv6),
      cmocka_unit_test(test_both_on_one_socket),
      cmocka_unit_test(test_detached_lets_everybody_in),
      cmocka_unit_test(test_long_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
