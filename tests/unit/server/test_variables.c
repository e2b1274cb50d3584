/* SPDX-License-Identifier: MIT */
/* What a starter says in the environment and is wrong: a server tells of it in
   one line, changes nothing of what is named there, and serves. */
#include "board/scoreboard.h"
#include "server/server.h"
#include "support/serving.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Descriptors that a variable may name, by letters. */
enum { FILE_, READ_, WRITE_, CARRIER_, BOARD_, MEMORY_, NONE_, KINDS };
static const char letters[KINDS + 1] = "FRWCBMN";

typedef struct scene {
  serving *f;                /* The server. */
  int fds[KINDS];            /* By the letters; the last is not open. */
  struct stat before[KINDS]; /* What they are, */
  int flags[KINDS];          /* and their flags. */
} scene;

static void open_all(scene *s) {
  fcgi__board board;
  int ends[2];
  s->fds[FILE_] = open("/dev/null", O_RDWR);
  assert_int_equal(pipe(ends), 0);
  s->fds[READ_] = ends[0];
  s->fds[WRITE_] = ends[1];
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  s->fds[CARRIER_] = ends[0];
  close(ends[1]);
  assert_int_equal(fcgi__board_new(&board, 2), 0);
  s->fds[BOARD_] = dup(board.fd);
  fcntl(s->fds[BOARD_], F_SETFD, FD_CLOEXEC);
  fcgi__board_free(&board);
  s->fds[MEMORY_] = memfd_create("unit", 0);
  s->fds[NONE_] = 999;
  for (int i = 0; i < NONE_; i++) {
    assert_int_equal(fstat(s->fds[i], &s->before[i]), 0);
    s->flags[i] = fcntl(s->fds[i], F_GETFD);
  }
}

static void expect_untouched(const scene *s) {
  struct stat now;
  for (int i = 0; i < NONE_; i++) {
    assert_int_equal(fstat(s->fds[i], &now), 0);
    assert_int_equal(now.st_ino, s->before[i].st_ino);
    assert_int_equal(fcntl(s->fds[i], F_GETFD), s->flags[i]);
  }
}

static int set_up(void **state) {
  static scene s;
  if (serving_set_up(state) != 0)
    return -1;
  s = (scene){.f = *state};
  open_all(&s);
  lines_begin(&s.f->log, &s.f->config);
  *state = &s;
  return 0;
}

static int tear_down(void **state) {
  scene *s = *state;
  for (int i = 0; i < NONE_; i++)
    close(s->fds[i]);
  *state = s->f;
  return serving_tear_down(state);
}

/* "$" is our process id, "@" our parent's, a letter the number of its
   descriptor. */
static void set(const scene *s, const char *variable, const char *form) {
  char text[200] = "";
  size_t len = 0;
  for (; *form; form++) {
    const char *letter = strchr(letters, *form);
    if (*form == '$' || *form == '@')
      len += (size_t)snprintf(text + len, sizeof text - len, "%ld",
                              (long)(*form == '$' ? getpid() : getppid()));
    else if (letter)
      len += (size_t)snprintf(text + len, sizeof text - len, "%d",
                              s->fds[letter - letters]);
    else
      text[len++] = *form;
    text[len] = '\0';
  }
  setenv(variable, text, 1);
}

/* The server has begun, and answers. */
static void serve(scene *s) {
  lines_forget(&s->f->log);
  serving_restart(s->f);
  fcgi__share_inherit(s->f->server);
  records_get(&s->f->text->sent, 1);
  serving_send(s->f);
  fcgi_request_end(serving_take(s->f, FCGI_EVENT_REQUEST), 0);
  serving_expect(s->f, "stdout_end 1\nend 1 app=0 status=0\n");
}

/* One line with that in it, or none at all where `line` is "". */
static void expect_said(scene *s, const char *variable, const char *form,
                        const char *line) {
  unsigned wanted = *line ? 1 : 0;
  set(s, variable, form);
  serve(s);
  unsetenv(variable);
  if (lines_count(&s->f->log, "") != wanted ||
      lines_count(&s->f->log, line) != wanted ||
      lines_count(&s->f->log, variable) != wanted)
    fail_msg("%s=%s: \"%s\"", variable, form, lines_text(&s->f->log));
  expect_untouched(s);
}

typedef struct said {
  const char *form; /* As for `set`. */
  const char *line; /* In the one line; "": there is none. */
} said;

static void test_queue(void **state) {
  static const char form[] = "it must be PID:OUT:IN";
  static const char pair[] = "it names no pair of sockets";
  static const said cases[] = {{"x", form},
                               {"$", form},
                               {"$:C", form},
                               {"$:C:C:C", form},
                               {"$:C:C ", form},
                               {"$:C:99999999999", form},
                               {"-1:C:C", form},
                               {"$:F:C", pair},
                               {"$:C:F", pair},
                               {"$:R:W", pair},
                               {"$:C:N", pair},
                               {"$:N:N", pair},
                               {"$:B:B", pair},
                               {"$:0:1", pair},
                               {"$:2147483647:C", pair},
                               {"1:F:F", ""},
                               {"1:2147483647:0", ""},
                               {"", ""}};
  scene *s = *state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    expect_said(s, "FASTCGI_SHARE", cases[i].form, cases[i].line);
    assert_int_equal(atomic_load(&s->f->server->share.queue.in), -1);
    assert_int_equal(atomic_load(&s->f->server->share.queue.out), -1);
  }
}

