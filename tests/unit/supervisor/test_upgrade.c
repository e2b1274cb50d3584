/* SPDX-License-Identifier: MIT */
/* What a new supervisor takes over, and that it touches nothing else. Each case
   runs in a child process, for it is about descriptors from 3 on. */
#include "supervisor/upgrade.h"
#include "support/unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST = 3, MOST = 8, REPORT = 100 };

typedef struct bequest {
  const char *rest;      /* FASTCGI_UPGRADE behind the process id; all of it
                            where it does not begin with ":". */
  const char *standing;  /* What there is from descriptor 3 on, by letters of
                            `make`. */
  const char *complaint; /* In the line that says so; NULL: there is none. */
} bequest;

/* What the child finds, sent to the test. */
typedef struct outcome {
  int result;       /* Of fcgi__upgrade_inherit. */
  int stays;        /* Descriptors that are what they were. */
  size_t listeners; /* Taken over. */
  int pidfile;      /* 1: that too. */
  char line[512];   /* The log. */
} outcome;

static int text_file(const char *text) {
  int fd = memfd_create("unit", 0);
  return write(fd, text, strlen(text)) < 0 ? -1 : fd;
}

static int read_only(int fd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return open(path, O_RDONLY);
}

static int one_of_pair(int is_pipe) {
  int ends[2] = {-1, -1};
  if (is_pipe ? pipe(ends) : socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends))
    return -1;
  return ends[0];
}

static int make(char what) {
  int fd = -1;
  switch (what) {
  case 'L': /* A listener, */
  case 'S': /* a socket that is none, */
    fd = socket(AF_INET, SOCK_STREAM, 0);
    return what == 'L' && listen(fd, 1) ? -1 : fd;
  case 'C': /* half of a pair for connections, */
    return one_of_pair(0);
  case 'P': /* a pipe, */
    return one_of_pair(1);
  case 'N': /* a pid file, */
    return text_file("123\n");
  case 'E': /* a new one, */
    return text_file("");
  case 'R': /* one for readers, */
    return read_only(text_file("123\n"));
  case 'F': /* a file, */
    return text_file("12 monkeys\n");
  case 'D': /* and a directory. */
    return open("/", O_RDONLY | O_DIRECTORY);
  default:
    return -1;
  }
}

/* By numbers that are not in the way. */
static void arrange(const char *standing) {
  int made[MOST], count = (int)strlen(standing);
  for (int i = 0; i < count; i++) {
    int fd = make(standing[i]);
    made[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD, REPORT + 1);
  }
  for (int fd = FIRST; fd < REPORT; fd++)
    close(fd);
  for (int i = 0; i < count; i++)
    if (made[i] >= 0)
      dup2(made[i], FIRST + i);
}

static int is_same(const struct stat *before, int fd) {
  struct stat now;
  if (fstat(fd, &now) < 0)
    return before->st_ino == 0;
  return before->st_ino == now.st_ino && before->st_dev == now.st_dev &&
         fcntl(fd, F_GETFD) == 0;
}

static void keep(fcgi_log_level level, const char *line, void *data) {
  outcome *seen = data;
  (void)level;
  snprintf(seen->line, sizeof seen->line, "%s", line);
}

static void observe(const bequest *given, outcome *seen) {
  static fcgi__supervisor s;
  struct stat before[MOST] = {{0}};
  int count = (int)strlen(given->standing);
  char text[64];
  arrange(given->standing);
  for (int i = 0; i < count; i++)
    if (fstat(FIRST + i, &before[i]) < 0)
      before[i].st_ino = 0;
  snprintf(text, sizeof text, "%ld%s", (long)getpid(), given->rest);
  setenv("FASTCGI_UPGRADE", *given->rest == ':' ? text : given->rest, 1);
  s.config.log = keep;
  s.config.log_data = seen;
  s.pidfile.fd = -1;
  seen->result = fcgi__upgrade_inherit(&s);
  seen->listeners = s.listener_count;
  seen->pidfile = s.pidfile.fd >= 0;
  for (int i = 0; i < count; i++)
    seen->stays += is_same(&before[i], FIRST + i);
}

