/* SPDX-License-Identifier: MIT */
/* The inside of a peer, shared by the files named after it. */
#ifndef FCGI_SESSION_PEER_H
#define FCGI_SESSION_PEER_H

#include "session/params.h"
#include <fastcgi/peer.h>
#include <fastcgi/record.h>

/* What has happened to a request, one bit each. */
typedef enum fcgi__call_bit {
  FCGI__CALL_OPEN = 1,         /* It has begun and not yet ended. */
  FCGI__CALL_KEEP = 2,         /* FCGI_BEGIN_KEEP was set. */
  FCGI__CALL_PARAMS_END = 4,   /* The peer has ended PARAMS. */
  FCGI__CALL_STDIN_END = 8,    /* The peer has ended STDIN. */
  FCGI__CALL_DATA_END = 16,    /* The peer has ended DATA. */
  FCGI__CALL_STDOUT_OPEN = 32, /* STDOUT has bytes and no end. */
  FCGI__CALL_STDOUT_END = 64,  /* The application ended STDOUT. */
  FCGI__CALL_STDERR_OPEN = 128,
  FCGI__CALL_STDERR_END = 256
} fcgi__call_bit;

typedef struct fcgi__call {
  void *user_data; /* Pointer of the peer's owner, never dereferenced. */
  uint16_t bits;   /* An or of fcgi__call_bit; 0 when the id is free. */
} fcgi__call;

struct fcgi_peer {
  fcgi_allocator allocator;         /* Where memory comes from. */
  fcgi__params_limits limits;       /* Limits of the pairs of
                                       GET_VALUES_RESULT. */
  uint32_t max_multiplexed;         /* Most requests open at once. */
  size_t output_bytes;              /* Most bytes that are queued and unsent. */
  int error;                        /* The first error, which stays; 0: none. */
  const char *reason;               /* Why it failed, static text for a
                                       person. */
  const uint8_t *in;                /* Fed bytes that are not yet used, lent. */
  size_t in_len;                    /* Number of bytes at `in`. */
  fcgi_record record;               /* The record being read. */
  uint8_t head[FCGI_RECORD_HEADER]; /* Header of the next record while
                                       incomplete. */
  uint8_t head_len;                 /* Bytes of `head` that have come. */
  uint8_t in_record;                /* 1: `record` is valid. */
  uint8_t padding_left;             /* Bytes of padding of `record` that are
                                       to come. */
  uint8_t body_len;                 /* Bytes of `body` that have come. */
  uint8_t body[8];                  /* Content of END_REQUEST or
                                       UNKNOWN_TYPE. */
  uint16_t content_left;            /* Bytes of content of `record` that are
                                       to come. */
  uint8_t gone;                     /* 1: the connection is closed. */
  uint8_t closing;                  /* 1: a request without KEEP has ended. */
  uint8_t raw;                      /* 1: fcgi_peer_raw has sent bytes that
                                       the peer does not know. */
  uint32_t asked;                   /* Number of unanswered GET_VALUES. */
  fcgi_params values;               /* Pairs of GET_VALUES_RESULT. */
  fcgi__call *calls;                /* The requests by id, owned. */
  uint32_t call_count;              /* Number of `calls`. */
  uint32_t open;                    /* Number of open requests. */
  uint32_t close_at;     /* Gone: the next id to look at for CLOSE. */
  fcgi__buffer out;      /* Queued output, which begins with
                            `sent` sent bytes. */
  size_t sent;           /* Bytes of `out` that are sent. */
  size_t open_at;        /* Offset in `out` of the header of the
                            open record. */
  uint8_t open_type;     /* Type of the open record; 0: none is
                            open. */
  uint16_t open_id;      /* Request id of the open record. */
  fcgi_peer_event event; /* The event that was last given out. */
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
