/* SPDX-License-Identifier: MIT */
#include "supervisor/supervisor.h"
#include "base/alloc.h"
#include "os/clock.h"
#include "supervisor/census.h"
#include "supervisor/check.h"
#include "supervisor/dictionaries.h"
#include "supervisor/generation.h"
#include "supervisor/inbox.h"
#include "supervisor/limits.h"
#include "supervisor/plan.h"
#include "supervisor/quota.h"
#include "supervisor/settings.h"
#include "supervisor/sockets.h"
#include "supervisor/spawn.h"
#include "supervisor/upgrade.h"
#include "supervisor/upstream.h"
#include "supervisor/worker.h"
#include <errno.h>
#include <fastcgi/options.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

void fcgi__supervisor_log(const fcgi__supervisor *s, fcgi_log_level level,
                          const char *format, ...) {
  char line[FCGI__SUPERVISOR_LINE], text[FCGI__SUPERVISOR_LINE + 40];
  va_list arguments;
  int len;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (s->config.log) {
    s->config.log(level, line, s->config.log_data);
  } else if (s->config.log_levels & 1u << level) {
    len = snprintf(text, sizeof text, "%.32s: %s", s->config.log_name, line);
    fcgi__logs_say(s->logs, text, (size_t)len);
  }
}

/* Connections that are to be passed on have nobody to take them any more. */
static void end_handover(const fcgi__supervisor *s) {
  fcgi__sockets_end_share(s);
  if (s->owns && s->phase == FCGI__SUPERVISOR_STOPPING && s->handover[0] >= 0) {
    shutdown(s->handover[0], SHUT_RDWR);
    shutdown(s->handover[1], SHUT_RDWR);
  }
}

void fcgi__supervisor_stop(fcgi__supervisor *s, int quickly) {
  if (s->phase <= FCGI__SUPERVISOR_SERVING) {
    s->phase = FCGI__SUPERVISOR_STOPPING;
    fcgi__upstream_is_stopping(s);
    end_handover(s);
    if (s->successor)
      kill(s->successor, SIGTERM);
  } else {
    quickly = 1;
  }
  if (s->hurried)
    return;
  s->hurried = quickly;
  for (size_t i = 0; i < s->worker_count; i++)
    (quickly ? fcgi__worker_hurry : fcgi__worker_stop)(s, &s->workers[i]);
}

static void on_stop(fcgi__supervisor *s) {
  int again = s->phase > FCGI__SUPERVISOR_SERVING;
  if (!s->hurried)
    fcgi__supervisor_log(s, FCGI_LOG_INFO,
                         again ? "stopping quickly" : "stopping");
  fcgi__supervisor_stop(s, 0);
}

static void on_quit(fcgi__supervisor *s) {
  if (!s->hurried)
    fcgi__supervisor_log(s, FCGI_LOG_INFO, "stopping quickly");
  fcgi__supervisor_stop(s, 1);
}

/* A worker that does not know the signal ignores it. */
static void on_reopen(fcgi__supervisor *s) {
  for (size_t i = 0; i < s->worker_count; i++)
    kill(s->workers[i].pid, SIGUSR1);
}

/* A generation that is starting becomes larger or smaller, too. */
static void set_wanted(fcgi__supervisor *s, unsigned wanted) {
  if (s->phase != FCGI__SUPERVISOR_SERVING || wanted == 0 ||
      wanted > fcgi_option_find("workers")->most)
    return;
  if (s->coming.wanted == s->wanted)
    s->coming.wanted = wanted;
  s->wanted = wanted;
  fcgi__supervisor_log(s, FCGI_LOG_INFO, "%u worker%s from now on", wanted,
                       wanted == 1 ? "" : "s");
}

static void on_more(fcgi__supervisor *s) {
  set_wanted(s, s->wanted + 1);
}

static void on_fewer(fcgi__supervisor *s) {
  set_wanted(s, s->wanted - 1);
}

/* What a signal does, in the order in which those that came together are seen
   to. */
static const struct {
  int number;
  void (*act)(fcgi__supervisor *s);
} actions[] = {
    {SIGCHLD, fcgi__workers_reap},
    {SIGUSR1, on_reopen},
    {SIGTTIN, on_more},
    {SIGTTOU, on_fewer},
    {SIGHUP, fcgi__generation_want},
    {SIGUSR2, fcgi__upgrade_begin},
    {SIGTERM, on_stop},
    {SIGINT, on_stop},
    {SIGQUIT, on_quit},
};

static void take_signals(fcgi__supervisor *s) {
  sigset_t came;
  if (fcgi__signals_take(&s->signals, &came) < 0)
    return;
  for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
    if (sigismember(&came, actions[i].number) == 1)
      actions[i].act(s);
}

static void lower(long long *due, long long value) {
  if (value < *due)
    *due = value;
}

