/* SPDX-License-Identifier: MIT */
#include "supervisor/worker.h"
#include "options/again.h"
#include "os/carrier.h"
#include "os/clock.h"
#include "supervisor/census.h"
#include "supervisor/dictionaries.h"
#include "supervisor/generation.h"
#include "supervisor/limits.h"
#include "supervisor/plan.h"
#include "supervisor/quota.h"
#include "supervisor/sockets.h"
#include "supervisor/spawn.h"
#include "supervisor/upgrade.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  QUICK_MS = 5000, /* To go after a quick stop, before SIGKILL: */
  OURS_MS = 800    /* servers that tell how they are do within half a second. */
};

static int put(void *data, const char *name, const char *text) {
  return fcgi__environment_set(data, name, "%s", text);
}

static int put_own(void *data, const char *name, const char *text) {
  size_t size = strlen(text) + 2;
  char *rest = malloc(size);
  int failed = !rest;
  if (rest) {
    snprintf(rest, size, ":%s", text);
    failed = fcgi__environment_set_pid(data, name, rest);
  }
  free(rest);
  return failed ? -1 : 0;
}

/* What the options of the supervisor say for servers of this library. */
static int describe_server(const fcgi_supervisor_config *c,
                           fcgi_options *options, fcgi__environment *e) {
  int failed = options ? fcgi__options_export(options, put, put_own, e) : 0;
  if (!failed && c->max_requests > 0)
    failed = fcgi__environment_set(e, "FASTCGI_MAX_REQUESTS", "%" PRIu64,
                                   c->max_requests) ||
             fcgi__environment_set(e, "FASTCGI_MAX_REQUESTS_JITTER", "%" PRIu64,
                                   c->max_requests_jitter);
  return failed;
}

/* Where the worker is on the scoreboard, whose descriptor comes last. */
static int describe_slot(const fcgi__supervisor *s, fcgi__environment *e,
                         int slot) {
  char rest[32];
  if (slot < 0)
    return 0;
  snprintf(rest, sizeof rest, ":%d:%d",
           FCGI__PASSED_FIRST + (int)s->listener_count + 2, slot);
  return fcgi__environment_set(e, "FASTCGI_WORKER", "%d", slot) ||
         fcgi__environment_set_pid(e, "FASTCGI_SCOREBOARD", rest);
}

/* Its end of the pipe on which it is asked to stop comes after those, and is 0
   where there is none. */
static int describe_supervisor(const fcgi__supervisor *s,
                               const fcgi_supervisor_config *c,
                               fcgi__environment *e, int lifeline) {
  int before = (int)s->listener_count + 2 + (s->board.fd >= 0);
  char rest[64];
  snprintf(rest, sizeof rest, ":%ld:%d:%d", (long)getpid(),
           c->graceful_timeout_ms,
           lifeline < 0 ? 0 : FCGI__PASSED_FIRST + before);
  return fcgi__environment_set_pid(e, "FASTCGI_SUPERVISOR", rest);
}

/* The pair on which work is shared comes after that. */
static int describe_share(const fcgi__supervisor *s, fcgi__environment *e,
                          int lifeline) {
  int first = FCGI__PASSED_FIRST + (int)s->listener_count + 2 +
              (s->board.fd >= 0) + (lifeline >= 0);
  char ends[32];
  if (s->share[0] < 0)
    return 0;
  snprintf(ends, sizeof ends, ":%d:%d", first, first + 1);
  return fcgi__environment_set_pid(e, "FASTCGI_SHARE", ends);
}

/* The dictionaries and the table of limit_total come last of all. */
static int describe_memory(const fcgi__supervisor *s, fcgi__environment *e,
                           int lifeline) {
  int first = FCGI__PASSED_FIRST + (int)s->listener_count + 2 +
              (s->board.fd >= 0) + (lifeline >= 0) + 2 * (s->share[0] >= 0);
  return fcgi__dictionaries_describe(s, e, first) ||
         fcgi__supervisor_quota_describe(s, e,
                                         first + (int)s->dictionary_count);
}