static void test_scoreboard(void **state) {
  static const char line[] = "names no scoreboard of this version";
  static const said cases[] = {{"x", line},
                               {"$:B", line},
                               {"$:B:0:0", line},
                               {"$:B:-1", line},
                               {"$:B:2", line},
                               {"$:B:2147483647", line},
                               {"$:B:4294967296", line},
                               {"$:F:0", line},
                               {"$:R:0", line},
                               {"$:M:0", line},
                               {"$:C:0", line},
                               {"$:N:0", line},
                               {"1:F:0", ""},
                               {"", ""}};
  scene *s = *state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    expect_said(s, "FASTCGI_SCOREBOARD", cases[i].form, cases[i].line);
    assert_null(atomic_load(&s->f->server->observer.slot));
  }
}

static void test_supervisor(void **state) {
  static const char form[] = "it is not PID:PARENT:MS:LIFELINE";
  static const char pipe_[] = "its last number is no pipe that can be read";
  static const struct {
    said said;
    int hears;  /* 1: the pipe is used. */
    int parent; /* 1: the end of the parent is noticed. */
  } cases[] = {
      {{"x", form}, 0, 0},
      {{"$:@:1000", form}, 0, 0},
      {{"$:@:1000:R:R", form}, 0, 0},
      {{"$:@:99999999999:R", form}, 0, 0},
      {{"$:-1:1000:R", form}, 0, 0},
      {{"$:0:1000:R", "it names no parent"}, 0, 0},
      {{"$:@:1000:F", pipe_}, 0, 1},
      {{"$:@:1000:W", pipe_}, 0, 1},
      {{"$:@:1000:C", pipe_}, 0, 1},
      {{"$:@:1000:N", pipe_}, 0, 1},
      {{"$:@:1000:0", ""}, 0, 1},
      {{"1:@:1000:F", ""}, 0, 0},
      {{"", ""}, 0, 0},
  };
  scene *s = *state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const fcgi__orphan *orphan;
    expect_said(s, "FASTCGI_SUPERVISOR", cases[i].said.form,
                cases[i].said.line);
    orphan = &s->f->server->orphan;
    assert_int_equal(orphan->lifeline != 0, cases[i].hears);
    assert_int_equal(atomic_load(&orphan->parent) != 0, cases[i].parent);
  }
}

/* A pipe that is one is kept from programs that handlers start. */
static void test_a_good_supervisor(void **state) {
  scene *s = *state;
  set(s, "FASTCGI_SUPERVISOR", "$:@:1000:R");
  setenv("NOTIFY_SOCKET", "@fastcgi-unit-nobody", 1);
  serve(s);
  unsetenv("NOTIFY_SOCKET");
  assert_int_equal(lines_count(&s->f->log, ""), 0);
  assert_int_equal(s->f->server->orphan.lifeline, s->fds[READ_]);
  assert_int_equal(fcntl(s->fds[READ_], F_GETFD), FD_CLOEXEC);
}

/* Only what may be a dictionary is kept from them. */
static void test_dictionaries(void **state) {
  static const char *const cases[] = {"x",
                                      "$:F",
                                      "$:F:1",
                                      "$:R:5",
                                      "$:M:1",
                                      "$:0:16",
                                      "$:2147483647:16",
                                      "$:F:2147483647",
                                      "1:F:1",
                                      "$:-1:1",
                                      ""};
  scene *s = *state;
  int streams[3];
  for (int i = 0; i < 3; i++)
    streams[i] = fcntl(i, F_GETFD);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    expect_said(s, "FASTCGI_SHARED_MEMORY", cases[i], "");
    for (int j = 0; j < 3; j++)
      assert_int_equal(fcntl(j, F_GETFD), streams[j]);
  }
}

static void test_watchdog(void **state) {
  static const struct {
    const char *usec, *pid;
    int every_ms;
  } cases[] = {
      {"2000000", NULL, 1000},
      {"2000000", "$", 1000},
      {"1", "$", 1},
      {"9223372036854775807", "$", INT32_MAX},
      {"2000000", "1", 0},
      {"2000000", "x", 0},
      {"2000000", "$ ", 0},
      {"2000000", "", 0},
      {"0", "$", 0},
      {"-1", "$", 0},
      {"+2000000", "$", 0},
      {"2e6", "$", 0},
      {"2000000 ", "$", 0},
      {"9223372036854775808", "$", 0},
      {"", "$", 0},
  };
  scene *s = *state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    set(s, "WATCHDOG_USEC", cases[i].usec);
    if (cases[i].pid)
      set(s, "WATCHDOG_PID", cases[i].pid);
    serve(s);
    if (s->f->server->starter.alive_ms != cases[i].every_ms)
      fail_msg("%s %s: %d", cases[i].usec, cases[i].pid,
               s->f->server->starter.alive_ms);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
  }
}

#define VARIABLE_TEST(name)                                                    \
  cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, kind)

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      VARIABLE_TEST(test_queue),        VARIABLE_TEST(test_scoreboard),
      VARIABLE_TEST(test_supervisor),   VARIABLE_TEST(test_a_good_supervisor),
      VARIABLE_TEST(test_dictionaries), VARIABLE_TEST(test_watchdog),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
