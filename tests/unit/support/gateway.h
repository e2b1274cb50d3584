/* SPDX-License-Identifier: MIT */
/* A CGI server for one program, which is a function run in a child process
   with the environment and standard descriptors that the test chooses. */
#ifndef UNIT_SUPPORT_GATEWAY_H
#define UNIT_SUPPORT_GATEWAY_H

#include <stddef.h>
#include <sys/types.h>

typedef enum gateway_kind {
  GATEWAY_PIPE = 0,
  GATEWAY_SOCKET, /* One end of a socket pair. */
  GATEWAY_FILE,   /* A file in the file system. */
  GATEWAY_NULL,   /* /dev/null. */
  GATEWAY_CLOSED  /* Nothing at all. */
} gateway_kind;

typedef struct gateway {
  const char *const *environment; /* More variables, ended by NULL; or NULL. */
  int plain;              /* 1: none of those that every CGI server sets. */
  gateway_kind in;        /* What descriptor 0 is. */
  gateway_kind out;       /* What descriptor 1 is. */
  const char *body;       /* Written to descriptor 0 before anything is read;
                             NULL for nothing. */
  size_t body_len;        /* How much; 0 takes strlen. */
  int keep_in;            /* 1: descriptor 0 stays open after the body. */
  int no_errors;          /* 1: nobody reads descriptor 2. */
  int (*program)(void *); /* Returns the exit status. */
  void *data;             /* Handed to the program. */
  pid_t child;            /* Runs from gateway_start on. */
  int to_child;           /* The other end of descriptor 0, or -1. */
  int from_child;         /* The other end of descriptor 1, or -1. */
  int errors;             /* Of descriptor 2. */
} gateway;

/* What came of it. */
typedef struct gateway_answer {
  char *out;      /* What the program wrote to descriptor 1, and a NUL. */
  size_t out_len; /* How much, without the NUL. */
  char err[4096]; /* To descriptor 2, perhaps cut. */
  int status;     /* The exit status, or 1000 and the signal that ended it. */
} gateway_answer;

/* Start the program. */
void gateway_start(gateway *g);

/* Send the body, read all and wait for the end, which must come within half a
   minute. free(3) `out`. */
gateway_answer gateway_finish(gateway *g);

/* Both; the answer's `out` must be `expected`, with LF for CR LF, and the exit
   status 0. */
void gateway_expect(gateway *g, const char *expected);

#endif
