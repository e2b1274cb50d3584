/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade.h"
#include "base/number.h"
#include "os/carrier.h"
#include "os/clock.h"
#include "os/listener.h"
#include "supervisor/dictionaries.h"
#include "supervisor/quota.h"
#include "supervisor/sockets.h"
#include "supervisor/spawn.h"
#include "supervisor/upstream.h"
#include "supervisor/worker.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* PID:LISTENERS:OWNED:PIDFILE. OWNED has bit i set when listener i is a socket
   file of ours to remove; PIDFILE is 1 when the pid file's descriptor follows
   the pair. The directories of those socket files come behind it, then the
   dictionaries and the table of limit_total, of which FASTCGI_SHARED_MEMORY and
   FASTCGI_QUOTA tell. */
static const char variable[] = "FASTCGI_UPGRADE";
enum { PATIENCE_MS = 10000 }; /* Beyond what the workers may take. */

static unsigned owned_mask(const fcgi__supervisor *s) {
  unsigned mask = 0;
  for (size_t i = 0; i < s->listener_count; i++)
    if (s->listeners[i].file.name[0])
      mask |= 1u << i;
  return mask;
}

static int describe(const fcgi__supervisor *s, fcgi__environment *e,
                    size_t passed) {
  const int quota = FCGI__PASSED_FIRST + (int)passed - (s->quota >= 0);
  char rest[64];
  int failed;
  snprintf(rest, sizeof rest, ":%zu:%u:%d", s->listener_count, owned_mask(s),
           s->pidfile.fd >= 0);
  failed =
      fcgi__environment_copy(e) ||
      fcgi__environment_set(e, "FASTCGI_UPGRADE_NOTIFY", "%s",
                            s->notify_name) ||
      fcgi__environment_set_pid(e, variable, rest) ||
      fcgi__dictionaries_describe(s, e, quota - (int)s->dictionary_count) ||
      fcgi__supervisor_quota_describe(s, e, quota);
  if (!failed && s->listener_names[0])
    failed =
        fcgi__environment_set(e, "LISTEN_FDNAMES", "%s", s->listener_names);
  if (!failed && s->upstream_ms > 0)
    failed = fcgi__environment_set(e, "WATCHDOG_USEC", "%lld",
                                   2000 * s->upstream_ms) ||
             fcgi__environment_set_pid(e, "WATCHDOG_PID", "");
  return failed;
}

static size_t list_passed(const fcgi__supervisor *s, int *passed) {
  size_t count = fcgi__sockets_pass(s, passed);
  if (s->pidfile.fd >= 0)
    passed[count++] = s->pidfile.fd;
  for (size_t i = 0; i < s->listener_count; i++)
    if (s->listeners[i].file.name[0])
      passed[count++] = s->listeners[i].file.directory;
  count += fcgi__dictionaries_pass(s, passed + count);
  return count + fcgi__supervisor_quota_pass(s, passed + count);
}

static pid_t spawn(const fcgi__supervisor *s) {
  int passed[2 * FCGI__SOCKETS + 4 + FCGI__SHARED_DICTIONARIES];
  int start = fcgi__supervisor_start_directory(s);
  fcgi__environment environment;
  const fcgi__spawn how = {
      .path = s->self_path,
      .arguments = s->config.self,
      .environment = &environment,
      .passed = passed,
      .passed_count = list_passed(s, passed),
      .standard_input = -1,
      .directory = start,
  };
  pid_t pid = -1;
  int error;
  if (start < 0)
    return -1;
  if (describe(s, &environment, how.passed_count) == 0)
    pid = fcgi__spawn_start(&how);
  else
    errno = ENOMEM;
  error = errno;
  fcgi__environment_free(&environment);
  close(start);
  errno = error;
  return pid;
}

/* Why a new supervisor cannot be started now, or NULL. */
static const char *refusal(const fcgi__supervisor *s) {
  if (s->phase != FCGI__SUPERVISOR_SERVING)
    return "this one is not serving";
  if (s->successor)
    return "one is being started already";
  if (!s->self_path[0])
    return "this program did not say how to start it again";
  if (getpid() == 1)
    return "process 1 ends the container when it ends; use SIGHUP";
  return NULL;
}

void fcgi__upgrade_begin(fcgi__supervisor *s) {
  const char *why = refusal(s);
  if (why) {
    fcgi__supervisor_log(s, FCGI_LOG_WARNING, "no new supervisor: %s", why);
    return;
  }
  s->successor = spawn(s);
  if (s->successor < 0) {
    s->successor = 0;
    fcgi__supervisor_log(s, FCGI_LOG_ERROR, "no new supervisor: %s: %s",
                         s->self_path, strerror(errno));
    return;
  }
  s->successor_due = fcgi__now() + s->config.start_timeout_ms + PATIENCE_MS;
  fcgi__supervisor_log(s, FCGI_LOG_INFO, "a new supervisor starts, pid %ld",
                       (long)s->successor);
}

/* What it has now is not ours to remove any more. */
void fcgi__upgrade_is_ready(fcgi__supervisor *s) {
  fcgi__supervisor_log(s, FCGI_LOG_INFO,
                       "the new supervisor, pid %ld, is ready; this one stops",
                       (long)s->successor);
  fcgi__upstream_moves(s, s->successor);
  for (size_t i = 0; i < s->listener_count; i++)
    fcgi__socket_file_leave(&s->listeners[i].file);
  s->owns = 0;
  s->successor = 0;
  s->phase = FCGI__SUPERVISOR_REPLACED;
  fcgi__sockets_end_share(s);
  for (size_t i = 0; i < s->worker_count; i++)
    fcgi__worker_stop(s, &s->workers[i]);
}

