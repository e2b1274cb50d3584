/* SPDX-License-Identifier: MIT */
/* A supervisor for any FastCGI program: it holds the listeners, starts workers
   and replaces them, so that no request is lost when the program changes.

   A worker is the command, executed anew. It finds the first listener at
   descriptor 0 and all of them as LISTEN_FDS, is ready when it says so with
   sd_notify(3), or when it has lived for `ready_after_ms` if it never says
   anything, and stops gracefully on SIGTERM. Servers of this library do all of
   that by themselves, and pass their connections on (FASTCGI_HANDOVER).

   SIGHUP reads the options again and replaces the workers: new ones first, and
   only when all of them are ready do the old ones stop. SIGTERM and SIGINT stop
   gracefully, a second one and SIGQUIT quickly; SIGUSR1 goes to the workers;
   SIGUSR2 replaces the supervisor itself; SIGTTIN and SIGTTOU make one worker
   more or less. */
#ifndef FASTCGI_SUPERVISOR_H
#define FASTCGI_SUPERVISOR_H

#include <fastcgi/export.h>
#include <fastcgi/server.h>
#include <stddef.h>
#include <stdint.h>

/* What fcgi_supervisor_run returns: an exit status. */
typedef enum fcgi_supervisor_status {
  FCGI_SUPERVISOR_STOPPED = 0,   /* It was asked to stop. */
  FCGI_SUPERVISOR_FAILED = 1,    /* It could not begin, see the log. */
  FCGI_SUPERVISOR_NO_WORKERS = 3 /* The first workers could not start. */
} fcgi_supervisor_status;

struct fcgi_options; /* fastcgi/options.h has it. */

/* A field left 0 takes its default. The lists of texts end in NULL. Times are
   in milliseconds, and FCGI_WAIT_FOREVER is no limit. */
typedef struct fcgi_supervisor_config {
  /* sizeof(fcgi_supervisor_config). */
  size_t size;

  /* What a worker executes, found by PATH. Required. */
  const char *const *command;

  /* Command line of the program itself, executed on SIGUSR2. Default: NULL,
     and SIGUSR2 is refused. */
  const char *const *self;

  /* Where the options below come from. A reload reads them again from the
     same command line, environment and files, and workers get those that are
     for servers. It is lent until fcgi_supervisor_run returns. Default: NULL,
     and a reload changes none. */
  struct fcgi_options *options;

  /* Number of workers. Default: 1. */
  unsigned workers;

  /* 1: `umask` is set. Default: 0, it is inherited. */
  int has_umask;

  /* Receives what happens. Default: stderr, which nobody waits for. */
  fcgi_log_fn log;

  /* The pointer that `log` is called with. */
  void *log_data;

  /* 1: the configuration is only checked, and nothing is opened or started.
     Default: 0. */
  int check_only;

  /* Levels that go to stderr without `log`: an or of 1u << level. Default:
     ERROR to INFO. */
  unsigned log_levels;

  /* What the lines on stderr begin with. Default: "fastcgi". */
  const char *log_name;

  /* `./dev options` writes the following fields. */

  /* --- Serving --- */

  /* Address to listen on: unix:PATH, unix:@NAME, HOST:PORT, [::1]:PORT, :PORT
     (loopback) or fd:N. Default: the inherited listener. */
  const char *const *bind;

  /* Directory to change to before anything is loaded. Default: the current
     directory. */
  const char *chdir;

  /* Permissions that new files do not get, in octal. Default: inherited. */
  unsigned umask;

  /* --- Processes --- */

  /* User, by name or number, whom workers become. Default: unchanged. */
  const char *user;

  /* Group, by name or number, which workers become. Default: the user's. */
  const char *group;

  /* Let workers run as root. Default: no. */
  int allow_root;

  /* File that holds the supervisor's process id, and a lock. Default: none. */
  const char *pid;

  /* Owner, by name or number, of the unix sockets that are made. Default:
     unchanged. */
  const char *socket_user;

  /* Group, by name or number, of the unix sockets that are made. Default:
     unchanged. */
  const char *socket_group;

  /* Longest time that a worker may take to become ready. Default: 60s. */
  int start_timeout_ms;

  /* Time after which a worker that tells nothing counts as ready; never waits
     until it tells. Default: 10s, or half of --start-timeout. */
  int ready_after_ms;

  /* Longest time without a sign of life from a worker; then it is killed.
     Default: no limit. */
  int timeout_ms;

  /* --- Access --- */

  /* Addresses and CIDR blocks that may connect over TCP, with commas between.
     Default: loopback. */
  const char *allow_from;

  /* Mode of the unix sockets that are made, in octal. Default: 660. */
  unsigned socket_mode;

  /* Most connections that wait to be accepted. Default: 4096. */
  int backlog;

  /* --- Life of a worker --- */

  /* Requests after which a worker is replaced; a server without a supervisor
     stops. Default: never. */
  uint64_t max_requests;

  /* Largest random number that is added to --max-requests. Default: 0. */
  uint64_t max_requests_jitter;

  /* Age at which a worker is replaced. Default: never. */
  int64_t max_worker_age_ms;

  /* Longest random time that is taken off --max-worker-age. Default: 0. */
  int64_t max_worker_age_jitter_ms;

  /* Most memory that a worker may use; then it is replaced. Default: no
     limit. */
  uint64_t max_worker_rss;

  /* Longest time that a graceful stop waits for running requests; then they are
     aborted. Default: 30s. */
  int graceful_timeout_ms;
  /* End of the fields of options. */
} fcgi_supervisor_config;

/* Runs until stopped; returns an exit status. Everything that happens is a line
   of the log. Signals and children of the process are the supervisor's
   meanwhile: call it in a program that has nothing else to do, from its main
   thread. */
FCGI_EXPORT int fcgi_supervisor_run(const fcgi_supervisor_config *config);

#endif
