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
  fcgi_pairs pairs;            /* Decoder of the pairs, between two records. */
  char name[FCGI__VALUE_NAME]; /* The current name, cut when longer. */
  uint8_t name_len;            /* Bytes of `name` that have come. */
  uint8_t wanted;              /* A bit for each known name that was asked
                                  for. */
} fcgi__values;

/* What to do with the records of one type. */
typedef struct fcgi__record_ops {
  int (*begin)(fcgi_session *session);   /* Called when the header is
                                            complete. */
  void (*content)(fcgi_session *session, /* Some content is in. */
                  const uint8_t *data, size_t len);
  void (*finish)(fcgi_session *session); /* Called after content and padding. */
} fcgi__record_ops;

struct fcgi_session {
  fcgi_allocator allocator;         /* Where memory comes from. */
  fcgi__params_limits limits;       /* Limits of the parameters of one
                                       request. */
  uint32_t max_multiplexed;         /* Most requests open at once. */
  size_t memory;                    /* Most bytes that open requests may
                                       hold. */
  size_t held;                      /* Bytes that they hold. */
  fcgi__refusals refusals;          /* Requests that are refused and not in
                                       `table`. */
  const fcgi_role_spec *roles;      /* Roles that are served, lent; NULL:
                                       FCGI_ROLE_SPECS. */
  size_t role_count;                /* Number of `roles`. */
  uint32_t report_conns;            /* FCGI_MAX_CONNS that GET_VALUES
                                       reports. */
  uint32_t report_mpxs;             /* FCGI_MPXS_CONNS that it reports, 0 or
                                       1. */
  uint32_t report_reqs;             /* FCGI_MAX_REQS that it reports. */
  int error;                        /* The first error, which stays; 0: none. */
  const uint8_t *in;                /* Fed bytes that are not yet used, lent. */
  size_t in_len;                    /* Number of bytes at `in`. */
  fcgi_record record;               /* The record being read. */
  const fcgi__record_ops *ops;      /* Functions for the type of `record`. */
  uint8_t head[FCGI_RECORD_HEADER]; /* Header of the next record while
                                       incomplete. */
  uint8_t head_len;                 /* Bytes of `head` that have come. */
  uint8_t in_record;                /* 1: `record` is valid. */
  uint8_t greeted;                  /* 1: the first header was good. */
  uint8_t gone;                     /* 1: the connection is lost. */
  uint8_t closing;                  /* 1: close when nothing is open. */
  uint8_t unread;                   /* 1: some input came, or comes, in vain. */
  uint8_t full;                     /* 1: new requests are refused, as memory
                                       is exhausted. */
  uint8_t padding_left;             /* Bytes of padding of `record` that are
                                       to come. */
  uint8_t begin_len;                /* Bytes of `begin` that have come. */
  uint8_t begin[8];                 /* Content of BEGIN_REQUEST. */
  uint16_t content_left;            /* Bytes of content of `record` that are
                                       to come. */
  fcgi__values values;              /* Content of GET_VALUES, decoded so far. */
  fcgi__spare *spare;               /* Memory for the next request, lent;
                                       NULL: none is kept. */
  fcgi__name_order names;           /* Order in which known names have come
                                       before. */
  fcgi__exchange *current;          /* The exchange that `record` is for;
                                       NULL: it is ignored. */
  fcgi__table table;                /* Open exchanges by id. */
  fcgi__exchange *all;              /* First of the list of all open
                                       exchanges. */
  fcgi__exchange *due_first;        /* First of the list of exchanges with an
                                       event due. */
  fcgi__exchange *due_last;         /* Last of that list. */
  fcgi__exchange *turn_first;       /* First of the ring of exchanges with
                                       output. */
  fcgi__exchange *turn_last;        /* Last of that ring. */
  fcgi__exchange *closed;           /* Exchange whose CLOSE was given out; it
                                       is freed next. */
  fcgi__output wire;                /* Items in the order they leave. */
  size_t wire_bytes;                /* Unsent bytes of `wire`. */
  size_t manage_bytes;              /* Those of them that answer management
                                       records. */
  uint32_t in_params;               /* Number of exchanges whose PARAMS are
                                       unfinished. */
  uint32_t begun;                   /* `serial` of the youngest exchange. */
  uint32_t unfinished;              /* `serial` of the oldest exchange whose
                                       PARAMS are unfinished; 0: none. */
  uint32_t draining;                /* Number of ended exchanges that await
                                       the end of STDIN. */
  uint64_t drained;                 /* Bytes of STDIN and DATA that came for
                                       ended requests. */
  fcgi_event event;                 /* The event that was last given out. */
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
