/* SPDX-License-Identifier: MIT */
/* The inside of a supervisor, shared by the files of this folder. One thread
   does everything but wait for signals. */
#ifndef FCGI_SUPERVISOR_SUPERVISOR_H
#define FCGI_SUPERVISOR_SUPERVISOR_H

#include "board/scoreboard.h"
#include "observe/logs.h"
#include "os/listener.h"
#include "shared/shared.h"
#include "supervisor/backoff.h"
#include "supervisor/pidfile.h"
#include "supervisor/privileges.h"
#include "supervisor/signals.h"
#include <fastcgi/options.h>
#include <limits.h>

enum {
  FCGI__SOCKETS = 16,         /* Most listeners, as in a server. */
  FCGI__OWN_DESCRIPTORS = 80, /* Descriptors that a supervisor needs for
                                 itself, at most. */
  FCGI__SUPERVISOR_LINE = 768 /* Most bytes of a log line, with its NUL. */
};

typedef enum fcgi__worker_life {
  FCGI__LIFE_STARTING, /* It runs and is not ready yet. */
  FCGI__LIFE_READY,    /* It serves. */
  FCGI__LIFE_LEAVING   /* It was told to stop, or stops by itself. */
} fcgi__worker_life;

typedef struct fcgi__worker {
  pid_t pid;               /* Its process id, which is also the id of its
                              process group. */
  unsigned generation;     /* Number of the generation that it belongs to. */
  fcgi__worker_life state; /* Where it is between its start and its end. */
  int retiring;            /* 1: stops once another one is ready instead. */
  int spent;               /* 1: it has asked for another one instead. */
  int slot;                /* Index of its slot on the scoreboard; -1: it has
                              none. */
  int lifeline;            /* Descriptor of the pipe through which it can be
                              asked to stop; -1: none. */
  int hears;               /* 1: it wants to be asked through `lifeline`, not
                              by a signal. */
  long long started;       /* When it was started, in ms of fcgi__now, as all
                              times here. */
  long long ready_due;     /* STARTING: when it counts as ready, unless the
                              program is known to tell; LLONG_MAX: never. */
  long long start_due;     /* STARTING: when its time to become ready ends. */
  long long kill_due;      /* LEAVING: when it gets SIGKILL. */
  long long alive_due;     /* When its next WATCHDOG=1 is overdue, or
                              LLONG_MAX. */
  long long retire_due;    /* When it is too old, or LLONG_MAX. */
} fcgi__worker;

/* One that workers share. */
typedef struct fcgi__dictionary {
  fcgi_shared *memory; /* Where it lies; NULL: there is none. */
  int fd;              /* Descriptor of that memory, to pass on. */
  uint64_t told[FCGI_SHARED_COUNTS]; /* What the log has told, by
                                        fcgi_shared_count. */
  long long quiet; /* When the log may next tell that it is full. */
} fcgi__dictionary;

typedef enum fcgi__supervisor_phase {
  FCGI__SUPERVISOR_STARTING, /* The first generation is not ready. */
  FCGI__SUPERVISOR_SERVING,  /* A generation has become ready. */
  FCGI__SUPERVISOR_STOPPING, /* All workers are to stop. */
  FCGI__SUPERVISOR_REPLACED  /* A new supervisor has taken over. */
} fcgi__supervisor_phase;

/* What a reload goes over to. */
typedef struct fcgi__plan {
  fcgi_supervisor_config config; /* With every default filled in. */
  fcgi_options *options;         /* Options that were read for it, owned;
                                    NULL: none. */
  unsigned wanted;               /* Number of workers that are to serve. */
} fcgi__plan;

