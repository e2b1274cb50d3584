/* SPDX-License-Identifier: MIT */
/* A supervisor for any FastCGI program: it holds the listeners, starts workers
   and replaces them, so that no request is lost when the program changes.

   A worker is a process that executes the command. It finds the first listener
   at descriptor 0 and all of them as LISTEN_FDS. It is ready when it says so
   with sd_notify(3); one that never says so counts as ready after
   `ready_after_ms`. It stops gracefully on SIGTERM. Servers of this library do
   all of that by themselves, pass their connections on (FASTCGI_HANDOVER), and
   leave a request that they cannot begin to whichever is free (FASTCGI_SHARE).

   SIGHUP reads the options again and replaces the workers: the new ones start
   first, and the old ones stop when all new ones are ready. SIGTERM and SIGINT
   stop gracefully; SIGQUIT, or a second SIGTERM or SIGINT, stops at once.
   SIGUSR1 is passed on to the workers, SIGUSR2 replaces the supervisor itself,
   SIGTTIN adds a worker and SIGTTOU removes one. */
#ifndef FASTCGI_SUPERVISOR_H
#define FASTCGI_SUPERVISOR_H

#include <fastcgi/export.h>
#include <fastcgi/server.h>
#include <stddef.h>
#include <stdint.h>

/* What fcgi_supervisor_run returns: an exit status. */
typedef enum fcgi_supervisor_status {
  FCGI_SUPERVISOR_STOPPED = 0,   /* It was asked to stop. */
  FCGI_SUPERVISOR_FAILED = 1,    /* It could not begin; the log says why. */
  FCGI_SUPERVISOR_NO_WORKERS = 3 /* The first workers could not start. */
} fcgi_supervisor_status;

struct fcgi_options; /* fastcgi/options.h declares it. */

/* A field left 0 takes its default. The lists of texts end in NULL. Fields that
   end in _ms are milliseconds; FCGI_WAIT_FOREVER in them means "no limit" or
   "never". */
typedef struct fcgi_supervisor_config {
  /* sizeof(fcgi_supervisor_config). */
  size_t size;

  /* Command line that a worker executes; the program is looked up in PATH.
     Required. */
  const char *const *command;

  /* Command line of the calling program, which SIGUSR2 executes. Default: NULL,
     and SIGUSR2 is refused. */
  const char *const *self;

  /* The options that the fields below come from. A reload reads them again
     from the same command line, environment and files, and workers get the
     options of servers among them. Lent until fcgi_supervisor_run returns.
     Default: NULL, and a reload changes no option. */
  struct fcgi_options *options;

  /* Number of workers. Default: 1. */
  unsigned workers;

  /* 1: `umask` is used, 0 included. Default: 0, the umask is inherited. */
  int has_umask;

  /* Receives each line of the log. Default: lines go to stderr, and the
     supervisor does not wait for it. */
  fcgi_log_fn log;

  /* The pointer that `log` is called with. */
  void *log_data;

  /* 1: the configuration is only checked, and nothing is opened or started.
     Default: 0. */
  int check_only;

  /* Levels that go to stderr without `log`: an or of 1u << level. Default:
     ERROR, WARNING and INFO. */
  unsigned log_levels;

  /* Name that begins each line on stderr. Default: "fastcgi". */
  const char *log_name;

  /* `./dev options` writes the following fields. */

  /* --- Serving --- */

  /* Address to listen on: unix:PATH, unix:@NAME, HOST:PORT, [::1]:PORT, :PORT
     (loopback) or fd:N. Default: the inherited listener. */
  const char *const *bind;

  /* Directory to change to before anything is loaded. Default: the current
     directory. */
  const char *chdir;

  /* Permission bits that new files do not get, in octal. Default: inherited. */
  unsigned umask;

  /* --- Processes --- */

  /* Keep each connection at the worker that has accepted it, even while that is
     busy and another one is idle. Default: off. */
  int no_balance;

  /* User that workers run as, by name or number. Default: unchanged. */
  const char *user;

  /* Group that workers run as, by name or number. Default: the user's. */
  const char *group;

  /* Let workers run as root. Default: off. */
  int allow_root;

  /* File that the supervisor writes its process id to, and locks. Default:
     none. */
  const char *pid;

  /* Owner of the unix sockets that are created, by name or number. Default:
     unchanged. */
  const char *socket_user;

  /* Group of the unix sockets that are created, by name or number. Default:
     unchanged. */
  const char *socket_group;

  /* Longest time that a worker may take to become ready. Default: 60s. */
  int start_timeout_ms;

  /* Time after which a worker that does not report readiness counts as ready;
     with never, only its report counts. Default: 10s, or half of
     start_timeout_ms. */
  int ready_after_ms;

  /* Longest time without a sign of life from a worker; then it is killed.
     Default: no limit. */
  int timeout_ms;

  /* --- Access --- */

  /* Addresses and CIDR blocks that may connect over TCP, separated by commas.
     Default: loopback. */
  const char *allow_from;

  /* Mode of the unix sockets that are created, in octal. Default: 660. */
  unsigned socket_mode;

  /* Most connections that wait to be accepted. Default: 4096. */
  int backlog;

  /* --- Life of a worker --- */

  /* Number of requests after which a worker is replaced; without a supervisor,
     the server stops then. Default: never. */
  uint64_t max_requests;

  /* Largest random number that is added to max_requests. Default: 0. */
  uint64_t max_requests_jitter;

  /* Age at which a worker is replaced. Default: never. */
  int64_t max_worker_age_ms;

  /* Longest random time that is subtracted from max_worker_age_ms. Default:
     0. */
  int64_t max_worker_age_jitter_ms;

  /* Most resident memory that a worker may use; a larger worker is replaced.
     Default: no limit. */
  uint64_t max_worker_rss;

  /* Longest time that a graceful stop waits for running requests; then they are
     aborted. Default: 30s. */
  int graceful_timeout_ms;

  /* --- State --- */

  /* Dictionary that all workers share, and the memory that it may take, from
     64K up, such as cache=16M. Default: none. */
  const char *const *shared;
  /* End of the fields of options. */
} fcgi_supervisor_config;

/* Runs a supervisor until it is stopped, and returns an exit status. A line of
   the log tells each thing that happens. The supervisor handles all signals and
   children of the process meanwhile, so call it from the main thread of a
   program that does nothing else. */
FCGI_EXPORT int fcgi_supervisor_run(const fcgi_supervisor_config *config);

#endif
