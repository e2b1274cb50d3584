/* SPDX-License-Identifier: MIT */
#include "os/listener.h"
#include "support/unit.h"

#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of its own for every test. */
typedef struct place {
  char directory[64];      /* Removed with what is in it. */
  char path[96];           /* app.sock in it. */
  char address[112];       /* unix: and that path. */
  char why[512];           /* The last complaint. */
  fcgi__listener listener; /* The last one opened. */
} place;

static int set_up(void **state) {
  place *p = calloc(1, sizeof *p);
  strcpy(p->directory, "/tmp/fastcgi-unit-XXXXXX");
  if (mkdtemp(p->directory) == NULL)
    return -1;
  snprintf(p->path, sizeof p->path, "%s/app.sock", p->directory);
  snprintf(p->address, sizeof p->address, "unix:%s", p->path);
  *state = p;
  return 0;
}

static int tear_down(void **state) {
  place *p = *state;
  unlink(p->path);
  int failed = rmdir(p->directory);
  free(p);
  return failed;
}

static int open_one(place *p, fcgi__listener *out, const char *address) {
  const fcgi__listen_options options = {.backlog = 16, .mode = 0660};
  p->why[0] = '\0';
  return fcgi__listener_open(out, 1, address, &options, p->why, sizeof p->why);
}

static void open_good(place *p, const char *address) {
  int count = open_one(p, &p->listener, address);
  assert_string_equal(p->why, "");
  assert_int_equal(count, 1);
}

/* Opening fails with `error`, and a line that holds `reason`. */
static void assert_refused(place *p, const char *address, int error,
                           const char *reason) {
  fcgi__listener listener;
  assert_int_equal(open_one(p, &listener, address), error);
  if (strstr(p->why, reason) == NULL)
    fail_msg("\"%s\" is not in \"%s\"", reason, p->why);
  assert_null(strchr(p->why, '\n'));
  if (address != NULL)
    assert_non_null(strstr(p->why, address));
}

/* Connect to a listening socket of ours: the descriptor. */
static int connect_to(int listener_fd) {
  struct sockaddr_storage name;
  socklen_t len = sizeof name;
  assert_int_equal(getsockname(listener_fd, (struct sockaddr *)&name, &len), 0);
  int fd = socket(name.ss_family, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&name, len), 0);
  return fd;
}

static void assert_accepts(int listener_fd) {
  int client = connect_to(listener_fd);
  struct pollfd set = {listener_fd, POLLIN, 0};
  assert_int_equal(poll(&set, 1, 5000), 1);
  int server = accept(listener_fd, NULL, NULL);
  assert_true(server >= 0);
  close(server);
  close(client);
}

/* Leave a socket file behind that nobody listens on. */
static void leave_stale(place *p) {
  fcgi__address address;
  assert_int_equal(
      fcgi__address_parse(&address, p->address, p->why, sizeof p->why), 0);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, &address.sockaddr.any, address.len), 0);
  close(fd);
}

static mode_t mode_of(const char *path) {
  struct stat found;
  assert_int_equal(lstat(path, &found), 0);
  return found.st_mode & 07777;
}

static void test_listener_opens_a_path(void **state) {
  place *p = *state;
  open_good(p, p->address);
  assert_int_equal(p->listener.family, AF_UNIX);
  assert_int_equal(p->listener.own, 1);
  assert_accepts(p->listener.fd);
  fcgi__listener_close(&p->listener);
}

static void test_listener_close_removes_the_path(void **state) {
  place *p = *state;
  open_good(p, p->address);
  fcgi__listener_close(&p->listener);
  assert_int_equal(access(p->path, F_OK), -1);
}

static void test_listener_close_leaves_anothers_file(void **state) {
  place *p = *state;
  open_good(p, p->address);
  fcgi__listener other;
  assert_int_equal(unlink(p->path), 0);
  assert_int_equal(open_one(p, &other, p->address), 1);
  fcgi__listener_close(&p->listener);
  assert_int_equal(access(p->path, F_OK), 0);
  assert_accepts(other.fd);
  fcgi__listener_close(&other);
}

static void assert_mode_under(place *p, mode_t mask, unsigned mode) {
  const fcgi__listen_options options = {.backlog = 16, .mode = mode};
  mode_t old = umask(mask);
  int count = fcgi__listener_open(&p->listener, 1, p->address, &options, p->why,
                                  sizeof p->why);
  mode_t unchanged = umask(old);
  assert_int_equal(count, 1);
  assert_int_equal(unchanged, mask);
  assert_int_equal(mode_of(p->path), mode);
  fcgi__listener_close(&p->listener);
}

static void test_listener_mode_is_exact_under_an_open_umask(void **state) {
  assert_mode_under(*state, 0, 0660);
  assert_mode_under(*state, 0, 0600);
}

static void test_listener_mode_is_exact_under_a_closed_umask(void **state) {
  assert_mode_under(*state, 0777, 0660);
  assert_mode_under(*state, 077, 0666);
}