typedef struct fcgi__supervisor {
  const fcgi_supervisor_config *given; /* The configuration of the
                                          program, lent. */
  fcgi_supervisor_config config;       /* With every default filled in. */
  fcgi_options *options;               /* Options that the last reload
                                          has read, owned; NULL: none. */
  fcgi__plan coming;                   /* Plan of the generation `next`. */
  fcgi__logs *logs;                    /* The log: its queue, and the
                                          thread that writes to stderr. */
  char path[PATH_MAX];                 /* Path of the command that
                                          workers execute. */
  char self_path[PATH_MAX];            /* Path of the program that
                                          SIGUSR2 executes, or "". */
  int start_directory;                 /* Descriptor of the directory
                                          that the supervisor was started
                                          in. */
  char start_path[PATH_MAX]; /* The same as the shell had it, which may lead
                                through links elsewhere by now; or "". */
  fcgi__identity identity;   /* User and group that workers run
                                as. */
  fcgi__pidfile pidfile;     /* The file with our process id,
                                if one is configured. */
  int owns;                  /* 1: this process removes the
                                sockets and the pid file that
                                were made. */
  unsigned owned;            /* A bit for each listener whose
                                socket file this process
                                removes. */
  fcgi__signals signals;     /* Thread and pipe that bring the
                                signals. */
  fcgi__listener listeners[FCGI__SOCKETS]; /* The listeners that workers
                                              inherit. */
  size_t listener_count;                   /* Number of `listeners`. */
  int directories[FCGI__SOCKETS];          /* Of socket files that will be ours,
                                              or -1. */
  fcgi__allow allow;                       /* Addresses that may connect over
                                              TCP. */
  char *allow_text;                        /* Text of `allow` when it is
                                              what two lists have in
                                              common; NULL otherwise. */
  char tcp_refused[FCGI__MESSAGE];         /* Why no TCP socket may be
                                              listened on; "": it may. */
  int guarded;                             /* 1: `allow` applies to TCP
                                              listeners. */
  char listener_names[512];                /* LISTEN_FDNAMES, or "". */
  int handover[2];                         /* Socket pair over which workers
                                              pass connections on. */
  int share[2];                            /* Socket pair over which workers
                                              leave connections to whichever
                                              is free; -1 each: none. */
  fcgi__board board;                       /* The scoreboard of the workers;
                                              `head` NULL: there is none. */
  fcgi__dictionary dictionaries[FCGI__SHARED_DICTIONARIES]; /* Those of the
                                                               workers. */
  size_t dictionary_count;      /* Number of `dictionaries`. */
  int quota;                    /* Descriptor of the table of
                                   limit_total; -1: there is none. */
  uint32_t dropped;             /* Packets that were dropped at
                                   guarded listeners. */
  uint32_t dropped_told;        /* Those of them that the log has
                                   told. */
  long long dropped_quiet;      /* When the log may next tell of
                                   dropped packets. */
  int notify;                   /* Descriptor of the socket that
                                   workers report to. */
  char notify_name[128];        /* Name of that socket,
                                   NOTIFY_SOCKET of the workers. */
  char upstream[128];           /* NOTIFY_SOCKET that the
                                   supervisor reports to, or "". */
  char predecessor[128];        /* NOTIFY_SOCKET of the supervisor
                                   that this one replaces, or "". */
  long long upstream_ms;        /* Interval of WATCHDOG=1 to
                                   `upstream`, in ms; 0: none is
                                   sent. */
  long long upstream_due;       /* When the next WATCHDOG=1 is
                                   sent. */
  char owed[4][256];            /* Messages for which `upstream`
                                   had no room, the oldest first. */
  unsigned owed_count;          /* Number of messages in `owed`. */
  long long owed_due;           /* When they are sent again. */
  int moved;                    /* 1: another process has become
                                   the main process of the
                                   service. */
  int took_over;                /* 1: the predecessor has yet to hear of us. */
  fcgi__supervisor_phase phase; /* What the supervisor is doing. */
  int hurried;                  /* 1: the stop does not wait for
                                   requests. */
  int status;                   /* Exit status of
                                   fcgi_supervisor_run. */
  fcgi__worker *workers;        /* The workers that live, owned. */
  size_t worker_count;          /* Number of `workers`. */
  size_t worker_room;           /* Number of workers that the
                                   memory at `workers` has room
                                   for. */
  unsigned wanted;              /* Number of workers that are to
                                   serve. */
  unsigned current;             /* The generation that serves. */
  unsigned next;                /* The generation that is being
                                   started; 0: none. */
  unsigned last;                /* Highest number of a generation
                                   so far. */
  long long next_started;       /* When the latest generation was
                                   begun. */
  long long reload_due;         /* When another generation is
                                   begun; LLONG_MAX: never. */
  int tells;                    /* 1: some worker has sent READY=1. */
  long long measure_due;        /* When the age and the memory of
                                   workers are looked at again. */
  fcgi__backoff backoff;        /* Delay before workers that die
                                   young are replaced. */
  pid_t successor;              /* Process id of the new
                                   supervisor that is starting; 0:
                                   none. */
  long long successor_due;      /* When its time to start ends. */
} fcgi__supervisor;

/* One line to the log. */
__attribute__((format(printf, 3, 4))) void
fcgi__supervisor_log(const fcgi__supervisor *s, fcgi_log_level level,
                     const char *format, ...);

/* Where we were started, by the name that the shell had for it, so that a link
   to another release leads there: a new descriptor, or -1 with errno. */
int fcgi__supervisor_start_directory(const fcgi__supervisor *s);

/* Stop everything, gracefully or quickly. */
void fcgi__supervisor_stop(fcgi__supervisor *s, int quickly);

#endif
