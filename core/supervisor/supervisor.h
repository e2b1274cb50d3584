/* SPDX-License-Identifier: MIT */
/* The inside of a supervisor, shared by the files of this folder. One thread
   does everything but wait for signals. */
#ifndef FCGI_SUPERVISOR_SUPERVISOR_H
#define FCGI_SUPERVISOR_SUPERVISOR_H

#include "board/scoreboard.h"
#include "observe/logs.h"
#include "os/listener.h"
#include "supervisor/backoff.h"
#include "supervisor/pidfile.h"
#include "supervisor/privileges.h"
#include "supervisor/signals.h"
#include <fastcgi/options.h>
#include <limits.h>

enum {
  FCGI__SOCKETS = 16,         /* Listeners at most, as of a server. */
  FCGI__OWN_DESCRIPTORS = 64, /* What a supervisor has open, and more. */
  FCGI__SUPERVISOR_LINE = 768 /* Bytes of a log line. */
};

typedef enum fcgi__worker_life {
  FCGI__LIFE_STARTING, /* Not ready yet. */
  FCGI__LIFE_READY,    /* Serves. */
  FCGI__LIFE_LEAVING   /* Was told to stop, or stops by itself. */
} fcgi__worker_life;

typedef struct fcgi__worker {
  pid_t pid;               /* Also the number of its process group. */
  unsigned generation;     /* Which it belongs to. */
  fcgi__worker_life state; /* Where it is between its start and its end. */
  int retiring;            /* 1: stops once another one is ready instead. */
  int spent;               /* 1: it has asked for another one instead. */
  int slot;                /* Its place on the scoreboard, or -1. */
  int lifeline;            /* Where it may be asked to stop, or -1. */
  int hears;               /* 1: that is how it wants to be, by no signal. */
  long long started;       /* When it was started. */
  long long ready_due;     /* STARTING: when it counts as ready, unless the
                              program is known to tell; LLONG_MAX: never. */
  long long start_due;     /* STARTING: when it has had enough time. */
  long long kill_due;      /* LEAVING: when SIGKILL comes. */
  long long alive_due;     /* When its next WATCHDOG=1 is overdue, or
                              LLONG_MAX. */
  long long retire_due;    /* When it is too old, or LLONG_MAX. */
} fcgi__worker;

typedef enum fcgi__supervisor_phase {
  FCGI__SUPERVISOR_STARTING, /* The first generation is not ready. */
  FCGI__SUPERVISOR_SERVING,  /* It was once. */
  FCGI__SUPERVISOR_STOPPING, /* All workers are to stop. */
  FCGI__SUPERVISOR_REPLACED  /* A new supervisor has taken over. */
} fcgi__supervisor_phase;

/* What a reload goes over to. */
typedef struct fcgi__plan {
  fcgi_supervisor_config config; /* With every default filled in. */
  fcgi_options *options;         /* What was read for it, ours; or NULL. */
  unsigned wanted;               /* How many workers shall serve. */
} fcgi__plan;

typedef struct fcgi__supervisor {
  const fcgi_supervisor_config *given; /* By the program. */
  fcgi_supervisor_config config;       /* With every default filled in. */
  fcgi_options *options;     /* What a reload has read, ours; or NULL. */
  fcgi__plan coming;         /* Of the generation `next`. */
  fcgi__logs *logs;          /* For what it says on stderr. */
  char path[PATH_MAX];       /* Where the command is. */
  char self_path[PATH_MAX];  /* Where our own program is, or "". */
  int start_directory;       /* Where we were started. */
  char start_path[PATH_MAX]; /* The same as the shell had it, which may lead
                                through links elsewhere by now; or "". */
  fcgi__identity identity;   /* Whom to become. */
  fcgi__pidfile pidfile;     /* Ours. */
  int owns;                  /* 1: what was made is ours to remove. */
  unsigned owned;            /* Bits of the socket files that will be. */
  fcgi__signals signals;     /* Where they arrive. */
  fcgi__listener listeners[FCGI__SOCKETS]; /* Where we listen. */
  size_t listener_count;                   /* Listeners in use. */
  int directories[FCGI__SOCKETS];          /* Of socket files that will be ours,
                                              or -1. */
  fcgi__allow allow;                       /* Who may connect over TCP. */
  int guarded;                             /* 1: there is such a list. */
  char listener_names[512];                /* LISTEN_FDNAMES, or "". */
  int handover[2];         /* Where workers pass connections on. */
  fcgi__board board;       /* What workers do; head NULL: there is none. */
  uint32_t dropped;        /* Packets dropped at guarded listeners, counted. */
  uint32_t dropped_told;   /* How many of them were told. */
  long long dropped_quiet; /* Until when no more are told. */
  int notify;              /* Where workers tell. */
  char notify_name[128];   /* NOTIFY_SOCKET for them. */
  char upstream[128];      /* NOTIFY_SOCKET of ours, or "". */
  char predecessor[128];   /* That of the supervisor we replace, or "". */
  long long upstream_ms;   /* How often WATCHDOG=1 goes up; 0: never. */
  long long upstream_due;  /* When next. */
  char owed[4][256];       /* What found no room upstream, oldest first. */
  unsigned owed_count;     /* How many of them. */
  long long owed_due;      /* When to send again what is owed. */
  int moved;               /* 1: another process is the service now. */
  int took_over;           /* 1: the predecessor has yet to hear of us. */
  fcgi__supervisor_phase phase; /* What the supervisor is doing. */
  int hurried;                  /* 1: the stop is a quick one. */
  int status;                   /* What to return. */
  fcgi__worker *workers;        /* All that live. */
  size_t worker_count;          /* Workers that live. */
  size_t worker_room;           /* How many fit. */
  unsigned wanted;              /* How many shall serve. */
  unsigned current;             /* The generation that serves. */
  unsigned next;                /* The one that shall; 0: none. */
  unsigned last;                /* Number of the youngest. */
  long long next_started;       /* When the youngest was begun. */
  long long reload_due;         /* When to begin another, or LLONG_MAX. */
  int tells;                    /* 1: some worker has sent READY=1. */
  long long measure_due;        /* When to look at the workers again. */
  fcgi__backoff backoff;        /* Of workers that die young. */
  pid_t successor;              /* The supervisor being started, or 0. */
  long long successor_due;      /* When it has had enough time. */
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
