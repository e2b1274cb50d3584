/* SPDX-License-Identifier: MIT */
/* The error log and the access log of a server, and what it or a supervisor
   says on standard error. Lines wait in a queue in memory, and a thread of the
   logs' own writes them, so that neither a slow disk nor a reader that does not
   read ever holds a handler up. What a full queue or a full disk does not take
   is dropped and counted. A line for standard error is written at once where
   that takes it; queue and thread are made when it does not. */
#ifndef FCGI_OBSERVE_LOGS_H
#define FCGI_OBSERVE_LOGS_H

#include "base/buffer.h"
#include "board/scoreboard.h"
#include "observe/logfile.h"
#include "observe/logtext.h"
#include "os/process.h"
#include <fastcgi/alloc.h>
#include <fastcgi/server.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum fcgi__log_which {
  FCGI__LOG_ERRORS = 0,
  FCGI__LOG_ACCESS,
  FCGI__LOG_STDERR, /* Descriptor 2, whatever it is at the time. */
  FCGI__LOG_COUNT
} fcgi__log_which;

typedef struct fcgi__log {
  fcgi__logfile file; /* Where it goes; its path NULL: there is none. */
  char *queue;        /* Lines, each after its length, in a ring; or NULL. */
  size_t room;        /* Bytes that it has, or would have. */
  size_t first;       /* Where the oldest is. */
  size_t used;        /* Bytes in use. */
  char line[FCGI__LOG_LINE + 1]; /* The line being written. */
  size_t len;                    /* Its bytes; 0: none is. */
  size_t done;                   /* Written ones of them. */
  unsigned char broken;          /* 1: a part of a line is written, no end. */
  unsigned char full;            /* 1: the last write found no room. */
  unsigned char reopen;          /* 1: asked for. */
  int problem;       /* Why the last line was dropped: an errno, or 0
                        for the queue. */
  uint64_t dropped;  /* Lines dropped since that was last told. */
  long long tell_at; /* Not before this is it told again. */
} fcgi__log;

enum { FCGI__MESSAGE = 512 }; /* Bytes of a line of the server's own. */

/* Where lines go for which there is no error log. */
typedef struct fcgi__log_sink {
  fcgi_log_fn log; /* The program's function; NULL: standard error. */
  void *data;      /* Handed to `log`. */
  unsigned levels; /* What goes to standard error: an or of 1u << level. */
  const fcgi__process *process; /* Whose logs these are: a fork of it writes to
                                   standard error; NULL: nobody forks. */
  _Atomic(fcgi__board_slot *)
      *slot; /* Where lost lines are counted, or NULL. */
} fcgi__log_sink;

typedef struct fcgi__logs {
  fcgi__log_sink sink;             /* Beside the error log. */
  fcgi_allocator allocator;        /* For all of this. */
  fcgi__log logs[FCGI__LOG_COUNT]; /* By fcgi__log_which. */
  pthread_mutex_t lock;            /* Guards everything here but `file`, which
                                      is the writer's. */
  pthread_cond_t wake;             /* There is something to write. */
  pthread_cond_t rest;             /* Nothing is left to write. */
  pthread_t thread;                /* The writer. */
  unsigned char opened;            /* 1: the files are. */
  unsigned char on;                /* 1: the writer runs; only then are lines
                                      queued. */
  unsigned char over;              /* 1: it is to end. */
  unsigned char asleep;            /* 1: it waits for `wake`. */
  unsigned char gone;              /* 1: it has ended. */
  unsigned char late;              /* 1: somebody has waited in vain for the
                                      rest to be written. */
  long long give_up_at;            /* `over`: when what is left is dropped. */
  pid_t pid;                       /* Whose thread it is. */
} fcgi__logs;

/* Logs of which only standard error is open; `sink` is copied. NULL without
   memory. */
fcgi__logs *fcgi__logs_make(const fcgi_allocator *allocator,
                            const fcgi__log_sink *sink);
/* Write what is left, for a second at most, and free them. NULL is fine. */
void fcgi__logs_end(fcgi__logs *logs);

/* Name the file of a log, before it is opened; NULL is none. 0, or
   FCGI_ERR_NOMEM. */
int fcgi__logs_set(fcgi__logs *logs, fcgi__log_which which, const char *path,
                   size_t room);
/* Open what is named, once: 0, or FCGI_ERR_SYSTEM with errno and the reason in
   `why`. */
int fcgi__logs_open(fcgi__logs *logs, char *why, size_t size);
/* Open the files again by their names. */
void fcgi__logs_reopen(fcgi__logs *logs);
/* The process is about to serve: start the writer, where there is a log. */
void fcgi__logs_start(fcgi__logs *logs);
/* Wait until all is written, for a second at most. */
void fcgi__logs_flush(fcgi__logs *logs);

/* 1: errors go to the error log. */
int fcgi__logs_has_errors(const fcgi__logs *logs);
/* Each line of a text, to the error log: 1; or to the sink: 0. */
int fcgi__logs_tell(fcgi__logs *logs, fcgi_log_level level, const char *text,
                    size_t len);
/* One line of our own. */
void fcgi__logs_log(fcgi__logs *logs, fcgi_log_level level, const char *format,
                    ...) __attribute__((format(printf, 3, 4)));
void fcgi__logs_vlog(fcgi__logs *logs, fcgi_log_level level, const char *format,
                     va_list arguments) __attribute__((format(printf, 3, 0)));
/* Write text to standard error as it is, with a newline at its end; never
   waits for a reader. From any thread, under any lock. */
void fcgi__logs_say(fcgi__logs *logs, const char *text, size_t len);
/* Give one of them a piece that ends in a newline; never waits. The second
   drops it where the logs are not open yet. */
void fcgi__logs_put(fcgi__logs *logs, fcgi__log_which which, const char *data,
                    size_t len);
void fcgi__logs_add(fcgi__logs *logs, fcgi__log_which which,
                    const fcgi__log_text *text);
/* STDERR of a request, for the error log: whole lines are written; the rest
   stays in `line` until more comes, or the request ends (`data` NULL). */
void fcgi__logs_stderr(fcgi__logs *logs, fcgi__buffer *line, const char *data,
                       size_t len);

#endif
