/* SPDX-License-Identifier: MIT */
/* A supervisor for any FastCGI program: it holds the listeners, starts workers
   and replaces them, so that no request is lost when the program changes.

   A worker is the command, executed anew. It finds the first listener at
   descriptor 0 and all of them as LISTEN_FDS, is ready when it says so with
   sd_notify(3), or when it has lived for `ready_after_ms` if it never says
   anything, and stops gracefully on SIGTERM. Servers of this library do all of
   that by themselves, and pass their connections on (FASTCGI_HANDOVER).

   SIGHUP replaces the workers: new ones first, and only when all of them are
   ready do the old ones stop. SIGTERM and SIGINT stop gracefully, a second one
   and SIGQUIT quickly; SIGUSR1 goes to the workers; SIGUSR2 replaces the
   supervisor itself; SIGTTIN and SIGTTOU make one worker more or less. */
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

/* A field left 0 takes its default. */
typedef struct fcgi_supervisor_config {
  /* sizeof(fcgi_supervisor_config). */
  size_t size;

  /* What a worker executes, found by PATH; NULL ends it. Required. */
  const char *const *command;

  /* Command line of the program itself, executed on SIGUSR2; NULL ends it.
     Default: NULL, and SIGUSR2 is refused. */
  const char *const *self;

  /* Addresses to listen on, as for fcgi_server_listen; NULL ends them.
     Default: the inherited listeners. */
  const char *const *bind;

  /* Number of workers. Default: 1. */
  unsigned workers;

  /* Most connections that wait to be accepted. Default: 4,096. */
  int backlog;

  /* Mode of the unix sockets that are made. Default: 0660. */
  unsigned socket_mode;

  /* Owner, by name or number, of these sockets. Default: ours. */
  const char *socket_user;

  /* Group, by name or number, of these sockets. Default: ours. */
  const char *socket_group;

  /* Addresses and CIDR blocks that may connect over TCP, with commas between.
     On Linux the kernel refuses the others; workers get the list as
     FCGI_WEB_SERVER_ADDRS. Default: that of our environment, or loopback. */
  const char *allow_from;

  /* User, by name or number, that workers become once everything is opened;
     for root only. Default: unchanged. */
  const char *user;

  /* Group, by name or number, that workers become. Default: the user's. */
  const char *group;

  /* 1: workers may run as root. Default: 0. */
  int allow_root;

  /* 1: `umask` is set. Default: 0, it is inherited. */
  int has_umask;

  /* Permissions that new files do not get, umask(2). */
  unsigned umask;

  /* Directory to change to first. Default: the current one. */
  const char *chdir;

  /* File that holds our process id, and a lock. Default: none. */
  const char *pid;

  /* Time after which a worker that has told nothing counts as ready, in ms,
     or FCGI_WAIT_FOREVER. Default: 10,000, or half of start_timeout_ms when
     that is at most 10,000. */
  int ready_after_ms;

  /* Longest time, in ms, that a worker takes to become ready, or
     FCGI_WAIT_FOREVER. Default: 60,000. */
  int start_timeout_ms;

  /* Longest time, in ms, from SIGTERM to SIGKILL, or FCGI_WAIT_FOREVER.
     Default: 30,000. */
  int graceful_timeout_ms;

  /* Longest silence, in ms, of a worker that has sent WATCHDOG=1; then it is
     killed, or replaced when it is seen to live. Default: FCGI_WAIT_FOREVER.
     */
  int timeout_ms;

  /* Age, in ms, at which a worker is replaced. Default: never. */
  int64_t max_worker_age_ms;

  /* A worker is replaced up to this much earlier, in ms, at random. Default:
     0. */
  int64_t max_worker_age_jitter_ms;

  /* Bytes of memory above which a worker is replaced; needs /proc. Default:
     never. */
  uint64_t max_worker_rss;

  /* Receives what happens. Default: stderr, which nobody waits for. */
  fcgi_log_fn log;

  /* The pointer that `log` is called with. */
  void *log_data;

  /* Requests after which a worker is replaced. The worker counts them itself,
     and gets the number as FASTCGI_MAX_REQUESTS, so it must be a server of
     this library. Default: never. */
  uint64_t max_requests;

  /* A worker serves up to this many more, at random. Default: 0. */
  uint64_t max_requests_jitter;

  /* 1: the configuration is only checked, and nothing is opened or started.
     Default: 0. */
  int check_only;

  /* Levels that go to stderr without `log`: an or of 1u << level. Default:
     ERROR to INFO. */
  unsigned log_levels;

  /* What the lines on stderr begin with. Default: "fastcgi". */
  const char *log_name;
} fcgi_supervisor_config;

/* Runs until stopped; returns an exit status. Everything that happens is a line
   of the log. Signals and children of the process are the supervisor's
   meanwhile: call it in a program that has nothing else to do, from its main
   thread. */
FCGI_EXPORT int fcgi_supervisor_run(const fcgi_supervisor_config *config);

#endif