static outcome inherit(const bequest *given) {
  outcome seen = {0};
  int ends[2], status = -1;
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], REPORT);
    observe(given, &seen);
    _exit(write(REPORT, &seen, sizeof seen) != sizeof seen);
  }
  close(ends[1]);
  assert_int_equal(read(ends[0], &seen, sizeof seen), sizeof seen);
  close(ends[0]);
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
  return seen;
}

static void test_takes_what_the_old_one_passes(void **state) {
  static const struct {
    bequest given;
    size_t listeners;
    int pidfile;
  } cases[] = {
      {{":1:0:0", "LCC", NULL}, 1, 0},
      {{":1:1:0", "LCCD", NULL}, 1, 0},
      {{":2:2:1", "LLCCND", NULL}, 2, 1},
      {{":2:3:1", "LLCCEDD", NULL}, 2, 1},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    outcome seen = inherit(&cases[i].given);
    assert_int_equal(seen.result, 1);
    assert_string_equal(seen.line, "");
    assert_int_equal(seen.listeners, cases[i].listeners);
    assert_int_equal(seen.pidfile, cases[i].pidfile);
    assert_int_equal(seen.stays, 0); /* All are moved. */
  }
}

static void test_what_is_wrong_is_said_and_left(void **state) {
  static const char form[] = "it must be PID:LISTENERS:OWNED:PIDFILE";
  static const char numbers[] = "its numbers are none";
  static const char listeners[] = "where the listeners should be";
  static const char pair[] = "no pair of sockets";
  static const char pidfile[] = "no pid file";
  static const char directories[] = "no directories";
  static const bequest cases[] = {
      {"x", "LCC", form},
      {":", "LCC", form},
      {":1:0", "LCC", form},
      {":1:0:0:0", "LCC", form},
      {":1:0:-1", "LCC", form},
      {":1:0:0 ", "LCC", form},
      {":4294967297:0:0", "LCC", form},
      {":0:0:0", "CC", numbers},
      {":17:0:0", "LCC", numbers},
      {":2147483647:0:0", "LCC", numbers},
      {":1:2:0", "LCCD", numbers},
      {":1:0:2", "LCCN", numbers},
      {":1:0:0", "-CC", listeners},
      {":1:0:0", "SCC", listeners},
      {":1:0:0", "FCC", listeners},
      {":1:0:0", "CCC", listeners},
      {":2:0:0", "LDCC", listeners},
      {":1:0:0", "L", pair},
      {":1:0:0", "LLC", pair},
      {":1:0:0", "LCP", pair},
      {":1:0:1", "LCC", pidfile},
      {":1:0:1", "LCCF", pidfile},
      {":1:0:1", "LCCR", pidfile},
      {":1:0:1", "LCCD", pidfile},
      {":1:1:0", "LCC", directories},
      {":1:1:0", "LCCF", directories},
      {":2:3:1", "LLCCNDP", directories},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    outcome seen = inherit(&cases[i]);
    if (!strstr(seen.line, cases[i].complaint))
      fail_msg("%s of %s: \"%s\"", cases[i].rest, cases[i].standing, seen.line);
    assert_non_null(strstr(seen.line, "FASTCGI_UPGRADE=\""));
    assert_int_equal(seen.result, 0);
    assert_int_equal(seen.listeners, 0);
    assert_int_equal(seen.stays, strlen(cases[i].standing));
  }
}

static void test_what_is_for_another_process_is_nobodys_here(void **state) {
  static const bequest cases[] = {{"1:1:0:0", "LCC", NULL}, {"", "LCC", NULL}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    outcome seen = inherit(&cases[i]);
    assert_int_equal(seen.result, 0);
    assert_string_equal(seen.line, "");
    assert_int_equal(seen.stays, 3);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_takes_what_the_old_one_passes),
      cmocka_unit_test(test_what_is_wrong_is_said_and_left),
      cmocka_unit_test(test_what_is_for_another_process_is_nobodys_here),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
