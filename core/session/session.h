/* SPDX-License-Identifier: MIT */
/* The inside of a session, shared by the files of this folder. */
#ifndef FCGI_SESSION_SESSION_H
#define FCGI_SESSION_SESSION_H

#include "session/exchange.h"
#include "session/refusals.h"
#include "session/spares.h"
#include "session/table.h"
#include <fastcgi/record.h>
#include <fastcgi/session.h>

enum { FCGI__VALUE_NAME = 16 }; /* Longer than any name GET_VALUES knows. */

/* GET_VALUES while its content comes in (FastCGI 1.0, 4.1). */
typedef struct fcgi__values {
  fcgi_pairs pairs;            /* The decoder. */
  char name[FCGI__VALUE_NAME]; /* The current name, cut when longer. */
  uint8_t name_len;            /* Bytes of it seen. */
  uint8_t wanted;              /* One bit for each known name asked for. */
} fcgi__values;

/* What to do with the records of one type. */
typedef struct fcgi__record_ops {
  int (*begin)(fcgi_session *session);   /* The header is in. */
  void (*content)(fcgi_session *session, /* Some content is in. */
                  const uint8_t *data, size_t len);
  void (*finish)(fcgi_session *session); /* Content and padding are in. */
} fcgi__record_ops;

struct fcgi_session {
  fcgi_allocator allocator;         /* As configured. */
  fcgi__params_limits limits;       /* Of each request's PARAMS. */
  uint32_t max_multiplexed;         /* Open at once. */
  size_t memory;                    /* What requests may hold in all. */
  size_t held;                      /* What they hold. */
  fcgi__refusals refusals;          /* Those that are none of `table`. */
  const fcgi_role_spec *roles;      /* As configured; NULL: the standard's. */
  size_t role_count;                /* Number of those roles. */
  uint32_t report_conns;            /* For GET_VALUES. */
  uint32_t report_mpxs;             /* For GET_VALUES: 0 or 1. */
  uint32_t report_reqs;             /* For GET_VALUES. */
  int error;                        /* Sticky; 0 while all is well. */
  const uint8_t *in;                /* Fed bytes not yet used. */
  size_t in_len;                    /* Bytes at `in`. */
  fcgi_record record;               /* The record being read. */
  const fcgi__record_ops *ops;      /* What to do with it. */
  uint8_t head[FCGI_RECORD_HEADER]; /* Its header while incomplete. */
  uint8_t head_len;                 /* Bytes of that. */
  uint8_t in_record;                /* 1: `record` is valid. */
  uint8_t greeted;                  /* 1: the first header was good. */
  uint8_t gone;                     /* 1: the connection is lost. */
  uint8_t closing;                  /* 1: close when nothing is open. */
  uint8_t unread;                   /* 1: some input came, or comes, in vain. */
  uint8_t full;                     /* 1: new requests are refused. */
  uint8_t padding_left;             /* Of the record. */
  uint8_t begin_len;                /* Bytes of `begin` seen. */
  uint8_t begin[8];                 /* BEGIN_REQUEST's body. */
  uint16_t content_left;            /* Of the record. */
  fcgi__values values;              /* GET_VALUES's body. */
  fcgi__spare *spare;               /* Where memory is kept, or NULL. */
  fcgi__name_order names;           /* Of parameters, as they came. */
  fcgi__exchange *current;          /* The record's; NULL: ignore it. */
  fcgi__table table;                /* Open exchanges by id. */
  fcgi__exchange *all;              /* The same as a list. */
  fcgi__exchange *due_first;        /* Those with an event due. */
  fcgi__exchange *due_last;         /* The last of them. */
  fcgi__exchange *turn_first;       /* Those with output, in turn. */
  fcgi__exchange *turn_last;        /* The last of them. */
  fcgi__exchange *closed;           /* CLOSE was given out: free it next. */
  fcgi__output wire;                /* Items in the order they leave. */
  size_t wire_bytes;                /* Unsent bytes of those. */
  size_t manage_bytes;              /* Of management answers among them. */
  uint32_t in_params;               /* Exchanges whose PARAMS go on. */
  uint32_t begun;                   /* The serial of the youngest exchange. */
  uint32_t unfinished;              /* That of the oldest of `in_params`, or
                                       0. */
  uint32_t draining;                /* Exchanges that await STDIN's end. */
  uint64_t drained;                 /* Input bytes nobody wanted. */
  fcgi_event event;                 /* The one last given out. */
};

/* The handlers for the current record's type. */
const fcgi__record_ops *fcgi__record_ops_of(const fcgi_session *session);

/* GET_VALUES and UNKNOWN_TYPE (manage.c). */
void fcgi__values_content(fcgi_session *session, const uint8_t *data,
                          size_t len);
void fcgi__values_finish(fcgi_session *session);
void fcgi__unknown_type_finish(fcgi_session *session);

/* The role of that number, or NULL (roles.c). */
const fcgi_role_spec *fcgi__role_find(const fcgi_session *session,
                                      uint16_t number);

/* Answer the current BEGIN_REQUEST, whose role nobody serves, without an
   exchange of its own (manage.c). */
void fcgi__session_reject(fcgi_session *session, uint16_t role, int keep);

/* Queue a record of an answer to a request without an exchange (manage.c). The
   session fails when such answers fill its memory. */
void fcgi__session_put_refusal(fcgi_session *session, fcgi_record_type type,
                               uint16_t id, const void *content, size_t len);

/* Requests that are refused as they begin (refusals.c). */
int fcgi__refusals_has(const fcgi_session *session, uint16_t id);
/* The current BEGIN_REQUEST, in whose role there are `spec`'s streams. */
void fcgi__refusals_begin(fcgi_session *session, const fcgi_role_spec *spec);
/* End those that await the end of their input. */
void fcgi__refusals_stop_draining(fcgi_session *session);
/* Forget them all. */
void fcgi__refusals_clear(fcgi_session *session);

/* Life of exchanges (life.c). */
/* Count what the exchange holds. */
void fcgi__session_count(fcgi_session *session, fcgi__exchange *exchange);
void fcgi__session_begin(fcgi_session *session);
void fcgi__session_params_end(fcgi_session *session, fcgi__exchange *exchange);
/* The HTTP status for a request refused with `error`. */
int fcgi__session_status_for(int error);
void fcgi__session_refuse(fcgi_session *session, fcgi__exchange *exchange,
                          int status);
void fcgi__session_input_done(fcgi_session *session, fcgi__exchange *exchange);
void fcgi__session_abort_one(fcgi_session *session, fcgi__exchange *exchange,
                             fcgi_abort_reason reason);
int fcgi__session_end_one(fcgi_session *session, fcgi__exchange *exchange);
void fcgi__session_sent(fcgi_session *session, fcgi__exchange *exchange);

/* The exchange has output: give it its turn (wire.c). */
void fcgi__session_touch(fcgi_session *session, fcgi__exchange *exchange);
/* Free all output (wire.c). */
void fcgi__session_drop_output(fcgi_session *session);

/* Have `exchange` in the list of events due. */
void fcgi__session_due(fcgi_session *session, fcgi__exchange *exchange);
/* Make `type` the event that next returns. */
void fcgi__session_emit(fcgi_session *session, fcgi_event_type type,
                        const fcgi__exchange *exchange);
/* The session has failed for good. */
void fcgi__session_fail(fcgi_session *session, int error);
/* Take the exchange out of every list and free it. */
void fcgi__session_forget(fcgi_session *session, fcgi__exchange *exchange);

#endif
