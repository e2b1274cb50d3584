/* SPDX-License-Identifier: MIT */
#include "serve/ending.h"
#include "serve/relay.h"
#include "server/server.h"
#include <fastcgi/fastcgi.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct run {
  fcgi_server *server;         /* What to run. */
  const fcgi_handler *handler; /* Its callbacks. */
  void *user_data;             /* Theirs. */
  unsigned threads;            /* On how many threads. */
} run;

static void *run_thread(void *data) {
  const run *job = data;
  int result = fcgi_server_run(job->server, job->handler, job->user_data);
  return (void *)(intptr_t)result;
}

static unsigned start_threads(run *job, pthread_t *threads, unsigned count) {
  unsigned started = 0;
  while (started < count &&
         pthread_create(&threads[started], NULL, run_thread, job) == 0)
    started++;
  return started;
}

int fcgi_server_run_threads(fcgi_server *server, const fcgi_handler *handler,
                            void *user_data, unsigned threads) {
  run job = {.server = server, .handler = handler, .user_data = user_data};
  unsigned more = threads > 1 ? threads - 1 : 0, started;
  pthread_t *others;
  pid_t pid = getpid();
  int result;
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  others = calloc(more + 1, sizeof *others);
  if (!others)
    return FCGI_ERR_NOMEM;
  started = start_threads(&job, others, more);
  if (started < more)
    fcgi_server_stop(server, FCGI_STOP_NOW);
  result = fcgi_server_run(server, handler, user_data);
  if (pid != getpid())
    return result; /* A callback's child, which has no other threads. */
  for (unsigned i = 0; i < started; i++) {
    void *other = NULL;
    pthread_join(others[i], &other);
    if (!result)
      result = (int)(intptr_t)other;
  }
  free(others);
  return started < more ? FCGI_ERR_SYSTEM : result;
}

/* SIGUSR1, on which logs are reopened, would end the program where there are
   none; one that the program has a use for is left to it. */
static int takes_usr1(void) {
  struct sigaction before;
  return sigaction(SIGUSR1, NULL, &before) == 0 &&
         !(before.sa_flags & SA_SIGINFO) &&
         (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN);
}

/* What the thread that takes the signals works for. */
typedef struct stopper {
  fcgi_server *server; /* Which to stop. */
  atomic_int over;     /* 1: the server has returned. */
} stopper;

/* The next one, or 0 when the time has passed; -1 waits without end. */
static int take_signal(const sigset_t *set, int ms) {
  const struct timespec most = {.tv_sec = ms / 1000,
                                .tv_nsec = (long)(ms % 1000) * 1000000};
  int number = ms < 0 ? sigwaitinfo(set, NULL) : sigtimedwait(set, NULL, &most);
  return number < 0 ? 0 : number;
}

/* A thread of its own takes the signals, so that no global is needed to find
   the server. SIGUSR1 also makes it look at `over`. */
static void *wait_for_signals(void *data) {
  stopper *work = data;
  sigset_t set;
  fcgi__ending ending;
  fcgi__ending_init(&ending, work->server);
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGQUIT);
  sigaddset(&set, SIGUSR1);
  for (;;) {
    int number = take_signal(&set, fcgi__ending_wait_ms(&ending));
    if (atomic_load(&work->over))
      return NULL;
    if (number == SIGUSR1)
      fcgi_server_reopen_logs(work->server);
    else if (number > 0)
      fcgi__ending_signal(&ending, number);
    fcgi__ending_tick(&ending);
  }
}

/* The signal thread blocks every signal, so that the program's own handlers
   run on the program's threads. */
static int start_signal_thread(pthread_t *thread, stopper *work) {
  sigset_t all, before;
  int error;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(thread, NULL, wait_for_signals, work);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

/* A supervisor has its workers ignore SIGHUP, and what they start would. */
static void choose_signals(const fcgi_server *server, fcgi__relay *relay) {
  struct sigaction before;
  int count = 3;
  if (takes_usr1())
    relay->numbers[count++] = SIGUSR1;
  if (server->starter.supervisor[0] && sigaction(SIGHUP, NULL, &before) == 0 &&
      !(before.sa_flags & SA_SIGINFO) && before.sa_handler == SIG_IGN)
    relay->numbers[count] = SIGHUP;
}

int fcgi_serve_signals(fcgi_server *server, int (*run_it)(void *),
                       void *run_data) {
  fcgi__relay relay = {.numbers = {SIGTERM, SIGINT, SIGQUIT}};
  stopper work = {.server = server};
  pthread_t thread;
  pid_t pid = getpid();
  int result;
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  choose_signals(server, &relay);
  if (start_signal_thread(&thread, &work))
    return FCGI_ERR_SYSTEM;
  fcgi__relay_start(&relay, thread);
  result = run_it(run_data);
  fcgi__relay_stop(&relay);
  if (pid != getpid())
    return result; /* A handler's child, which has no such thread. */
  atomic_store(&work.over, 1);
  pthread_kill(thread, SIGUSR1);
  pthread_join(thread, NULL);
  return result;
}

static int run_server(void *data) {
  const run *job = data;
  return fcgi_server_run(job->server, job->handler, job->user_data);
}

static void complain(const char *message, int error) {
  fprintf(stderr, "fastcgi: %s\n", *message ? message : fcgi_error_text(error));
}

const char *fcgi_serve_address(int argc, char *const *argv) {
  const char *gateway = getenv("GATEWAY_INTERFACE");
  return argc > 1 && !(gateway && *gateway) ? argv[1] : NULL;
}

int fcgi_serve(const char *address, const fcgi_handler *handler,
               void *user_data) {
  run job = {.handler = handler, .user_data = user_data};
  char why[256] = "";
  int error = fcgi_server_new(&job.server, NULL, why, sizeof why);
  if (!error)
    error = fcgi_server_listen(job.server, address);
  if (!error)
    error = fcgi_serve_signals(job.server, run_server, &job);
  if (error)
    complain(job.server ? fcgi_server_message(job.server) : why, error);
  fcgi_server_free(job.server);
  return error;
}
