/* SPDX-License-Identifier: MIT */
/* Playing a case against an application. */
#ifndef FCGI_SPEC_PLAY_H
#define FCGI_SPEC_PLAY_H

#include "script.h"
#include "spec.h"
#include "wire.h"

/* A case as it is played. */
typedef struct play {
  const spec_target *target; /* The application. */
  spec_case *c;              /* The case; its result is filled in. */
  tool_params params;        /* What goes in front of each request's. */
  script script;             /* What is sent. */
  talk wanted;               /* What must come back. */
  wire wire;                 /* The connection. */
} play;

/* Send a plain request on a new connection and read the answer: 0 when it is
   one, or an exit status with what happened in `problem`. `said` may be NULL;
   otherwise talk_free it. */
int play_plain(const spec_target *target, talk *said, bytes *problem);

/* 1 when a second plain request on a kept connection is not answered. */
int play_closes(const spec_target *target);

/* Ask for FCGI_MPXS_CONNS: 0, 1, or -1 without an answer. */
int play_ask_multiplexing(const spec_target *target);

/* Play the case and set its result. */
void play_case(const spec_target *target, spec_case *c);

#endif
