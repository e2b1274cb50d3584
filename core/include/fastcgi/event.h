/* SPDX-License-Identifier: MIT */
/* What can happen to a request: one vocabulary for the session, the server,
   the callbacks and every binding. */
#ifndef FASTCGI_EVENT_H
#define FASTCGI_EVENT_H

#include <fastcgi/export.h>
#include <fastcgi/params.h>
#include <fastcgi/protocol.h>
#include <fastcgi/role.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, callback): the events. Their numbers never change, and a new event
   comes last in this list. The list does not say in which order events are
   delivered. */
#define FCGI_EVENT_MAP(X)                                                      \
  X(REQUEST, on_request)                                                       \
  X(STDIN, on_stdin)                                                           \
  X(STDIN_END, on_stdin_end)                                                   \
  X(DATA, on_data)                                                             \
  X(DATA_END, on_data_end)                                                     \
  X(WRITABLE, on_writable)                                                     \
  X(ABORT, on_abort)                                                           \
  X(CLOSE, on_close)

typedef enum fcgi_event_type {
  FCGI_EVENT_NONE = 0,
#define FCGI_EVENT_ENUM(name, callback) FCGI_EVENT_##name,
  FCGI_EVENT_MAP(FCGI_EVENT_ENUM)
#undef FCGI_EVENT_ENUM
} fcgi_event_type;

/* X(NAME, key, help): why a request is aborted. */
#define FCGI_ABORT_MAP(X)                                                      \
  X(RECORD, record,                                                            \
    "The web server sent ABORT_REQUEST; it may still read an answer.")         \
  X(CONNECTION, connection,                                                    \
    "The connection is closed; nobody can read an answer.")                    \
  X(PROTOCOL, protocol,                                                        \
    "The peer broke the protocol; the connection is being closed.")            \
  X(TIMEOUT, timeout, "The peer was silent for too long.")                     \
  X(STOP, stop, "The server was stopped without waiting for requests.")        \
  X(DEADLINE, deadline,                                                        \
    "The request took longer than request_timeout; the client got 504.")

typedef enum fcgi_abort_reason {
  FCGI_ABORT_NONE = 0,
#define FCGI_ABORT_ENUM(name, key, help) FCGI_ABORT_##name,
  FCGI_ABORT_MAP(FCGI_ABORT_ENUM)
#undef FCGI_ABORT_ENUM
} fcgi_abort_reason;

/* Returns the key of a reason, such as "record", which is the same in every
   language: NULL for FCGI_ABORT_NONE, "unknown" for a reason of a later
   version. Static; any thread. */
FCGI_EXPORT const char *fcgi_abort_name(fcgi_abort_reason reason);

/* One event of a session. Everything that it points to is lent until the next
   call of next, feed or free on that session, but `params` until the CLOSE
   event. */
typedef struct fcgi_event {
  fcgi_event_type type;       /* What has happened. */
  uint16_t id;                /* Id of the request. */
  uint16_t role;              /* REQUEST: an fcgi_role or a custom number. */
  const fcgi_role_spec *spec; /* REQUEST: the role, in the roles of the
                                 configuration. */
  int keep;                   /* REQUEST: 1 if the connection is kept. */
  int64_t content_length;     /* REQUEST: CONTENT_LENGTH, or -1 if not sent. */
  const fcgi_params *params;  /* REQUEST: the parameters; CLOSE with `refused`:
                                 those that could be read. */
  const void *data;           /* STDIN, DATA: the next bytes of the stream;
                                 CLOSE with `refused`: the bytes that the
                                 session has sent on STDOUT, or NULL if it
                                 could send none. */
  size_t len;                 /* STDIN, DATA, CLOSE: number of bytes at `data`,
                                 not 0 unless that is NULL. */
  int truncated;              /* STDIN_END, DATA_END: 1 if CONTENT_LENGTH, or
                                 FCGI_DATA_LENGTH, promised more bytes. */
  int excess;                 /* STDIN_END, DATA_END: 1 if more bytes arrived
                                 than promised; they were dropped. */
  fcgi_abort_reason reason;   /* ABORT: why the request is aborted. */
  int refused;                /* CLOSE: the HTTP status with which the session
                                 itself has refused the request, so that there
                                 was no REQUEST event; otherwise 0. */
  void *user_data;            /* What fcgi_session_set_user_data set. */
} fcgi_event;

#endif