static int wait_ms(const fcgi__supervisor *s) {
  long long due = LLONG_MAX, now = fcgi__now();
  for (size_t i = 0; i < s->worker_count; i++)
    lower(&due, fcgi__worker_due(s, &s->workers[i]));
  lower(&due, fcgi__generations_due(s));
  lower(&due, fcgi__limits_due(s));
  if (s->successor)
    lower(&due, s->successor_due);
  lower(&due, fcgi__upstream_due(s));
  if (due == LLONG_MAX)
    return -1;
  return due <= now ? 0 : due - now > INT_MAX ? INT_MAX : (int)(due - now);
}

/* A worker's message is taken before its end, which comes after it. */
static void turn(fcgi__supervisor *s) {
  struct pollfd ready[] = {{.fd = s->signals.in, .events = POLLIN},
                           {.fd = s->notify, .events = POLLIN}};
  long long now;
  poll(ready, 2, wait_ms(s));
  fcgi__inbox_take(s);
  take_signals(s);
  now = fcgi__now();
  fcgi__workers_tick(s, now);
  fcgi__upgrade_tick(s, now);
  fcgi__limits_tick(s, now);
  fcgi__upstream_tick(s, now);
  fcgi__generations_settle(s);
}

static int is_over(const fcgi__supervisor *s) {
  return s->phase > FCGI__SUPERVISOR_SERVING && s->worker_count == 0 &&
         !s->successor;
}

/* --- Beginning and end ---------------------------------------------------- */

static int fail(char *why, size_t len, const char *what) {
  snprintf(why, len, "%s: %s", what, strerror(errno));
  return -1;
}

/* $PWD, where it still is the name of this directory and not just any. */
static void find_start(fcgi__supervisor *s) {
  const char *name = getenv("PWD");
  struct stat here, there;
  s->start_directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (s->start_directory >= 0)
    s->start_directory = fcgi__spawn_lift(s->start_directory);
  if (name && *name == '/' && strlen(name) < sizeof s->start_path &&
      stat(".", &here) == 0 && stat(name, &there) == 0 &&
      here.st_dev == there.st_dev && here.st_ino == there.st_ino)
    strcpy(s->start_path, name);
}

int fcgi__supervisor_start_directory(const fcgi__supervisor *s) {
  int fd = -1;
  if (s->start_path[0])
    fd = open(s->start_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && s->start_path[0])
    fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                         "%s: %s; what starts now starts in the directory that "
                         "was there",
                         s->start_path, strerror(errno));
  if (fd < 0)
    return fcntl(s->start_directory, F_DUPFD_CLOEXEC, FCGI__PASSED_FLOOR);
  return fcgi__spawn_lift(fd);
}

static int go_to_directory(fcgi__supervisor *s, char *why, size_t len) {
  const char *directory = s->config.chdir;
  find_start(s);
  if (s->config.has_umask)
    umask((mode_t)s->config.umask);
  return directory && chdir(directory) < 0 ? fail(why, len, directory) : 0;
}

static int find_programs(fcgi__supervisor *s, char *why, size_t len) {
  const fcgi_supervisor_config *c = &s->config;
  if (c->self &&
      fcgi__spawn_find(c->self[0], s->self_path, sizeof s->self_path))
    s->self_path[0] = '\0';
  if (go_to_directory(s, why, len))
    return -1;
  if (fcgi__spawn_find(c->command[0], s->path, sizeof s->path) == 0)
    return 0;
  snprintf(why, len, "cannot run %s: %s", c->command[0], strerror(errno));
  return -1;
}

static int find_identity(fcgi__supervisor *s, char *why, size_t len) {
  const fcgi_supervisor_config *c = &s->config;
  if (fcgi__identity_find(&s->identity, c->user, c->group, why, len))
    return -1;
  if (geteuid() != 0 || c->user || c->allow_root)
    return 0;
  snprintf(why, len,
           "the workers would run as root; name a user for them (--user), or "
           "allow it (--allow-root)");
  return -1;
}

static int open_pair(int pair[2], char *why, size_t len) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
    return fail(why, len, "no pair of sockets");
  for (int i = 0; i < 2; i++) {
    pair[i] = fcgi__spawn_lift(pair[i]);
    if (pair[i] < 0)
      return fail(why, len, "no pair of sockets");
  }
  return 0;
}

/* The more the kernel keeps, the fewer connections wait at a worker; it cuts
   what is more than it allows. */
