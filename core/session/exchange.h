/* SPDX-License-Identifier: MIT */
/* One request id of a session, from BEGIN_REQUEST to our END_REQUEST. */
#ifndef FCGI_SESSION_EXCHANGE_H
#define FCGI_SESSION_EXCHANGE_H

#include "session/output.h"
#include "session/params.h"
#include <fastcgi/session.h>
#include <stdatomic.h>

/* How much of an input stream was promised, and has come. */
typedef struct fcgi__progress {
  int64_t promised;  /* By a parameter; -1 when it is not sent. */
  uint64_t received; /* Bytes so far, at most those promised. */
  uint8_t excess;    /* 1: more came. */
} fcgi__progress;

/* Which input stream is due (FastCGI 1.0, 6.1: one after another). */
typedef enum fcgi__input {
  FCGI__INPUT_PARAMS,
  FCGI__INPUT_STDIN,
  FCGI__INPUT_DATA,
  FCGI__INPUT_DONE
} fcgi__input;

enum { FCGI__INLINE_ROOM = 512 }; /* A small answer needs no allocation. */

typedef struct fcgi__exchange {
  struct fcgi__exchange *bucket_next; /* In the table of ids. */
  struct fcgi__exchange *all_next;    /* In the list of all open ones. */
  struct fcgi__exchange *all_prev;    /* The one before it there. */
  struct fcgi__exchange *turn_next;   /* In the ring of those with output. */
  struct fcgi__exchange *due_next;    /* In the list of events due. */
  void *user_data;                    /* The session owner's. */
  uint32_t serial;                    /* Numbers BEGIN_REQUESTs. */
  uint16_t id;                        /* The request id. */
  uint16_t role;                      /* As BEGIN_REQUEST said. */
  const fcgi_role_spec *spec;         /* What it means; NULL: unknown. */
  uint8_t keep;                       /* 1: FCGI_BEGIN_KEEP was set. */
  uint8_t input;                      /* A fcgi__input. */
  uint8_t announced;                  /* 1: REQUEST was given out. */
  uint8_t ended;                      /* 1: the application (or we) ended it. */
  uint8_t end_queued;                 /* 1: END_REQUEST is queued. */
  uint8_t draining;                   /* 1: ended, awaiting STDIN's end. */
  uint8_t streams_closed;             /* 1: their empty records are queued. */
  uint8_t in_turns;                   /* 1: in the ring. */
  uint8_t is_due;                     /* 1: in the list of events due. */
  uint8_t abort_due;                  /* 1: ABORT is to be given out. */
  uint8_t close_due;                  /* 1: CLOSE is to be given out. */
  uint8_t stderr_used;                /* 1: STDERR needs its empty record. */
  uint8_t answered;                   /* 1: the refusal was queued. */
  uint8_t kept;                       /* 1: `params` may outlive it. */
  atomic_int holders;                 /* `kept`: -1 once one of the two who
                                         need it, session and keeper, is
                                         done. */
  uint8_t bodiless;                   /* 1: refuse without a body (HEAD). */
  uint8_t abort_reason;               /* A fcgi_abort_reason. */
  uint8_t protocol_status;            /* For END_REQUEST. */
  uint8_t item_free;                  /* 1: `item` is in no list. */
  int refused;                        /* The HTTP status of our refusal. */
  uint32_t app_status;                /* For END_REQUEST. */
  fcgi__progress body;                /* STDIN, CONTENT_LENGTH. */
  fcgi__progress data;                /* DATA, FCGI_DATA_LENGTH. */
  size_t queued;                      /* Output bytes not yet sent. */
  size_t held;                        /* Its part of the session's `held`. */
  size_t *memory;                     /* That, which its output grows. */
  uint64_t unsent;                    /* STDOUT bytes that were dropped. */
  fcgi_params params;                 /* As collected. */
  fcgi__output queue;                 /* Output not yet on the wire. */
  fcgi__item item;                    /* The first BYTES item, fixed. */
  uint8_t bytes[FCGI__INLINE_ROOM];   /* Its storage. */
} fcgi__exchange;

/* A new exchange for `id`, or NULL, made of `spare` if there is one; `memory`
   counts what its output takes. */
fcgi__exchange *fcgi__exchange_new(const fcgi_allocator *allocator,
                                   fcgi__exchange *spare, uint16_t id,
                                   uint16_t role, int keep, size_t *memory);
/* Its queue is empty: its output was sent or dropped. Where its parameters are
   kept, the second call frees. */
void fcgi__exchange_free(fcgi__exchange *exchange,
                         const fcgi_allocator *allocator);

/* Close the streams that are open, without END_REQUEST. */
int fcgi__exchange_close_streams(fcgi__exchange *exchange,
                                 const fcgi_allocator *allocator);

/* Close the streams that are open, and queue END_REQUEST (5.5). */
int fcgi__exchange_put_ends(fcgi__exchange *exchange,
                            const fcgi_allocator *allocator);

/* Answer `status` by ourselves: the head and a line of text on STDOUT. */
int fcgi__exchange_refuse(fcgi__exchange *exchange,
                          const fcgi_allocator *allocator, int status);
/* What that is, and how long; whole for NULL. */
const char *fcgi__exchange_refusal(const fcgi__exchange *exchange, int status,
                                   size_t *len);

#endif
