/* SPDX-License-Identifier: MIT */
/* One worker of a supervisor: a child of the test that waits for its end. */
#include "os/clock.h"
#include "parent/notify.h"
#include "supervisor/inbox.h"
#include "supervisor/supervisor.h"
#include "supervisor/worker.h"
#include "support/unit.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GRACE = 30000, TIMEOUT = 60000, LONG = 1000000, TOO_LONG = 4096 };

typedef struct scene {
  fcgi__supervisor s;  /* Its supervisor, which wants one worker. */
  fcgi__worker worker; /* The worker. */
  pid_t child;         /* The process, until its end is known. */
  int lifeline[2];     /* Where it can be asked to stop. */
  int rope[2];         /* What it holds: it ends with the test. */
} scene;

static void ignore_line(fcgi_log_level level, const char *line, void *data) {
  (void)level;
  (void)line;
  (void)data;
}

static int set_up(void **state) {
  scene *all = calloc(1, sizeof *all);
  fcgi__supervisor *s = &all->s;
  *state = all;
  s->config.log = ignore_line;
  s->config.graceful_timeout_ms = GRACE;
  s->config.timeout_ms = TIMEOUT;
  s->phase = FCGI__SUPERVISOR_SERVING;
  s->handover[0] = s->share[0] = -1;
  s->reload_due = s->measure_due = LLONG_MAX;
  s->current = s->wanted = 1;
  s->workers = &all->worker;
  s->worker_count = 1;
  if (pipe(all->lifeline) || pipe(all->rope))
    return -1;
  all->child = fork();
  if (all->child == 0) {
    char byte;
    close(all->rope[1]);
    _exit(read(all->rope[0], &byte, 1) != 0);
  }
  setpgid(all->child, all->child);
  all->worker = (fcgi__worker){.pid = all->child,
                               .generation = 1,
                               .slot = 0,
                               .lifeline = -1,
                               .alive_due = LLONG_MAX,
                               .retire_due = LLONG_MAX};
  return fcgi__board_new(&s->board, 1) || fcgi__board_take(&s->board, 1);
}

static int tear_down(void **state) {
  scene *all = *state;
  if (all->child > 0) {
    kill(all->child, SIGKILL);
    waitpid(all->child, NULL, 0);
  }
  for (int i = 0; i < 2; i++) {
    close(all->lifeline[i]);
    close(all->rope[i]);
  }
  fcgi__board_free(&all->s.board);
  free(all);
  return 0;
}

/* Which signal ends it. */
static int ended_by(scene *all) {
  int status;
  assert_int_equal(waitpid(all->child, &status, 0), all->child);
  all->child = -1;
  assert_true(WIFSIGNALED(status));
  return WTERMSIG(status);
}

static int lives(const scene *all) {
  return waitpid(all->child, NULL, WNOHANG) == 0;
}

static uint32_t shown_state(const scene *all) {
  return atomic_load(&fcgi__board_slot_at(&all->s.board, 0)->state);
}

static void test_a_stop_gives_it_time(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->worker;
  long long before = fcgi__now();
  w->state = FCGI__LIFE_READY;
  fcgi__worker_stop(&all->s, w);
  assert_int_equal(w->state, FCGI__LIFE_LEAVING);
  assert_in_range(w->kill_due, before + GRACE, fcgi__now() + GRACE);
  assert_int_equal(shown_state(all), FCGI_WORKER_DRAINING);
  assert_int_equal(ended_by(all), SIGTERM);
}

/* No signal reaches it then, which could end it in the middle of a request. */
static void test_a_stop_by_the_pipe(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->worker;
  char byte;
  w->lifeline = all->lifeline[1];
  w->hears = 1;
  fcgi__worker_stop(&all->s, w);
  assert_int_equal(read(all->lifeline[0], &byte, 1), 1);
  assert_int_equal(w->state, FCGI__LIFE_LEAVING);
  assert_true(lives(all));
}

/* Another stop gives no more time, a quick one less. */
static void test_a_stop_is_not_put_off(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->worker;
  long long due = fcgi__now() + GRACE / 3;
  w->lifeline = all->lifeline[1];
  w->hears = 1;
  w->state = FCGI__LIFE_LEAVING;
  w->kill_due = due;
  fcgi__worker_stop(&all->s, w);
  assert_int_equal(w->kill_due, due);
  fcgi__worker_hurry(&all->s, w);
  assert_true(w->kill_due < due);
  assert_int_equal(ended_by(all), SIGTERM);
}

static void test_a_quick_stop_of_one_that_knows_it(void **state) {
  scene *all = *state;
  long long before = fcgi__now();
  all->s.tells = 1;
  fcgi__worker_hurry(&all->s, &all->worker);
  assert_in_range(all->worker.kill_due, before + 800, fcgi__now() + 800);
  assert_int_equal(ended_by(all), SIGQUIT);
}

static void test_a_quick_stop_of_any_program(void **state) {
  scene *all = *state;
  long long before = fcgi__now();
  fcgi__worker_hurry(&all->s, &all->worker);
  assert_in_range(all->worker.kill_due, before + 5000, fcgi__now() + 5000);
  assert_int_equal(ended_by(all), SIGTERM);
}

/* And is not killed again. */
static void test_one_that_does_not_stop_is_killed(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->worker;
  w->state = FCGI__LIFE_LEAVING;
  w->kill_due = LONG;
  fcgi__workers_tick(&all->s, LONG - 1);
  assert_true(lives(all));
  fcgi__workers_tick(&all->s, LONG);
  assert_int_equal(ended_by(all), SIGKILL);
  assert_int_equal(w->kill_due, LLONG_MAX);
  assert_int_equal(
      atomic_load(&all->s.board.head->events[FCGI_SUPERVISED_KILLS]), 1);
}

