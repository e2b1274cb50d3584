/* SPDX-License-Identifier: MIT */
#include "os/address.h"
#include "support/unit.h"

#include <arpa/inet.h>
#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Parse an address that must be right. */
static fcgi__address parse(const char *text) {
  fcgi__address address;
  char why[256] = "";
  int result = fcgi__address_parse(&address, text, why, sizeof why);
  assert_string_equal(why, "");
  assert_int_equal(result, 0);
  return address;
}

/* Parse one that must be wrong: the complaint names it and holds `reason`. */
static void assert_refused(const char *text, const char *reason) {
  fcgi__address address;
  char why[512] = "";
  assert_int_equal(fcgi__address_parse(&address, text, why, sizeof why),
                   FCGI_ERR_INVALID);
  assert_non_null(strstr(why, text));
  assert_non_null(strstr(why, reason));
  assert_null(strchr(why, '\n'));
}

static void assert_v4(const char *text, uint32_t host, uint16_t port) {
  fcgi__address address = parse(text);
  assert_int_equal(address.kind, FCGI__ADDRESS_TCP);
  assert_int_equal(address.len, sizeof(struct sockaddr_in));
  assert_int_equal(address.sockaddr.any.sa_family, AF_INET);
  assert_int_equal(ntohl(address.sockaddr.in.sin_addr.s_addr), host);
  assert_int_equal(ntohs(address.sockaddr.in.sin_port), port);
}

static void test_address_parses_an_absolute_path(void **state) {
  (void)state;
  fcgi__address address = parse("unix:/run/app.sock");
  assert_int_equal(address.kind, FCGI__ADDRESS_UNIX);
  assert_int_equal(address.sockaddr.any.sa_family, AF_UNIX);
  assert_string_equal(address.sockaddr.un.sun_path, "/run/app.sock");
}

static void test_address_parses_a_relative_path(void **state) {
  (void)state;
  fcgi__address address = parse("unix:x.sock");
  assert_int_equal(address.kind, FCGI__ADDRESS_UNIX);
  assert_string_equal(address.sockaddr.un.sun_path, "x.sock");
}

static void test_address_parses_an_abstract_name(void **state) {
  (void)state;
  fcgi__address address = parse("unix:@name");
  assert_int_equal(address.kind, FCGI__ADDRESS_ABSTRACT);
  assert_memory_equal(address.sockaddr.un.sun_path, "\0name", 5);
  assert_int_equal(address.len, offsetof(struct sockaddr_un, sun_path) + 5);
}

static void test_address_parses_v4_and_port(void **state) {
  (void)state;
  assert_v4("127.0.0.1:9000", 0x7f000001, 9000);
  assert_v4("0.0.0.0:0", 0, 0);
  assert_v4("10.1.2.3:65535", 0x0a010203, 65535);
}

static void test_address_port_alone_is_loopback(void **state) {
  (void)state;
  assert_v4(":9000", 0x7f000001, 9000);
}

static void test_address_parses_a_host_name(void **state) {
  (void)state;
  assert_v4("localhost:81", 0x7f000001, 81);
}

static void test_address_parses_v6_and_port(void **state) {
  (void)state;
  fcgi__address address = parse("[::1]:9000");
  assert_int_equal(address.kind, FCGI__ADDRESS_TCP);
  assert_int_equal(address.len, sizeof(struct sockaddr_in6));
  assert_int_equal(address.sockaddr.any.sa_family, AF_INET6);
  assert_memory_equal(&address.sockaddr.in6.sin6_addr, &in6addr_loopback, 16);
  assert_int_equal(ntohs(address.sockaddr.in6.sin6_port), 9000);
}

static void test_address_parses_a_descriptor(void **state) {
  (void)state;
  fcgi__address address = parse("fd:17");
  assert_int_equal(address.kind, FCGI__ADDRESS_FD);
  assert_int_equal(address.fd, 17);
}

static void test_address_takes_the_longest_path(void **state) {
  (void)state;
  char text[5 + 108 + 1] = "unix:";
  memset(text + 5, 'p', 107);
  fcgi__address address = parse(text);
  assert_string_equal(address.sockaddr.un.sun_path, text + 5);
}

static void test_address_refuses_a_longer_path(void **state) {
  (void)state;
  char text[5 + 109] = "unix:";
  memset(text + 5, 'p', 108);
  assert_refused(text, "107 bytes");
}

static void test_address_refuses_an_empty_path(void **state) {
  (void)state;
  assert_refused("unix:", "no name");
  assert_refused("unix:@", "no name");
}

static void test_address_refuses_a_path_without_prefix(void **state) {
  (void)state;
  assert_refused("/run/app.sock", "prefix unix:");
  assert_refused("./app.sock", "prefix unix:");
}