static int describe(const fcgi__supervisor *s, const fcgi_supervisor_config *c,
                    fcgi__environment *e) {
  int first = FCGI__PASSED_FIRST + (int)s->listener_count, failed;
  char ends[32];
  snprintf(ends, sizeof ends, ":%d:%d", first, first + 1);
  failed = fcgi__environment_copy(e) ||
           fcgi__environment_set(e, "NOTIFY_SOCKET", "%s", s->notify_name) ||
           fcgi__environment_set(e, "LISTEN_FDS", "%zu", s->listener_count) ||
           fcgi__environment_set_pid(e, "LISTEN_PID", "") ||
           fcgi__environment_set_pid(e, "FASTCGI_HANDOVER", ends);
  if (!failed && s->listener_names[0])
    failed =
        fcgi__environment_set(e, "LISTEN_FDNAMES", "%s", s->listener_names);
  if (!failed && c->allow_from && !s->tcp_refused[0])
    failed =
        fcgi__environment_set(e, "FCGI_WEB_SERVER_ADDRS", "%s",
                              s->allow_text ? s->allow_text : c->allow_from);
  if (!failed && c->timeout_ms > 0)
    failed = fcgi__environment_set(e, "WATCHDOG_USEC", "%lld",
                                   1000LL * c->timeout_ms) ||
             fcgi__environment_set_pid(e, "WATCHDOG_PID", "");
  if (!failed && s->identity.name[0])
    failed = fcgi__environment_set(e, "USER", "%s", s->identity.name) ||
             fcgi__environment_set(e, "LOGNAME", "%s", s->identity.name) ||
             fcgi__environment_set(e, "HOME", "%s", s->identity.home);
  return failed;
}

static size_t list_passed(const fcgi__supervisor *s, int *passed,
                          int lifeline) {
  size_t count = fcgi__sockets_pass(s, passed);
  if (s->board.fd >= 0)
    passed[count++] = s->board.fd;
  if (lifeline >= 0)
    passed[count++] = lifeline;
  for (int i = 0; i < 2 && s->share[0] >= 0; i++)
    passed[count++] = s->share[i];
  count += fcgi__dictionaries_pass(s, passed + count);
  return count + fcgi__supervisor_quota_pass(s, passed + count);
}

/* The directory by its name, which may lead elsewhere than at the last reload:
   a descriptor, -1 when none is wanted, or -2 with errno. */
static int open_directory(const fcgi__supervisor *s) {
  const char *name = s->config.chdir;
  int start = fcgi__supervisor_start_directory(s), fd, saved;
  if (start < 0 || !name)
    return start < 0 ? -2 : start;
  fd = openat(start, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  saved = errno;
  close(start);
  errno = saved;
  fd = fd < 0 ? fd : fcgi__spawn_lift(fd);
  return fd < 0 ? -2 : fd;
}

static int describe_all(const fcgi__supervisor *s, unsigned generation,
                        int slot, int lifeline, fcgi__environment *e) {
  const fcgi_supervisor_config *c = fcgi__plan_config(s, generation);
  return describe(s, c, e) ||
         describe_server(c, fcgi__plan_options(s, generation), e) ||
         describe_slot(s, e, slot) || describe_supervisor(s, c, e, lifeline) ||
         describe_share(s, e, lifeline) || describe_memory(s, e, lifeline);
}

static pid_t spawn(const fcgi__supervisor *s, unsigned generation, int slot,
                   int lifeline) {
  int passed[FCGI__SOCKETS + 7 + FCGI__SHARED_DICTIONARIES],
      directory = open_directory(s);
  fcgi__environment environment;
  const fcgi__spawn how = {
      .path = s->path,
      .arguments = s->config.command,
      .environment = &environment,
      .passed = passed,
      .passed_count = list_passed(s, passed, lifeline),
      .standard_input = s->listeners[0].fd,
      .directory = directory,
      .is_worker = 1,
  };
  pid_t pid = -1;
  int error;
  if (directory == -2)
    return -1;
  if (describe_all(s, generation, slot, lifeline, &environment) == 0)
    pid = fcgi__spawn_start(&how);
  else
    errno = ENOMEM;
  error = errno;
  fcgi__environment_free(&environment);
  if (directory >= 0)
    close(directory);
  errno = error;
  return pid;
}

static int make_room(fcgi__supervisor *s) {
  size_t room = s->worker_room ? 2 * s->worker_room : 16;
  fcgi__worker *workers;
  if (s->worker_count < s->worker_room)
    return 0;
  workers = realloc(s->workers, room * sizeof *workers);
  if (!workers)
    return -1;
  s->workers = workers;
  s->worker_room = room;
  return 0;
}

/* A worker can do without, where no descriptor is left for it. */
static void open_lifeline(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0 &&
      (ends[0] = fcgi__spawn_lift(ends[0])) < 0)
    close(ends[1]);
  else if (ends[0] >= 0)
    return;
  ends[0] = ends[1] = -1;
}

