/* SPDX-License-Identifier: MIT */
/* The right to do something dear comes with time: once for each step that has
   passed, and after a pause at most `most` times in a row. The caller says what
   time it is, and keeps other threads away. */
#ifndef FCGI_BASE_PACE_H
#define FCGI_BASE_PACE_H

typedef struct fcgi__pace {
  long long step;       /* Milliseconds for one right. */
  long long most;       /* Rights that a pause leaves. */
  long long used_until; /* Up to when rights have been used. */
} fcgi__pace;

/* Use at most `wanted` rights: how many there were. */
unsigned fcgi__pace_take(fcgi__pace *pace, long long now, unsigned wanted);

#endif