static void test_listener_replaces_a_stale_socket(void **state) {
  place *p = *state;
  leave_stale(p);
  open_good(p, p->address);
  assert_accepts(p->listener.fd);
  fcgi__listener_close(&p->listener);
}

static void test_listener_never_steals_a_live_socket(void **state) {
  place *p = *state;
  open_good(p, p->address);
  assert_refused(p, p->address, FCGI_ERR_SYSTEM,
                 "address in use by a running server");
  assert_int_equal(errno, EADDRINUSE);
  assert_accepts(p->listener.fd);
  fcgi__listener_close(&p->listener);
}

static void test_listener_full_backlog_is_a_live_socket(void **state) {
  place *p = *state;
  const fcgi__listen_options options = {.backlog = 0, .mode = 0600};
  assert_int_equal(fcgi__listener_open(&p->listener, 1, p->address, &options,
                                       p->why, sizeof p->why),
                   1);
  int client = connect_to(p->listener.fd);
  assert_refused(p, p->address, FCGI_ERR_SYSTEM,
                 "address in use by a running server");
  close(client);
  fcgi__listener_close(&p->listener);
}

static void test_listener_never_removes_a_file(void **state) {
  place *p = *state;
  int fd = open(p->path, O_CREAT | O_WRONLY, 0600);
  close(fd);
  assert_refused(p, p->address, FCGI_ERR_SYSTEM, "is not a socket");
  assert_int_equal(access(p->path, F_OK), 0);
}

static void test_listener_never_follows_a_link(void **state) {
  place *p = *state;
  assert_int_equal(symlink("/nowhere", p->path), 0);
  assert_refused(p, p->address, FCGI_ERR_SYSTEM, "is not a socket");
}

static void test_listener_names_a_missing_directory(void **state) {
  place *p = *state;
  char address[128], reason[128];
  snprintf(address, sizeof address, "unix:%s/none/app.sock", p->directory);
  snprintf(reason, sizeof reason, "the directory %s/none does not exist",
           p->directory);
  assert_refused(p, address, FCGI_ERR_SYSTEM, reason);
  assert_int_equal(errno, ENOENT);
}

static void test_listener_names_a_file_taken_for_a_directory(void **state) {
  place *p = *state;
  char address[160];
  close(open(p->path, O_CREAT | O_WRONLY, 0600));
  snprintf(address, sizeof address, "unix:%s/x.sock", p->path);
  assert_refused(p, address, FCGI_ERR_SYSTEM, "is not a directory");
}

static void test_listener_names_a_forbidden_directory(void **state) {
  place *p = *state;
  /* For root nothing is forbidden: become nobody for the one call. */
  uid_t user = geteuid();
  assert_int_equal(chmod(p->directory, 0555), 0);
  if (user == 0)
    assert_int_equal(seteuid(65534), 0);
  fcgi__listener listener;
  int result = open_one(p, &listener, p->address);
  int reason = errno;
  assert_int_equal(seteuid(user), 0);
  chmod(p->directory, 0700);
  assert_int_equal(result, FCGI_ERR_SYSTEM);
  assert_int_equal(reason, EACCES);
  assert_non_null(strstr(p->why, "permission denied"));
  assert_non_null(strstr(p->why, p->directory));
}

static void test_listener_refuses_a_long_path(void **state) {
  char address[5 + 120] = "unix:";
  memset(address + 5, 'p', 110);
  assert_refused(*state, address, FCGI_ERR_INVALID, "107 bytes");
}

static void test_listener_opens_an_abstract_name(void **state) {
  place *p = *state;
  char address[64];
  snprintf(address, sizeof address, "unix:@fastcgi-unit-%ld", (long)getpid());
  open_good(p, address);
  assert_string_equal(p->listener.file.name, "");
  assert_accepts(p->listener.fd);
  assert_refused(p, address, FCGI_ERR_SYSTEM, "the name is in use");
  fcgi__listener_close(&p->listener);
}

static void test_listener_opens_a_free_port(void **state) {
  place *p = *state;
  char address[FCGI__ADDRESS_TEXT];
  open_good(p, "127.0.0.1:0");
  assert_int_equal(
      fcgi__address_of_socket(p->listener.fd, address, sizeof address), 0);
  assert_string_not_equal(address, "127.0.0.1:0");
  assert_accepts(p->listener.fd);
  fcgi__listener_close(&p->listener);
}

static void test_listener_says_that_a_port_is_in_use(void **state) {
  place *p = *state;
  char address[FCGI__ADDRESS_TEXT];
  open_good(p, "127.0.0.1:0");
  fcgi__address_of_socket(p->listener.fd, address, sizeof address);
  assert_refused(p, address, FCGI_ERR_SYSTEM, "the port is in use");
  assert_int_equal(errno, EADDRINUSE);
  fcgi__listener_close(&p->listener);
}

static void test_listener_says_that_an_address_is_not_ours(void **state) {
  assert_refused(*state, "192.0.2.1:9000", FCGI_ERR_SYSTEM,
                 "does not have that address");
}