static void close_lifeline(fcgi__worker *worker) {
  if (worker->lifeline >= 0)
    close(worker->lifeline);
  worker->lifeline = -1;
}

int fcgi__worker_start(fcgi__supervisor *s, unsigned generation) {
  long long now = fcgi__now();
  const fcgi_supervisor_config *c = fcgi__plan_config(s, generation);
  int slot = fcgi__board_take(&s->board, generation);
  int lifeline[2] = {-1, -1}, error;
  pid_t pid;
  open_lifeline(lifeline);
  pid = make_room(s) ? -1 : spawn(s, generation, slot, lifeline[0]);
  error = errno;
  if (lifeline[0] >= 0)
    close(lifeline[0]);
  if (pid < 0) {
    if (lifeline[1] >= 0)
      close(lifeline[1]);
    fcgi__board_release_slot(&s->board, slot);
    errno = error;
    return -1;
  }
  fcgi__board_set_pid(&s->board, slot, (int64_t)pid);
  s->workers[s->worker_count++] = (fcgi__worker){
      .pid = pid,
      .generation = generation,
      .slot = slot,
      .lifeline = lifeline[1],
      .started = now,
      .ready_due = c->ready_after_ms == FCGI_WAIT_FOREVER
                       ? LLONG_MAX
                       : now + c->ready_after_ms,
      .start_due = now + c->start_timeout_ms,
      .alive_due = LLONG_MAX,
      .retire_due = fcgi__limits_age_due(c, now, pid),
  };
  fcgi__supervisor_log(s, FCGI_LOG_DEBUG, "worker %ld starts, generation %u",
                       (long)pid, generation);
  return 0;
}

fcgi__worker *fcgi__worker_find(fcgi__supervisor *s, pid_t pid) {
  for (size_t i = 0; i < s->worker_count; i++)
    if (s->workers[i].pid == pid)
      return &s->workers[i];
  return NULL;
}

static void leave(fcgi__supervisor *s, fcgi__worker *worker, int signal_number,
                  int patience_ms) {
  long long due = fcgi__now() + patience_ms;
  if (worker->state != FCGI__LIFE_LEAVING || due < worker->kill_due)
    worker->kill_due = due;
  worker->state = FCGI__LIFE_LEAVING;
  fcgi__board_set_state(&s->board, worker->slot, FCGI_WORKER_DRAINING);
  if (signal_number)
    kill(worker->pid, signal_number);
}

/* SIGTERM would end a program that does nothing about it at once. */
void fcgi__worker_stop(fcgi__supervisor *s, fcgi__worker *worker) {
  int asked = worker->hears && write(worker->lifeline, "", 1) == 1;
  leave(s, worker, asked ? 0 : SIGTERM, s->config.graceful_timeout_ms);
}