static void test_address_refuses_bad_ports(void **state) {
  (void)state;
  const char *bad[] = {"127.0.0.1:",      "127.0.0.1:x",
                       "127.0.0.1:65536", "127.0.0.1:-1",
                       "127.0.0.1:80 ",   "127.0.0.1:99999999999",
                       "127.0.0.1:0x1",   "[::1]:"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_refused(bad[i], "the port must be a number");
}

static void test_address_refuses_bad_descriptors(void **state) {
  (void)state;
  const char *bad[] = {"fd:", "fd:x", "fd:-1", "fd:3x", "fd:99999999999"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_refused(bad[i], "not a descriptor");
}

static void test_address_refuses_v6_without_brackets(void **state) {
  (void)state;
  assert_refused("::1:9000", "needs brackets");
  assert_refused("127.0.0.1:0,127.0.0.1:1", "one address for each --bind");
}

static void test_address_refuses_what_is_none(void **state) {
  (void)state;
  assert_refused("", "not an address");
  assert_refused("nonsense", "not an address");
  assert_refused("[::1", "not an address");
  assert_refused("[::1]9000", "not an address");
}

static void test_address_refuses_an_unknown_host(void **state) {
  (void)state;
  assert_refused("256.1.1.1:80", "host \"256.1.1.1\"");
  assert_refused("[]:80", "host \"\"");
}

static void test_address_complaint_fits_its_room(void **state) {
  (void)state;
  fcgi__address address;
  char *why = unit_exact_copy("xxxxxxxx", 8);
  assert_int_equal(fcgi__address_parse(&address, "nonsense", why, 8),
                   FCGI_ERR_INVALID);
  assert_int_equal(strlen(why), 7);
  free(why);
}

/* Bind to `text` and read the address back. */
static int bound_text(const char *text, char *out, size_t len) {
  fcgi__address address = parse(text);
  int fd = socket(address.sockaddr.any.sa_family, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, &address.sockaddr.any, address.len), 0);
  int result = fcgi__address_of_socket(fd, out, len);
  close(fd);
  return result;
}

static void test_address_of_socket_has_the_real_port(void **state) {
  (void)state;
  char out[FCGI__ADDRESS_TEXT];
  assert_int_equal(bound_text("127.0.0.1:0", out, sizeof out), 0);
  fcgi__address again = parse(out);
  assert_int_equal(ntohl(again.sockaddr.in.sin_addr.s_addr), 0x7f000001);
  assert_int_not_equal(again.sockaddr.in.sin_port, 0);
}

static void test_address_of_socket_names_an_abstract_one(void **state) {
  (void)state;
  char out[FCGI__ADDRESS_TEXT], text[64];
  snprintf(text, sizeof text, "unix:@fastcgi-unit-%ld", (long)getpid());
  assert_int_equal(bound_text(text, out, sizeof out), 0);
  assert_string_equal(out, text);
}

static void test_address_of_socket_names_the_longest_path(void **state) {
  (void)state;
  char directory[] = "/tmp/fastcgi-unit-XXXXXX";
  char text[5 + 108] = "unix:", out[FCGI__ADDRESS_TEXT];
  assert_non_null(mkdtemp(directory));
  memset(text + 5, 'p', 107);
  memcpy(text + 5, directory, strlen(directory));
  text[5 + strlen(directory)] = '/';
  assert_int_equal(bound_text(text, out, sizeof out), 0);
  assert_string_equal(out, text);
  unlink(text + 5);
  rmdir(directory);
}

static void test_address_of_socket_without_a_name(void **state) {
  char out[FCGI__ADDRESS_TEXT];
  int pair[2];
  (void)state;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  assert_int_equal(fcgi__address_of_socket(pair[0], out, sizeof out), 0);
  assert_string_equal(out, "unix:");
  close(pair[0]);
  close(pair[1]);
}

static void test_address_of_socket_needs_room(void **state) {
  (void)state;
  char out[8];
  assert_int_equal(bound_text("127.0.0.1:0", out, sizeof out), FCGI_ERR_LIMIT);
}

static void test_address_of_socket_refuses_a_file(void **state) {
  (void)state;
  char out[FCGI__ADDRESS_TEXT];
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  assert_int_equal(fcgi__address_of_socket(fds[0], out, sizeof out),
                   FCGI_ERR_SYSTEM);
  close(fds[0]);
  close(fds[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_address_parses_an_absolute_path),
      cmocka_unit_test(test_address_parses_a_relative_path),
      cmocka_unit_test(test_address_parses_an_abstract_name),
      cmocka_unit_test(test_address_parses_v4_and_port),
      cmocka_unit_test(test_address_port_alone_is_loopback),
      cmocka_unit_test(test_address_parses_a_host_name),
      cmocka_unit_test(test_address_parses_v6_and_port),
      cmocka_unit_test(test_address_parses_a_descriptor),
      cmocka_unit_test(test_address_takes_the_longest_path),
      cmocka_unit_test(test_address_refuses_a_longer_path),
      cmocka_unit_test(test_address_refuses_an_empty_path),
      cmocka_unit_test(test_address_refuses_a_path_without_prefix),
      cmocka_unit_test(test_address_refuses_bad_ports),
      cmocka_unit_test(test_address_refuses_bad_descriptors),
      cmocka_unit_test(test_address_refuses_v6_without_brackets),
      cmocka_unit_test(test_address_refuses_what_is_none),
      cmocka_unit_test(test_address_refuses_an_unknown_host),
      cmocka_unit_test(test_address_complaint_fits_its_room),
      cmocka_unit_test(test_address_of_socket_has_the_real_port),
      cmocka_unit_test(test_address_of_socket_names_an_abstract_one),
      cmocka_unit_test(test_address_of_socket_names_the_longest_path),
      cmocka_unit_test(test_address_of_socket_without_a_name),
      cmocka_unit_test(test_address_of_socket_needs_room),
      cmocka_unit_test(test_address_of_socket_refuses_a_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