static void test_listener_v6_leaves_v4_alone(void **state) {
  place *p = *state;
  char address[FCGI__ADDRESS_TEXT], v4[32];
  int count = open_one(p, &p->listener, "[::]:0");
  if (count < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
    skip(); /* This system has IPv6 switched off. */
  assert_int_equal(count, 1);
  fcgi__address_of_socket(p->listener.fd, address, sizeof address);
  snprintf(v4, sizeof v4, "0.0.0.0:%s", strrchr(address, ':') + 1);
  fcgi__listener other;
  assert_int_equal(open_one(p, &other, v4), 1);
  fcgi__listener_close(&other);
  fcgi__listener_close(&p->listener);
}

static void assert_flags(int fd) {
  assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void test_listener_made_is_cloexec_and_nonblocking(void **state) {
  place *p = *state;
  const char *addresses[] = {p->address, "127.0.0.1:0"};
  for (int i = 0; i < 2; i++) {
    open_good(p, addresses[i]);
    assert_flags(p->listener.fd);
    fcgi__listener_close(&p->listener);
  }
}

/* A listening socket as a parent process would hand it on: blocking, and kept
   across exec(2). */
static int foreign_listener(void) {
  struct sockaddr_in name = {.sin_family = AF_INET};
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
  assert_int_equal(listen(fd, 16), 0);
  return fd;
}

static void test_listener_takes_a_descriptor(void **state) {
  place *p = *state;
  char address[16];
  int fd = foreign_listener();
  snprintf(address, sizeof address, "fd:%d", fd);
  open_good(p, address);
  assert_int_equal(p->listener.fd, fd);
  assert_int_equal(p->listener.own, 0);
  assert_int_equal(p->listener.family, AF_INET);
  assert_flags(fd);
  close(fd);
}

static void test_listener_close_leaves_a_given_descriptor_open(void **state) {
  place *p = *state;
  char address[16];
  int fd = foreign_listener();
  snprintf(address, sizeof address, "fd:%d", fd);
  open_good(p, address);
  fcgi__listener_close(&p->listener);
  assert_accepts(fd);
  close(fd);
}

static void test_listener_refuses_descriptors_that_do_not_listen(void **state) {
  place *p = *state;
  char address[16];
  int file = open("/dev/null", O_RDONLY);
  int quiet = socket(AF_UNIX, SOCK_STREAM, 0);
  snprintf(address, sizeof address, "fd:%d", file);
  assert_refused(p, address, FCGI_ERR_INVALID, "is not a socket");
  snprintf(address, sizeof address, "fd:%d", quiet);
  assert_refused(p, address, FCGI_ERR_INVALID, "does not listen");
  close(quiet);
  assert_refused(p, address, FCGI_ERR_INVALID, "is not open");
  close(file);
}

static void test_listener_passes_on_an_address_complaint(void **state) {
  assert_refused(*state, "nonsense", FCGI_ERR_INVALID, "not an address");
}

static void test_listener_leaks_no_descriptor_on_failure(void **state) {
  place *p = *state;
  int before = dup(0);
  close(before);
  assert_refused(p, "192.0.2.1:9000", FCGI_ERR_SYSTEM, "address");
  assert_refused(p, "unix:/nowhere/x", FCGI_ERR_SYSTEM, "directory");
  close(open(p->path, O_CREAT | O_WRONLY, 0600));
  assert_refused(p, p->address, FCGI_ERR_SYSTEM, "socket");
  int after = dup(0);
  close(after);
  assert_int_equal(after, before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_listener_opens_a_path),
      TEST(test_listener_close_removes_the_path),
      TEST(test_listener_close_leaves_anothers_file),
      TEST(test_listener_mode_is_exact_under_an_open_umask),
      TEST(test_listener_mode_is_exact_under_a_closed_umask),
      TEST(test_listener_replaces_a_stale_socket),
      TEST(test_listener_never_steals_a_live_socket),
      TEST(test_listener_full_backlog_is_a_live_socket),
      TEST(test_listener_never_removes_a_file),
      TEST(test_listener_never_follows_a_link),
      TEST(test_listener_names_a_missing_directory),
      TEST(test_listener_names_a_file_taken_for_a_directory),
      TEST(test_listener_names_a_forbidden_directory),
      TEST(test_listener_refuses_a_long_path),
      TEST(test_listener_opens_an_abstract_name),
      TEST(test_listener_opens_a_free_port),
      TEST(test_listener_says_that_a_port_is_in_use),
      TEST(test_listener_says_that_an_address_is_not_ours),
      TEST(test_listener_v6_leaves_v4_alone),
      TEST(test_listener_made_is_cloexec_and_nonblocking),
      TEST(test_listener_takes_a_descriptor),
      TEST(test_listener_close_leaves_a_given_descriptor_open),
      TEST(test_listener_refuses_descriptors_that_do_not_listen),
      TEST(test_listener_passes_on_an_address_complaint),
      TEST(test_listener_leaks_no_descriptor_on_failure),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
