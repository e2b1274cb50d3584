/* SPDX-License-Identifier: MIT */
/* fcgi_serve_signals in a process of its own, to which real signals come. */
#include "support/lateness.h"
#include "support/unit.h"

#include <fastcgi/fastcgi.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS = 'r', STOPS = 's', WRONG = 3, LONG_S = 60 };

/* The process, seen from both sides. */
typedef struct process {
  int (*run)(void *);  /* What it serves with. */
  int graceful_ms;     /* Its graceful_timeout_ms. */
  fcgi_server *server; /* Inside it. */
  pid_t pid;           /* Its number. */
  int told[2];         /* A pipe on which it says how far it is. */
} process;

static void tell(const process *p, char what) {
  if (write(p->told[1], &what, 1) != 1)
    _exit(WRONG);
}

static char hear(const process *p) {
  char what = 0;
  assert_int_equal(read(p->told[0], &what, 1), 1);
  return what;
}

/* A handler of the program's, which has to be there again in the end. */
static void on_term(int number) {
  (void)number;
}

static int is_put_back(void) {
  struct sigaction term, quit;
  return sigaction(SIGTERM, NULL, &term) == 0 && term.sa_handler == on_term &&
         sigaction(SIGQUIT, NULL, &quit) == 0 && quit.sa_handler == SIG_DFL;
}

static void live(process *p) {
  fcgi_server_config config = {.size = sizeof config,
                               .graceful_timeout_ms = p->graceful_ms};
  char name[64];
  int result;
  alarm(LONG_S);
  signal(SIGTERM, on_term);
  signal(SIGINT, SIG_DFL); /* A shell's background ignores these. */
  signal(SIGQUIT, SIG_DFL);
  snprintf(name, sizeof name, "unix:@unit-signals-%ld", (long)getpid());
  if (fcgi_server_new(&p->server, &config, NULL, 0) ||
      fcgi_server_listen(p->server, name))
    _exit(WRONG);
  result = fcgi_serve_signals(p->server, p->run, p);
  if (!is_put_back())
    _exit(WRONG);
  fcgi_server_free(p->server);
  _exit(result);
}

static void begin(process *p) {
  assert_int_equal(pipe(p->told), 0);
  p->pid = fork();
  assert_true(p->pid >= 0);
  if (p->pid == 0)
    live(p);
  assert_int_equal(hear(p), RUNS);
}

/* How it ended, as wait(2) has it. */
static int end(const process *p) {
  int status = -1;
  assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
  close(p->told[0]);
  close(p->told[1]);
  return status;
}

/* Until the server has stopped; nobody connects. */
static int serve(void *data) {
  process *p = data;
  fcgi_server_event event = {.size = sizeof event};
  int result;
  tell(p, RUNS);
  do
    result = fcgi_server_next(p->server, &event, -1);
  while (result >= 0);
  return 0;
}

static int hang(void *data) {
  tell(data, RUNS);
  while (pause() < 0)
    ;
  return 0;
}

/* The first signal is taken once the server has stopped. */
static int hang_after_a_stop(void *data) {
  serve(data);
  tell(data, STOPS);
  while (pause() < 0)
    ;
  return 0;
}

/* Its child does by a signal what is the default, and the server goes on. */
static int lose_a_child(void *data) {
  process *p = data;
  int status = -1;
  pid_t pid = fork();
  while (pid == 0)
    pause();
  kill(pid, SIGTERM);
  if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) ||
      WTERMSIG(status) != SIGTERM)
    return WRONG;
  return serve(p);
}

/* The kernel gives the signal to this thread, which blocks none. SIGQUIT is
   none of them: it gives a busy machine half a second. */
static void test_each_stops_it(void **state) {
  static const int numbers[] = {SIGTERM, SIGINT};
  (void)state;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    process p = {.run = serve};
    begin(&p);
    kill(p.pid, numbers[i]);
    assert_int_equal(end(&p), 0);
  }
}

static void test_logs_are_reopened_and_it_goes_on(void **state) {
  process p = {.run = serve};
  (void)state;
  begin(&p);
  kill(p.pid, SIGUSR1);
  kill(p.pid, SIGUSR1);
  kill(p.pid, SIGTERM);
  assert_int_equal(end(&p), 0);
}

static void test_a_child_has_the_defaults(void **state) {
  process p = {.run = lose_a_child};
  (void)state;
  begin(&p);
  kill(p.pid, SIGTERM);
  assert_int_equal(end(&p), 0);
}

/* Handlers that do not return: the process ends within a second, and says by
   what. */
static void test_what_hangs_is_ended(void **state) {
  static const struct {
    int first, second, by;
  } cases[] = {{SIGTERM, 0, SIGTERM},
               {SIGINT, 0, SIGINT},
               {SIGQUIT, 0, SIGTERM},
               {SIGTERM, SIGINT, SIGINT},
               {SIGINT, SIGTERM, SIGTERM}};
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    process p = {.run = cases[i].second ? hang_after_a_stop : hang,
                 .graceful_ms = cases[i].second ? 600000 : 50};
    lateness second;
    int status;
    begin(&p);
    if (cases[i].second) {
      kill(p.pid, cases[i].first);
      assert_int_equal(hear(&p), STOPS);
    }
    lateness_begin(&second);
    kill(p.pid, cases[i].second ? cases[i].second : cases[i].first);
    status = end(&p);
    lateness_expect(&second, 1000);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), cases[i].by);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_stops_it),
      cmocka_unit_test(test_logs_are_reopened_and_it_goes_on),
      cmocka_unit_test(test_a_child_has_the_defaults),
      cmocka_unit_test(test_what_hangs_is_ended),
  };
  return cmocka_run_group_tests_name("serve.signals", tests, NULL, NULL);
}