void fcgi__upgrade_child_ended(fcgi__supervisor *s, pid_t pid, int status) {
  char how[96];
  if (pid != s->successor)
    return;
  s->successor = 0;
  fcgi__worker_describe_end(status, how, sizeof how);
  fcgi__supervisor_log(s, FCGI_LOG_ERROR,
                       "the new supervisor, pid %ld, %s before it was ready; "
                       "this one goes on",
                       (long)pid, how);
}

void fcgi__upgrade_tick(fcgi__supervisor *s, long long now) {
  if (!s->successor || s->successor_due > now)
    return;
  s->successor_due = LLONG_MAX;
  fcgi__supervisor_log(s, FCGI_LOG_ERROR,
                       "the new supervisor, pid %ld, was not ready in time, "
                       "and is stopped",
                       (long)s->successor);
  kill(s->successor, SIGTERM);
}

/* Ours to remove from now on, if it is still the same file. */
static void own(fcgi__listener *listener, int *directory) {
  if (fcgi__socket_file_adopt(&listener->file, listener->fd, *directory) == 0)
    listener->own = 1;
  else
    fcgi__socket_file_leave(&listener->file);
  *directory = -1;
}

/* Until then they are the old supervisor's, which goes on if this one fails. */
void fcgi__upgrade_own(fcgi__supervisor *s) {
  if (s->owns)
    return;
  s->owns = 1;
  for (size_t i = 0; i < s->listener_count; i++) {
    if (s->owned & 1u << i)
      own(&s->listeners[i], &s->directories[i]);
    if (fcgi__sockets_guard(s, s->listeners[i].fd))
      fcgi__supervisor_log(s, FCGI_LOG_ERROR, "the old allow list goes on: %s",
                           strerror(errno));
  }
}

/* --- The new one ---------------------------------------------------------- */

/* What the variable says. */
typedef struct fcgi__bequest {
  int pid;       /* Whom it is for. */
  int listeners; /* Number of them. */
  int owned;     /* Those with socket files to remove, by bits. */
  int pidfile;   /* 1: there is one. */
} fcgi__bequest;

static int is_directory(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
}

/* What is wrong with it, or NULL. */
static const char *check_numbers(const fcgi__bequest *b) {
  return b->listeners == 0 || b->listeners > FCGI__SOCKETS ||
                 b->owned >> b->listeners != 0 || b->pidfile > 1
             ? "its numbers are none that a supervisor writes"
             : NULL;
}

/* The same of the descriptors, in their order. Other things may stand there,
   and are not ours to move or to close. */
static const char *check_descriptors(const fcgi__bequest *b) {
  int next = FCGI__PASSED_FIRST;
  for (int i = 0; i < b->listeners; i++)
    if (!fcgi__listener_is_one(next++))
      return "what stands where the listeners should be is none";
  for (int i = 0; i < 2; i++)
    if (!fcgi__carrier_is_one(next++))
      return "there is no pair of sockets for connections";
  if (b->pidfile && !fcgi__pidfile_is_one(next++))
    return "there is no pid file";
  for (int i = 0; i < b->listeners; i++)
    if ((unsigned)b->owned & 1u << i && !is_directory(next++))
      return "there are no directories of the sockets";
  return NULL;
}

/* 1 with what it says, 0 where nothing is said to this process. */
static int read_bequest(const fcgi__supervisor *s, fcgi__bequest *b) {
  const char *text = getenv(variable), *wrong;
  int said[4];
  if (!text || !*text)
    return 0;
  if (fcgi__number_list(text, said, 4) < 0) {
    wrong = "it must be PID:LISTENERS:OWNED:PIDFILE";
  } else if (said[0] != getpid()) {
    return 0;
  } else {
    *b = (fcgi__bequest){said[0], said[1], said[2], said[3]};
    wrong = check_numbers(b);
    if (!wrong)
      wrong = check_descriptors(b);
  }
  if (wrong)
    fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                         "%s=\"%.64s\" is ignored: %s; this supervisor takes "
                         "over from no other",
                         variable, text, wrong);
  return !wrong;
}

static int take_listeners(fcgi__supervisor *s, unsigned count) {
  const char *names = getenv("LISTEN_FDNAMES");
  for (unsigned i = 0; i < count; i++) {
    int fd = fcgi__spawn_lift(FCGI__PASSED_FIRST + (int)i);
    if (fd < 0)
      return -1;
    s->listeners[i] = (fcgi__listener){.fd = fd};
    s->listener_count = i + 1;
  }
  snprintf(s->listener_names, sizeof s->listener_names, "%s",
           names ? names : "");
  return 0;
}

static int take_directories(fcgi__supervisor *s, int next) {
  for (size_t i = 0; i < s->listener_count; i++) {
    if (!(s->owned & 1u << i))
      continue;
    s->directories[i] = fcgi__spawn_lift(next++);
    if (s->directories[i] < 0)
      return -1;
  }
  return 0;
}

int fcgi__upgrade_inherit(fcgi__supervisor *s) {
  fcgi__bequest said = {.listeners = 0};
  int next;
  if (!read_bequest(s, &said))
    return 0;
  if (take_listeners(s, (unsigned)said.listeners))
    return -1;
  s->owned = (unsigned)said.owned;
  next = FCGI__PASSED_FIRST + said.listeners;
  s->handover[0] = fcgi__spawn_lift(next);
  s->handover[1] = fcgi__spawn_lift(next + 1);
  next += 2;
  if (said.pidfile)
    s->pidfile =
        (fcgi__pidfile){.fd = fcgi__spawn_lift(next++), .path = s->config.pid};
  if (s->handover[0] < 0 || s->handover[1] < 0)
    return -1;
  return take_directories(s, next) < 0 ? -1 : 1;
}
