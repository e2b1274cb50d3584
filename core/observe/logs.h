/* SPDX-License-Identifier: MIT */
/* The error log and the access log of a server, and what it or a supervisor
   says on standard error. Lines wait in a queue in memory, and a thread of the
   logs' own writes them, so that neither a slow disk nor a reader that does not
   read ever holds a handler up. What a full queue or a full disk does not take
   is dropped and counted. A line for standard error is written at once where
   that takes it; queue and thread are made when it does not. */
#ifndef FCGI_OBSERVE_LOGS_H
#define FCGI_OBSERVE_LOGS_H

#include "observe/logfile.h"
#include "observe/logtext.h"
#include <fastcgi/alloc.h>
#include <fastcgi/server.h>
#include <pthread.h>
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

typedef struct fcgi__logs {
  struct fcgi_server *server;      /* Whose they are; NULL: a supervisor's. */
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

/* Logs of which only standard error is open, for a server or for NULL; NULL
   without memory. */
fcgi__logs *fcgi__logs_make(const fcgi_allocator *allocator,
                            struct fcgi_server *server);
/* Write what is left, for a second at most, and free them. NULL is fine. */
void fcgi__logs_end(fcgi__logs *logs);

/* Make those of a server, and take paths and format from the configuration or
   the environment: 0, or FCGI_ERR_NOMEM. */
int fcgi__logs_new(struct fcgi_server *server);
/* Open them, once: 0, or an error with a message. */
int fcgi__logs_open(struct fcgi_server *server);
/* The server is about to wait for the first time. */
void fcgi__logs_start(struct fcgi_server *server);
/* Wait until all is written, for a second at most. */
void fcgi__logs_flush(struct fcgi_server *server);
/* fcgi__logs_end, and the access log's format goes too. */
void fcgi__logs_free(struct fcgi_server *server);

/* 1: errors go to the error log. */
int fcgi__logs_has_errors(const struct fcgi_server *server);
/* Write text to standard error as it is, with a newline at its end; never
   waits for a reader. From any thread, under any lock. */
void fcgi__logs_say(fcgi__logs *logs, const char *text, size_t len);
/* Give one of them a piece that ends in a newline; never waits. The second is
   for a server's logs, which may not be open yet. */
void fcgi__logs_put(fcgi__logs *logs, fcgi__log_which which, const char *data,
                    size_t len);
void fcgi__logs_add(struct fcgi_server *server, fcgi__log_which which,
                    const fcgi__log_text *line);
/* STDERR of a request, for the error log: whole lines are written; the rest
   when more comes, or at the end of the request (`data` NULL). */
void fcgi__logs_stderr(struct fcgi_request *request, const char *data,
                       size_t len);

#endif