/* SIGQUIT would leave a core of a program that does not know it. */
void fcgi__worker_hurry(fcgi__supervisor *s, fcgi__worker *worker) {
  int knows = s->tells && !worker->hears;
  leave(s, worker, knows ? SIGQUIT : SIGTERM, s->tells ? OURS_MS : QUICK_MS);
}

void fcgi__worker_kill(fcgi__supervisor *s, fcgi__worker *worker) {
  fcgi__board_count(&s->board, FCGI_SUPERVISED_KILLS);
  worker->state = FCGI__LIFE_LEAVING;
  worker->kill_due = LLONG_MAX;
  kill(worker->pid, SIGKILL);
  kill(-worker->pid, SIGKILL);
}

void fcgi__worker_is_ready(fcgi__supervisor *s, fcgi__worker *worker) {
  if (worker->state != FCGI__LIFE_STARTING)
    return;
  worker->state = FCGI__LIFE_READY;
  if (!worker->hears)
    close_lifeline(worker);
  fcgi__board_set_state(&s->board, worker->slot, FCGI_WORKER_READY);
  fcgi__supervisor_log(s, FCGI_LOG_DEBUG, "worker %ld is ready after %.1f s",
                       (long)worker->pid,
                       (double)(fcgi__now() - worker->started) / 1000);
  fcgi__generations_settle(s);
}

/* It has its own reasons. Another one starts at once, and it has the time of a
   graceful stop. */
void fcgi__worker_is_stopping(fcgi__supervisor *s, fcgi__worker *worker) {
  if (worker->state != FCGI__LIFE_READY)
    return;
  worker->state = FCGI__LIFE_LEAVING;
  worker->kill_due = fcgi__now() + s->config.graceful_timeout_ms;
  fcgi__board_count(&s->board, FCGI_SUPERVISED_EXITS);
  fcgi__supervisor_log(s, FCGI_LOG_INFO,
                       "worker %ld stops by itself; starting another",
                       (long)worker->pid);
  fcgi__generations_settle(s);
}

void fcgi__worker_is_alive(fcgi__supervisor *s, fcgi__worker *worker) {
  if (s->config.timeout_ms > 0)
    worker->alive_due = fcgi__now() + s->config.timeout_ms;
}

/* It says so before it is ready. */
void fcgi__worker_hears(fcgi__supervisor *s, fcgi__worker *worker) {
  (void)s;
  worker->hears = worker->lifeline >= 0;
}

/* It goes on serving until there is another one in its place. */
void fcgi__worker_is_spent(fcgi__supervisor *s, fcgi__worker *worker) {
  (void)s;
  worker->spent = 1;
  worker->retire_due = fcgi__now();
}

void fcgi__worker_describe_end(int status, char *out, size_t len) {
  if (WIFSIGNALED(status))
    snprintf(out, len, "was killed by signal %d (%s)", WTERMSIG(status),
             strsignal(WTERMSIG(status)));
  else
    snprintf(out, len, "exited with status %d", WEXITSTATUS(status));
}

/* It may have been the one that was woken for a connection; others look. */
static void tell_others(const fcgi__supervisor *s, const fcgi__worker *worker,
                        int status) {
  if (s->tells && s->phase == FCGI__SUPERVISOR_SERVING && s->handover[0] >= 0 &&
      (worker->state != FCGI__LIFE_LEAVING || WIFSIGNALED(status)))
    fcgi__carrier_look(s->handover[0]);
}

