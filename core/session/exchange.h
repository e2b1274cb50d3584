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
  int64_t promised;  /* Bytes that a parameter announces; -1: none does. */
  uint64_t received; /* Bytes that have come, at most `promised`. */
  uint8_t excess;    /* 1: more bytes than promised have come. */
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
  struct fcgi__exchange *bucket_next; /* The next one in the same bucket of
                                         the table. */
  struct fcgi__exchange *all_next;    /* The next one in the list of all open
                                         exchanges. */
  struct fcgi__exchange *all_prev;    /* The previous one in that list. */
  struct fcgi__exchange *turn_next;   /* The next one in the ring of
                                         exchanges with output. */
  struct fcgi__exchange *due_next;    /* The next one in the list of those
                                         with an event due. */
  void *user_data;                    /* Pointer of the session's owner,
                                         never dereferenced. */
  uint32_t serial;                    /* Number of its BEGIN_REQUEST on this
                                         connection, from 1. */
  uint16_t id;                        /* Request id, 1 to 65535. */
  uint16_t role;                      /* Role number that BEGIN_REQUEST has. */
  const fcgi_role_spec *spec;         /* The role with that number, lent;
                                         NULL: it is not served. */
  uint8_t keep;                       /* 1: FCGI_BEGIN_KEEP was set. */
  uint8_t input;                      /* The stream that comes next, a
                                         fcgi__input. */
  uint8_t announced;                  /* 1: REQUEST was given out. */
  uint8_t ended;                      /* 1: the application (or we) ended it. */
  uint8_t end_queued;                 /* 1: END_REQUEST is queued. */
  uint8_t draining;                   /* 1: ended, awaiting STDIN's end. */
  uint8_t streams_closed;             /* 1: their empty records are queued. */
  uint8_t in_turns;                   /* 1: it is in the ring of exchanges
                                         with output. */
  uint8_t is_due;                     /* 1: in the list of events due. */
  uint8_t abort_due;                  /* 1: ABORT is to be given out. */
  uint8_t close_due;                  /* 1: CLOSE is to be given out. */
  uint8_t stderr_used;                /* 1: STDERR needs its empty record. */
  uint8_t answered;                   /* 1: the answer that refuses the
                                         request is queued. */
  uint8_t kept;                       /* 1: `params` may be needed after the
                                         exchange. */
  atomic_int holders;                 /* `kept`: -1 once the session or the
                                         keeper is done with `params`; the
                                         other one frees them. */
  uint8_t bodiless;                   /* 1: refuse without a body (HEAD). */
  uint8_t abort_reason;               /* Why it is aborted, a
                                         fcgi_abort_reason. */
  uint8_t protocol_status;            /* Its fcgi_protocol_status, for
                                         END_REQUEST. */
  uint8_t item_free;                  /* 1: `item` is in no list. */
  int refused;                        /* HTTP status with which the session
                                         refuses it; 0: it does not. */
  uint32_t app_status;                /* appStatus for END_REQUEST. */
  fcgi__progress body;                /* Progress of STDIN towards
                                         CONTENT_LENGTH. */
  fcgi__progress data;                /* Progress of DATA towards
                                         FCGI_DATA_LENGTH. */
  size_t queued;                      /* Output bytes that are not yet sent,
                                         headers included. */
  size_t held;                        /* Bytes of memory counted for it in
                                         `held` of the session. */
  size_t *memory;                     /* Counter that its output adds to,
                                         lent. */
  uint64_t unsent;                    /* STDOUT bytes that were dropped. */
  fcgi_params params;                 /* Its parameters, as far as they have
                                         come. */
  fcgi__output queue;                 /* Output not yet on the wire. */
  fcgi__item item;                    /* The first BYTES item, fixed. */
  uint8_t bytes[FCGI__INLINE_ROOM];   /* Storage of `item`. */
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