static int open_share(fcgi__supervisor *s, char *why, size_t len) {
  const int bytes = 1 << 24;
  if (s->config.no_balance)
    return 0;
  if (open_pair(s->share, why, len))
    return -1;
  setsockopt(s->share[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return 0;
}

static int open_new(fcgi__supervisor *s, char *why, size_t len) {
  const char *pid_file = s->config.pid;
  s->owns = 1;
  if (pid_file && fcgi__pidfile_open(&s->pidfile, pid_file, why, len))
    return -1;
  if (s->pidfile.fd >= 0)
    s->pidfile.fd = fcgi__spawn_lift(s->pidfile.fd);
  return fcgi__sockets_open(s, why, len) || open_pair(s->handover, why, len)
             ? -1
             : 0;
}

static int open_all(fcgi__supervisor *s, char *why, size_t len) {
  int inherited;
  if (find_programs(s, why, len) || find_identity(s, why, len) ||
      fcgi__sockets_read_allow(s, why, len))
    return -1;
  inherited = fcgi__upgrade_inherit(s);
  if (inherited < 0)
    return fail(why, len, "cannot take over from the old supervisor");
  if (inherited ? fcgi__sockets_check_inherited(s, why, len)
                : open_new(s, why, len))
    return -1;
  if (open_share(s, why, len) || fcgi__dictionaries_open(s, why, len))
    return -1;
  fcgi__supervisor_quota_open(s);
  if (fcgi__identity_become(&s->identity, why, len))
    return -1;
  return fcgi__inbox_open(s) ? fail(why, len, "no socket for the workers") : 0;
}

static void close_fd(int fd) {
  if (fd >= 0)
    close(fd);
}

static void close_all(fcgi__supervisor *s) {
  if (s->owns)
    fcgi__pidfile_remove(&s->pidfile);
  fcgi__pidfile_leave(&s->pidfile);
  fcgi__sockets_close(s);
  for (size_t i = 0; i < FCGI__SOCKETS; i++)
    close_fd(s->directories[i]);
  close_fd(s->handover[0]);
  close_fd(s->handover[1]);
  close_fd(s->share[0]);
  close_fd(s->share[1]);
  close_fd(s->notify);
  fcgi__board_free(&s->board);
  fcgi__dictionaries_close(s);
  fcgi__supervisor_quota_close(s);
  close_fd(s->start_directory);
  fcgi__plan_free(s);
  free(s->workers);
}

static void run(fcgi__supervisor *s) {
  fcgi__supervisor_log(s, FCGI_LOG_INFO, "starting %u worker%s: %s, pid %ld",
                       s->wanted, s->wanted == 1 ? "" : "s", s->path,
                       (long)getpid());
  fcgi__upstream_find(s);
  fcgi__census_open(s);
  fcgi__generation_begin(s);
  while (!is_over(s))
    turn(s);
  fcgi__upstream_end(s);
}

/* The steps of open_all, which make nothing here. Whoever asks goes on in its
   own directory. */
static int check(fcgi__supervisor *s, char *why, size_t len) {
  mode_t mask = umask(0);
  int failed;
  umask(mask);
  failed = find_programs(s, why, len) || find_identity(s, why, len) ||
           fcgi__sockets_read_allow(s, why, len) ||
           fcgi__sockets_check(s, why, len) || fcgi__check_files(s, why, len);
  umask(mask);
  if (s->config.chdir && fchdir(s->start_directory) < 0 && !failed)
    failed = fail(why, len, "cannot go back to where it was started");
  return failed ? -1 : 0;
}

/* Between the opening and the closing: an exit status. */
static int open_and_run(fcgi__supervisor *s, char *why, size_t len) {
  int failed;
  s->wanted = s->config.workers;
  failed = s->config.check_only ? check(s, why, len) : open_all(s, why, len);
  if (failed) {
    fcgi__supervisor_log(s, FCGI_LOG_ERROR, "%s", why);
    return FCGI_SUPERVISOR_FAILED;
  }
  if (!s->config.check_only)
    run(s);
  return s->status;
}

int fcgi_supervisor_run(const fcgi_supervisor_config *config) {
  const fcgi_allocator allocator = fcgi__allocator(NULL);
  const fcgi__log_sink to_stderr = {.levels = ~0u};
  char why[FCGI__SUPERVISOR_LINE];
  fcgi__supervisor *s = calloc(1, sizeof *s);
  int status = FCGI_SUPERVISOR_FAILED;
  fcgi_standard_hold();
  if (s)
    s->logs = fcgi__logs_make(&allocator, &to_stderr);
  if (!s || !s->logs) {
    free(s);
    return status;
  }
  s->start_directory = s->handover[0] = s->handover[1] = s->notify = -1;
  s->share[0] = s->share[1] = s->quota = -1;
  s->pidfile.fd = s->board.fd = -1;
  for (size_t i = 0; i < FCGI__SOCKETS; i++)
    s->directories[i] = -1;
  s->reload_due = LLONG_MAX;
  s->given = config;
  if (fcgi__settings_take(&s->config, config, why, sizeof why)) {
    fcgi__supervisor_log(s, FCGI_LOG_ERROR, "%s", why);
  } else if (fcgi__signals_start(&s->signals)) {
    fcgi__supervisor_log(s, FCGI_LOG_ERROR, "no signals: %s", strerror(errno));
  } else {
    status = open_and_run(s, why, sizeof why);
    close_all(s);
    fcgi__signals_stop(&s->signals);
  }
  fcgi__logs_end(s->logs);
  free(s);
  return status;
}
