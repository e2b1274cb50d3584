/* SPDX-License-Identifier: MIT */
/* Several starters on one path, where a stale socket lies. */
#include "os/listener.h"
#include "support/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STARTERS = 4, ROUNDS = 150 };

typedef struct place {
  char directory[64]; /* Temporary. */
  char path[96];      /* A socket in it. */
  char address[112];  /* Its address. */
} place;

static int set_up(void **state) {
  place *p = calloc(1, sizeof *p);
  strcpy(p->directory, "/tmp/fastcgi-unit-XXXXXX");
  assert_non_null(mkdtemp(p->directory));
  snprintf(p->path, sizeof p->path, "%s/app.sock", p->directory);
  snprintf(p->address, sizeof p->address, "unix:%s", p->path);
  *state = p;
  return 0;
}

static int tear_down(void **state) {
  place *p = *state;
  int failed;
  unlink(p->path);
  failed = rmdir(p->directory);
  free(p);
  return failed;
}

static struct sockaddr_un name_of(const place *p) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  strcpy(un.sun_path, p->path);
  return un;
}

static void leave_stale(const place *p) {
  struct sockaddr_un un = name_of(p);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
  close(fd);
}

/* A starter: says '1' when it listens, '0' when it does not, and stays. */
static _Noreturn void start(const place *p, int go, int report) {
  const fcgi__listen_options options = {.backlog = 16, .mode = 0600};
  fcgi__listener listener;
  char why[512], sign;
  if (read(go, &sign, 1) != 0) /* It is closed for all at once. */
    _exit(1);
  sign = fcgi__listener_open(&listener, 1, p->address, &options, why,
                             sizeof why) == 1
             ? '1'
             : '0';
  if (write(report, &sign, 1) != 1)
    _exit(1);
  for (;;)
    pause();
}

static int can_connect(const place *p) {
  struct sockaddr_un un = name_of(p);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  int fine = connect(fd, (struct sockaddr *)&un, sizeof un) == 0;
  close(fd);
  return fine;
}

/* How many listen, when all have tried. */
static int count_listening(int report) {
  int count = 0;
  for (int i = 0; i < STARTERS; i++) {
    char sign;
    assert_int_equal(read(report, &sign, 1), 1);
    count += sign == '1';
  }
  return count;
}

static int play(const place *p, int *connects) {
  int go[2], report[2], count;
  pid_t starters[STARTERS];
  assert_int_equal(pipe(go), 0);
  assert_int_equal(pipe(report), 0);
  leave_stale(p);
  for (int i = 0; i < STARTERS; i++)
    if ((starters[i] = fork()) == 0) {
      close(go[1]);
      start(p, go[0], report[1]);
    }
  close(go[0]);
  close(go[1]);
  count = count_listening(report[0]);
  *connects = can_connect(p);
  for (int i = 0; i < STARTERS; i++) {
    kill(starters[i], SIGKILL);
    waitpid(starters[i], NULL, 0);
  }
  close(report[0]);
  close(report[1]);
  unlink(p->path);
  return count;
}

static void test_one_of_several_starters_listens(void **state) {
  for (int i = 0; i < ROUNDS; i++) {
    int connects, count = play(*state, &connects);
    if (count != 1 || !connects)
      fail_msg("round %d: %d of %d listen, and a client %s", i, count, STARTERS,
               connects ? "connects" : "does not connect");
  }
}

/* Anybody who can read the directory can lock it. */
static void test_a_lock_of_anothers_delays_and_no_more(void **state) {
  const fcgi__listen_options options = {.backlog = 16, .mode = 0600};
  const place *p = *state;
  fcgi__listener listener;
  char why[512];
  int fd = open(p->directory, O_RDONLY);
  assert_int_equal(flock(fd, LOCK_EX), 0);
  assert_int_equal(
      fcgi__listener_open(&listener, 1, p->address, &options, why, sizeof why),
      1);
  close(fd);
  fcgi__listener_close(&listener);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_one_of_several_starters_listens,
                                      set_up, tear_down),
      cmocka_unit_test_setup_teardown(
          test_a_lock_of_anothers_delays_and_no_more, set_up, tear_down),
  };
  return cmocka_run_group_tests_name("socket_starters", tests, NULL, NULL);
}
