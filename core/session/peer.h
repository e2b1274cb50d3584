/* SPDX-License-Identifier: MIT */
/* The inside of a peer, shared by the files named after it. */
#ifndef FCGI_SESSION_PEER_H
#define FCGI_SESSION_PEER_H

#include "session/params.h"
#include <fastcgi/peer.h>
#include <fastcgi/record.h>

/* What has happened to a request, one bit each. */
typedef enum fcgi__call_bit {
  FCGI__CALL_OPEN = 1,         /* Begun and not yet ended. */
  FCGI__CALL_KEEP = 2,         /* FCGI_BEGIN_KEEP was set. */
  FCGI__CALL_PARAMS_END = 4,   /* We ended PARAMS. */
  FCGI__CALL_STDIN_END = 8,    /* We ended STDIN. */
  FCGI__CALL_DATA_END = 16,    /* We ended DATA. */
  FCGI__CALL_STDOUT_OPEN = 32, /* STDOUT has bytes and no end. */
  FCGI__CALL_STDOUT_END = 64,  /* The application ended STDOUT. */
  FCGI__CALL_STDERR_OPEN = 128,
  FCGI__CALL_STDERR_END = 256
} fcgi__call_bit;

typedef struct fcgi__call {
  void *user_data; /* The peer owner's. */
  uint16_t bits;   /* An or of fcgi__call_bit; 0 when the id is free. */
} fcgi__call;

struct fcgi_peer {
  fcgi_allocator allocator;         /* As configured. */
  fcgi__params_limits limits;       /* Of GET_VALUES_RESULT. */
  uint32_t max_multiplexed;         /* Open at once. */
  size_t output_bytes;              /* Queued at once. */
  int error;                        /* Sticky; 0 while all is well. */
  const char *reason;               /* Why, for a person. */
  const uint8_t *in;                /* Fed bytes not yet used. */
  size_t in_len;                    /* Bytes at `in`. */
  fcgi_record record;               /* The record being read. */
  uint8_t head[FCGI_RECORD_HEADER]; /* Its header while incomplete. */
  uint8_t head_len;                 /* Bytes of that. */
  uint8_t in_record;                /* 1: `record` is valid. */
  uint8_t padding_left;             /* Of the record. */
  uint8_t body_len;                 /* Bytes of `body` seen. */
  uint8_t body[8];                  /* END_REQUEST's or UNKNOWN_TYPE's. */
  uint16_t content_left;            /* Of the record. */
  uint8_t gone;                     /* 1: the connection is closed. */
  uint8_t closing;                  /* 1: a request without KEEP has ended. */
  uint8_t raw;                      /* 1: bytes were sent that we know not. */
  uint32_t asked;                   /* GET_VALUES unanswered. */
  fcgi_params values;               /* GET_VALUES_RESULT's body. */
  fcgi__call *calls;                /* By id. */
  uint32_t call_count;              /* How many of them. */
  uint32_t open;                    /* How many are open. */
  uint32_t close_at;     /* Gone: the next id to look at for CLOSE. */
  fcgi__buffer out;      /* Output, sent bytes first. */
  size_t sent;           /* How many of those. */
  size_t open_at;        /* Where the open record's header is. */
  uint8_t open_type;     /* Its type; 0 when none is open. */
  uint16_t open_id;      /* Its request. */
  fcgi_peer_event event; /* The one last given out. */
};

/* The call of an open request, or NULL. */
fcgi__call *fcgi__peer_call(const fcgi_peer *peer, uint16_t id);

/* Content and header of the current record; 0 or an error, after
   fcgi__peer_fail (judge.c's side of the parser). */
void fcgi__peer_begin_record(fcgi_peer *peer);
void fcgi__peer_content(fcgi_peer *peer, const uint8_t *data, size_t len);
void fcgi__peer_finish_record(fcgi_peer *peer);

/* The peer has failed for good, because of `reason`. */
void fcgi__peer_fail(fcgi_peer *peer, int error, const char *reason);

#endif
