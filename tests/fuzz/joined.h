/* SPDX-License-Identifier: MIT */
/* A peer and a session that are joined, and the calls of a script on them. */
#ifndef FUZZ_JOINED_H
#define FUZZ_JOINED_H

#include "fuzz/counting.h"
#include "fuzz/fuzz.h"
#include "fuzz/visits.h"

#include <fastcgi/session.h>

/* One run of the script. */
typedef struct run {
  fcgi_peer *peer;                   /* The web server. */
  fcgi_session *session;             /* The application. */
  counting peer_memory;              /* What they allocate. */
  counting session_memory;           /* Memory of the session, counted. */
  script todo;                       /* What is left of the script. */
  unsigned options;                  /* The first byte. */
  int starved;                       /* 1: an allocation fails. */
  int parted;                        /* 1: nothing is carried any more. */
  size_t budget;                     /* Bytes that may still be queued. */
  size_t asked;                      /* GET_VALUES unanswered. */
  uint16_t id;                       /* What the call is about, and */
  size_t place;                      /* its place among script_ids. */
  uint8_t peer_visit[SCRIPT_IDS];    /* The visit at a place, to the peer. */
  uint8_t session_visit[SCRIPT_IDS]; /* The same to the session. */
  visits seen;                       /* All of them. */
} run;

/* What must work, while there is memory. */
#define need(r, condition) fuzz_require((r)->starved || (condition))

/* The visit of the present id, to the peer and to the session. */
visit *joined_of_peer(run *r);
visit *joined_of_session(run *r);

/* Make an id, or the one at a place of script_ids, the present one. */
void joined_turn_to(run *r, size_t place);
void joined_turn_to_id(run *r, uint16_t id);

/* Make the next call of the script. */
void joined_call(run *r);

/* Calls that both sides make at the end too: what is missing of the present
   request, by the peer and by the session. */
void joined_finish_input(run *r);
void joined_end(run *r, uint32_t app_status, fcgi_protocol_status status);

/* Calls that a script makes between the two: fuzz_pairing.c has them. */
void joined_to_session(run *r);
void joined_to_peer(run *r);
void joined_part(run *r);

#endif