static void test_one_that_tells_nothing_is_ready_after_a_while(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->worker;
  w->ready_due = LONG;
  w->start_due = 2 * LONG;
  fcgi__workers_tick(&all->s, LONG - 1);
  assert_int_equal(w->state, FCGI__LIFE_STARTING);
  all->s.tells = 1; /* Others do: this one is waited for. */
  fcgi__workers_tick(&all->s, LONG);
  assert_int_equal(w->state, FCGI__LIFE_STARTING);
  all->s.tells = 0;
  fcgi__workers_tick(&all->s, LONG);
  assert_int_equal(w->state, FCGI__LIFE_READY);
  assert_int_equal(shown_state(all), FCGI_WORKER_READY);
}

static void test_when_a_worker_is_due(void **state) {
  scene *all = *state;
  fcgi__worker w = {.ready_due = 5, .start_due = 7, .kill_due = 9};
  w.alive_due = 11;
  assert_int_equal(fcgi__worker_due(&all->s, &w), 5);
  w.ready_due = 8;
  assert_int_equal(fcgi__worker_due(&all->s, &w), 7);
  w.ready_due = 5;
  all->s.tells = 1;
  assert_int_equal(fcgi__worker_due(&all->s, &w), 7);
  w.state = FCGI__LIFE_LEAVING;
  assert_int_equal(fcgi__worker_due(&all->s, &w), 9);
  w.state = FCGI__LIFE_READY;
  assert_int_equal(fcgi__worker_due(&all->s, &w), 11);
}

static void test_how_a_worker_has_ended(void **state) {
  char text[96];
  (void)state;
  fcgi__worker_describe_end(3 << 8, text, sizeof text);
  assert_string_equal(text, "exited with status 3");
  fcgi__worker_describe_end(SIGKILL, text, sizeof text);
  assert_non_null(strstr(text, "was killed by signal 9"));
}

/* The test speaks as the worker. */
static void open_inbox(scene *all) {
  assert_int_equal(fcgi__inbox_open(&all->s), 0);
  all->worker.pid = getpid();
}

static void say(scene *all, const char *text) {
  assert_int_equal(fcgi__notify_send(all->s.notify_name, text), 0);
}

static void test_what_a_worker_says(void **state) {
  scene *all = *state;
  fcgi__worker *w = &all->worker;
  long long before = fcgi__now();
  open_inbox(all);
  w->lifeline = all->lifeline[1];
  say(all, "WATCHDOG=2\nFASTCGI=STOP_BY_PIPE\nREADY=1 \n");
  fcgi__inbox_take(&all->s);
  assert_int_equal(w->hears, 1);
  assert_int_equal(w->state, FCGI__LIFE_STARTING);
  assert_int_equal(w->alive_due, LLONG_MAX);
  say(all, "READY=1");
  say(all, "WATCHDOG=1");
  fcgi__inbox_take(&all->s);
  assert_int_equal(w->state, FCGI__LIFE_READY);
  assert_in_range(w->alive_due, before + TIMEOUT, fcgi__now() + TIMEOUT);
  assert_int_equal(w->spent, 0);
  say(all, "FASTCGI=RETIRE");
  fcgi__inbox_take(&all->s);
  assert_int_equal(w->spent, 1);
  close(all->s.notify);
}

/* Without a limit no sign of life is waited for. */
static void test_a_worker_that_need_not_say_that_it_lives(void **state) {
  scene *all = *state;
  open_inbox(all);
  all->s.config.timeout_ms = 0;
  say(all, "WATCHDOG=1");
  fcgi__inbox_take(&all->s);
  assert_int_equal(all->worker.alive_due, LLONG_MAX);
  close(all->s.notify);
}

/* Who is no worker says nothing, nor does a message that is cut. */
static void test_what_counts_for_nothing(void **state) {
  scene *all = *state;
  static char text[TOO_LONG + 1];
  open_inbox(all);
  all->worker.pid = INT_MAX;
  say(all, "FASTCGI=RETIRE");
  fcgi__inbox_take(&all->s);
  all->worker.pid = getpid();
  memset(text, '\n', TOO_LONG);
  memcpy(text, "FASTCGI=RETIRE", 14);
  say(all, text);
  fcgi__inbox_take(&all->s);
  assert_int_equal(all->worker.spent, 0);
  assert_int_equal(all->s.tells, 0);
  text[TOO_LONG - 1] = '\0'; /* As long as one may be. */
  say(all, text);
  fcgi__inbox_take(&all->s);
  assert_int_equal(all->worker.spent, 1);
  close(all->s.notify);
}

#define WORKER_TEST(name)                                                      \
  cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      WORKER_TEST(test_a_stop_gives_it_time),
      WORKER_TEST(test_a_stop_by_the_pipe),
      WORKER_TEST(test_a_stop_is_not_put_off),
      WORKER_TEST(test_a_quick_stop_of_one_that_knows_it),
      WORKER_TEST(test_a_quick_stop_of_any_program),
      WORKER_TEST(test_one_that_does_not_stop_is_killed),
      WORKER_TEST(test_one_that_tells_nothing_is_ready_after_a_while),
      WORKER_TEST(test_when_a_worker_is_due),
      cmocka_unit_test(test_how_a_worker_has_ended),
      WORKER_TEST(test_what_a_worker_says),
      WORKER_TEST(test_a_worker_that_need_not_say_that_it_lives),
      WORKER_TEST(test_what_counts_for_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
