/* SPDX-License-Identifier: MIT */
/* A resource whose callbacks count what they do, and do what a test says. */
#ifndef UNIT_SUPPORT_KEEPING_H
#define UNIT_SUPPORT_KEEPING_H

#include <fastcgi/fastcgi.h>
#include <stdatomic.h>

enum { KEEPING_VALUES = 4096 }; /* Most values that are opened. */

/* What was opened. */
typedef struct keeping_value {
  atomic_int open;   /* 1: it is. */
  atomic_int users;  /* Holders at this moment. */
  atomic_int dirty;  /* 1: a holder has left something in it. */
  atomic_int broken; /* 1: check and reset fail. */
} keeping_value;

typedef struct keeping {
  fcgi_resource *resource; /* Under test. */
  atomic_int opens;        /* Calls of open that made something. */
  atomic_int attempts;     /* Calls of open. */
  atomic_int at_once;      /* Calls of open at this moment, */
  atomic_int most_at_once; /* and the most there ever were. */
  atomic_int checks;       /* Calls of check, */
  atomic_int resets;       /* of reset, */
  atomic_int closes;       /* and of close. */
  atomic_int away;         /* The error of open, or 0. */
  atomic_int same;         /* 1: open returns the first value again. */
  atomic_int slow_ms;      /* How long open takes. */
  atomic_int faults;       /* What must not happen: a value that is closed twice
                              or used when it is not open. */
  keeping_value values[KEEPING_VALUES]; /* By the order of opening. */
} keeping;

/* The callbacks and `user_data`; the rest is the defaults. */
fcgi_resource_config keeping_config(keeping *k);

/* A resource of this configuration, which must be valid. */
void keeping_begin(keeping *k, const fcgi_resource_config *config);
/* Free it; as many were closed as opened, and nothing was wrong. */
void keeping_end(keeping *k);

/* Take and give back, which must succeed; the value is one user's. */
keeping_value *keeping_take(keeping *k, fcgi_holder *holder);
void keeping_give(keeping *k, fcgi_holder *holder, keeping_value *value);

/* What is counted now. */
fcgi_resource_stats keeping_stats(keeping *k);

#endif
