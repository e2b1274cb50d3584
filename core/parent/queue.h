/* SPDX-License-Identifier: MIT */
/* The queue that a supervisor gives to all its workers: a pair of sockets on
   which connections pass, each with a note, and the oldest is taken first. */
#ifndef FCGI_PARENT_QUEUE_H
#define FCGI_PARENT_QUEUE_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct fcgi__queue {
  atomic_int out; /* Where connections go; -1: nowhere. */
  atomic_int in;  /* Where they come from; -1: nowhere. */
} fcgi__queue;

/* What travels with a connection. Zeroes say nothing. */
typedef struct fcgi__queue_note {
  int64_t since;     /* When it was put there. */
  int64_t idle_due;  /* Of its life, as are the next two. */
  uint8_t fresh;     /* 1: no request has come yet. */
  uint8_t shared;    /* 1: requests have run at the same time. */
  uint8_t unused[6]; /* Fills the word. */
} fcgi__queue_note;

/* What became of a connection that was to be put there. */
typedef enum fcgi__queue_result {
  FCGI__QUEUE_STAYS, /* It is of no use to others, or nothing is taken. */
  FCGI__QUEUE_GIVEN, /* It is in the queue. */
  FCGI__QUEUE_FULL   /* There is no room for now. */
} fcgi__queue_result;

/* No queue yet. */
void fcgi__queue_init(fcgi__queue *queue);

/* Take the one that a supervisor names in FASTCGI_SHARE, if any. Returns NULL,
   or what is wrong with that variable. */
const char *fcgi__queue_inherit(fcgi__queue *queue);

/* Put the connection `fd` there, which stays the caller's. Any lock may be
   held. */
fcgi__queue_result fcgi__queue_put(fcgi__queue *queue, int fd,
                                   const fcgi__queue_note *note);

/* Take the oldest: 1, with its descriptor or -1; 0 when nothing will ever come;
   negative when nothing is there. */
int fcgi__queue_take(fcgi__queue *queue, int *fd, fcgi__queue_note *note);

/* When the oldest was put there, or 0. */
int64_t fcgi__queue_since(const fcgi__queue *queue);

/* How many connections are there. */
unsigned fcgi__queue_length(const fcgi__queue *queue);

/* 1: nothing more can be put there, because all workers stop. */
int fcgi__queue_is_shut(const fcgi__queue *queue);

#endif
