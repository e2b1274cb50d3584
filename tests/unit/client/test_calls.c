/* SPDX-License-Identifier: MIT */
/* System calls that the client makes in vain: a socket that poll(2) has called
   readable may hold nothing for recv(2), and a signal may come first. */
#include "support/unit.h"

#include <errno.h>
#include <fastcgi/fastcgi.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LONG_MS = 20000 };

/* Errors of the next calls, the first one first; 0: the kernel's own answer. */
typedef struct failures {
  int received[4]; /* Of recv(2). */
  int sent[4];     /* Of send(2). */
} failures;

static failures planned;

static int next_of(int *list, size_t count) {
  int first = list[0];
  for (size_t i = 0; i + 1 < count; i++)
    list[i] = list[i + 1];
  list[count - 1] = 0;
  errno = first;
  return first;
}

/* These two take the place of the C library's. */
ssize_t recv(int fd, void *data, size_t len, int flags) {
  if (next_of(planned.received, 4))
    return -1;
  return syscall(SYS_recvfrom, fd, data, len, flags, NULL, NULL);
}

ssize_t send(int fd, const void *data, size_t len, int flags) {
  if (next_of(planned.sent, 4))
    return -1;
  return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

/* A client whose application is the test. */
typedef struct scripted {
  fcgi_client *client; /* Under test. */
  int far;             /* The application's end. */
} scripted;

static void begin(scripted *s) {
  int ends[2];
  char address[32];
  const fcgi_param param = {"REQUEST_METHOD", 14, "GET", 3};
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  snprintf(address, sizeof address, "fd:%d", ends[0]);
  assert_int_equal(fcgi_client_new(&s->client, NULL), 0);
  assert_int_equal(fcgi_client_connect(s->client, address), 0);
  close(ends[0]);
  s->far = ends[1];
  assert_int_equal(fcgi_client_begin(s->client, FCGI_ROLE_RESPONDER,
                                     FCGI_BEGIN_KEEP, &param, 1),
                   1);
}

static void end(scripted *s) {
  planned = (failures){.received = {0}};
  fcgi_client_free(s->client);
  close(s->far);
}

static void expect_answer(scripted *s) {
  static const char bytes[] = "\1\6\0\1\0\2\0\0hi";
  const fcgi_peer_event *event;
  assert_int_equal(write(s->far, bytes, sizeof bytes - 1), sizeof bytes - 1);
  assert_int_equal(fcgi_client_next(s->client, &event, LONG_MS), 1);
  assert_int_equal(event->type, FCGI_PEER_EVENT_STDOUT);
}

static void test_nothing_is_there_after_all(void **state) {
  static const int errors[] = {EAGAIN, EINTR};
  (void)state;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    scripted s;
    begin(&s);
    planned = (failures){.received = {errors[i]}, .sent = {errors[i]}};
    expect_answer(&s);
    end(&s);
  }
}

static void expect_failure(scripted *s, int code, const char *says) {
  const fcgi_peer_event *event;
  int result;
  assert_int_equal(write(s->far, "x", 1), 1);
  while ((result = fcgi_client_next(s->client, &event, LONG_MS)) == 1)
    ;
  assert_int_equal(result, code);
  assert_non_null(strstr(fcgi_client_message(s->client), says));
  end(s);
}

static void test_what_cannot_be_mended_is_told(void **state) {
  scripted s;
  (void)state;
  begin(&s);
  planned.received[0] = ECONNRESET;
  expect_failure(&s, FCGI_ERR_CLOSED, "was reset");
  begin(&s);
  planned.sent[0] = ENOBUFS;
  expect_failure(&s, FCGI_ERR_SYSTEM, strerror(ENOBUFS));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_is_there_after_all),
      cmocka_unit_test(test_what_cannot_be_mended_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