static void ended(fcgi__supervisor *s, pid_t pid, int status) {
  fcgi__worker *found = fcgi__worker_find(s, pid), worker;
  char how[96];
  if (!found) {
    fcgi__upgrade_child_ended(s, pid, status);
    return;
  }
  worker = *found;
  close_lifeline(found);
  *found = s->workers[--s->worker_count];
  fcgi__board_release_slot(&s->board, worker.slot);
  tell_others(s, &worker, status);
  if (worker.state != FCGI__LIFE_LEAVING)
    fcgi__census_ended(s, status);
  fcgi__worker_describe_end(status, how, sizeof how);
  if (worker.state == FCGI__LIFE_LEAVING)
    fcgi__supervisor_log(s, FCGI_LOG_DEBUG, "worker %ld has stopped: it %s",
                         (long)pid, how);
  else
    fcgi__generation_lost(s, &worker, how,
                          WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What a worker that did not end well leaves behind in its process group, such
   as the children of php-cgi, ends with it; one that did has ended what it did
   not mean to leave. As long as its status is not collected the number cannot
   be anybody else's. */
void fcgi__workers_reap(fcgi__supervisor *s) {
  for (;;) {
    siginfo_t about = {.si_pid = 0};
    int status;
    if (waitid(P_ALL, 0, &about, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        about.si_pid == 0)
      return;
    if (fcgi__worker_find(s, about.si_pid) &&
        (about.si_code != CLD_EXITED || about.si_status != 0))
      kill(-about.si_pid, SIGTERM);
    if (waitpid(about.si_pid, &status, 0) == about.si_pid)
      ended(s, about.si_pid, status);
  }
}

static void fail(fcgi__supervisor *s, fcgi__worker *worker, const char *what) {
  fcgi__worker copy = *worker;
  fcgi__worker_stop(s, worker);
  fcgi__generation_lost(s, &copy, what, 0);
}

/* It is alive and does nothing: it may even be stopped, so that only SIGKILL
   reaches it. */
static void bite(fcgi__supervisor *s, fcgi__worker *worker) {
  fcgi__worker copy = *worker;
  char what[96];
  snprintf(what, sizeof what, "has been silent for %.1f s, and is killed",
           s->config.timeout_ms / 1000.0);
  fcgi__board_count(&s->board, FCGI_SUPERVISED_HUNG);
  fcgi__worker_kill(s, worker);
  fcgi__generation_lost(s, &copy, what, 0);
}

static void tick_starting(fcgi__supervisor *s, fcgi__worker *w, long long now) {
  char what[96];
  if (!s->tells && w->ready_due <= now) {
    fcgi__worker_is_ready(s, w);
  } else if (w->start_due <= now) {
    snprintf(what, sizeof what, "was not ready within %.1f s",
             (double)(w->start_due - w->started) / 1000);
    fail(s, w, what);
  }
}

static void tick_leaving(fcgi__supervisor *s, fcgi__worker *w, long long now) {
  if (w->kill_due > now)
    return;
  fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                       "worker %ld did not stop in time, and is killed",
                       (long)w->pid);
  fcgi__worker_kill(s, w);
}

static void tick_ready(fcgi__supervisor *s, fcgi__worker *w, long long now) {
  if (w->alive_due <= now && !fcgi__limits_is_busy(s, w, now))
    bite(s, w);
  else if (w->generation == s->current)
    fcgi__backoff_lives(&s->backoff, now, w->started);
}

/* Starting workers may move the array: it is indexed anew each time. */
void fcgi__workers_tick(fcgi__supervisor *s, long long now) {
  static void (*const ticks[])(fcgi__supervisor *, fcgi__worker *,
                               long long) = {
      [FCGI__LIFE_STARTING] = tick_starting,
      [FCGI__LIFE_READY] = tick_ready,
      [FCGI__LIFE_LEAVING] = tick_leaving,
  };
  for (size_t i = 0; i < s->worker_count; i++)
    ticks[s->workers[i].state](s, &s->workers[i], now);
}

static long long smaller(long long a, long long b) {
  return a < b ? a : b;
}

long long fcgi__worker_due(const fcgi__supervisor *s, const fcgi__worker *w) {
  switch (w->state) {
  case FCGI__LIFE_STARTING:
    return s->tells ? w->start_due : smaller(w->start_due, w->ready_due);
  case FCGI__LIFE_LEAVING:
    return w->kill_due;
  default:
    return w->alive_due;
  }
}
