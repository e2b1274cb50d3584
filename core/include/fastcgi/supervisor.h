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

/* A field left 0 takes the default named beside it. Times are milliseconds. */
typedef struct fcgi_supervisor_config {
  size_t size;                      /* sizeof(fcgi_supervisor_config). */
  const char *const *command;       /* What a worker executes, NULL at its end;
                                       found by PATH. */
  const char *const *self;          /* The program's own command line, executed
                                       on SIGUSR2; NULL: that is refused. */
  const char *const *bind;          /* Where to listen, NULL at its end, as for
                                            fcgi_server_listen; NULL: inherited. */
  unsigned workers;                 /* Number of workers. Default: 1. */
  int backlog;                      /* listen(2): 4,096. */
  unsigned socket_mode;             /* Of unix sockets: 0660. */
  const char *socket_user;          /* Owner of them, name or number: ours. */
  const char *socket_group;         /* Group of them: ours. */
  const char *allow_from;           /* Who may connect over TCP, as in
                                  fcgi_server_config; on Linux the kernel
                                  sees to it, and the workers get it as
                                  FCGI_WEB_SERVER_ADDRS. NULL: that of our
                                  environment, or loopback. */
  const char *user;                 /* Become this user, name or number, once
                                       everything is opened; as root only. */
  const char *group;                /* Group, by name or number, that workers
                                       become. Default: the user's. */
  int allow_root;                   /* 1: workers may run as root. */
  int has_umask;                    /* 1: `umask` is to be set. */
  unsigned umask;                   /* umask(2). */
  const char *chdir;                /* chdir(2) to it first. */
  const char *pid;                  /* Holds our process id, and a lock. */
  int ready_after_ms;               /* A worker that never told counts as ready
                                       then: 10,000; or FCGI_WAIT_FOREVER. */
  int start_timeout_ms;             /* To become ready: 60,000. */
  int graceful_timeout_ms;          /* To finish after SIGTERM, before SIGKILL:
                                       30,000. */
  int timeout_ms;                   /* Longest silence of a worker that has sent
                                        WATCHDOG=1: no watchdog. It is killed, or
                                        replaced when it is seen to live. */
  int64_t max_worker_age_ms;        /* Replace a worker then: never. */
  int64_t max_worker_age_jitter_ms; /* Up to so much earlier, at random: 0. */
  uint64_t max_worker_rss;      /* Replace a worker with more bytes in memory:
                            never. Needs /proc. */
  fcgi_log_fn log;              /* stderr, which nobody waits for. */
  void *log_data;               /* Handed to `log`. */
  uint64_t max_requests;        /* Replace a worker then; it counts them itself
                                   and gets this as FASTCGI_MAX_REQUESTS, so
                                   servers of this library only: never. */
  uint64_t max_requests_jitter; /* Up to so many more, at random: 0. */
  int check_only;               /* 1: only look whether all of this is as it
                                   should be, and open and start nothing. */
  unsigned log_levels;          /* What goes to stderr without `log`: an or of
                                   1u << level, ERROR to INFO. */
  const char *log_name;         /* What those lines begin with: "fastcgi". */
} fcgi_supervisor_config;

/* Runs until stopped; returns an exit status. Everything that happens is a line
   of the log. Signals and children of the process are the supervisor's
   meanwhile: call it in a program that has nothing else to do, from its main
   thread. */
FCGI_EXPORT int fcgi_supervisor_run(const fcgi_supervisor_config *config);

#endif
