/* SPDX-License-Identifier: MIT */
/* One FastCGI connection, application side, as a state machine without I/O:
   fed bytes become events that you take, your calls become bytes that you
   take. It never calls you. Only one thread at a time may call a session;
   sessions share nothing. */
#ifndef FASTCGI_SESSION_H
#define FASTCGI_SESSION_H

#include <fastcgi/alloc.h>
#include <fastcgi/event.h>
#include <fastcgi/export.h>
#include <fastcgi/role.h>
#include <fastcgi/spares.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct fcgi_session fcgi_session;

/* A field left 0 takes its default. The function that makes the object copies
   the struct. */
typedef struct fcgi_session_config {
  size_t size;              /* sizeof(fcgi_session_config). */
  fcgi_allocator allocator; /* Where memory comes from. Default: the C
                               library's. */
  size_t limit_params_size; /* Most bytes in names and values of a request; at
                               most 2 GiB. Default: 256 KiB. */
  uint32_t limit_params;    /* Most parameters of a request. Default: 1,024. */
  uint32_t max_multiplexed; /* Most requests open at once. Default: 1,024. */
  uint32_t report_conns;    /* FCGI_MAX_CONNS that GET_VALUES reports. Default:
                               1,024. */
  uint32_t report_reqs;     /* FCGI_MAX_REQS that GET_VALUES reports. Default:
                               report_conns * max_multiplexed. */
  int keep_http_proxy;      /* 1: HTTP_PROXY is passed on (CVE-2016-5385).
                               Default: 0. */
  const fcgi_role_spec *roles; /* Roles that are served; others get
                                  UNKNOWN_ROLE. Lent until fcgi_session_free.
                                  Default: FCGI_ROLE_SPECS. */
  size_t role_count;           /* Number of `roles`. */
  int in_use; /* 1: the connection was in use before and is at rest now, so that
                 its first record may belong to a request that has ended.
                 Default: 0. */
  int no_multiplex; /* 1: GET_VALUES reports FCGI_MPXS_CONNS 0, and by default
                       report_conns as FCGI_MAX_REQS. Requests that come
                       multiplexed all the same are served. Default: 0. */
  size_t memory;    /* Most bytes that open requests hold, above all in their
                       parameters. Beyond it new requests get 503, and refusals
                       that nobody reads fail the session. Default: 4 MiB. */
  fcgi_spares *spares; /* Where memory of requests is kept. Lent until
                          fcgi_session_free. Default: nowhere. */
} fcgi_session_config;

/* What a connection's owner needs to know between calls. */
typedef enum fcgi_session_flag {
  FCGI_SESSION_OUTPUT = 1,   /* Output waits to be sent. */
  FCGI_SESSION_ACTIVE = 2,   /* At least one request is open. */
  FCGI_SESSION_PARAMS = 4,   /* A request's PARAMS, or a record outside any
                                request, is unfinished. */
  FCGI_SESSION_DRAINING = 8, /* An ended request awaits its STDIN's end. */
  FCGI_SESSION_CLOSE = 16,  /* The connection closes once the output is sent. */
  FCGI_SESSION_UNREAD = 32, /* Keep reading for a while after closing: more
                               input may be on its way. */
  FCGI_SESSION_EVENT = 64   /* fcgi_session_next may have an event or an error;
                               without this it has none. */
} fcgi_session_flag;

/* Makes a session; `config` NULL takes every default. */
FCGI_EXPORT int fcgi_session_new(fcgi_session **out,
                                 const fcgi_session_config *config);

/* Frees the session and everything that it lends. NULL is fine. */
FCGI_EXPORT void fcgi_session_free(fcgi_session *session);

/* Hands received bytes over. The session does not copy them: keep them in place
   until fcgi_session_next returns 0. FCGI_ERR_STATE while earlier bytes are not
   used up. Any split of the bytes gives the same events. */
FCGI_EXPORT int fcgi_session_feed(fcgi_session *session, const void *data,
                                  size_t len);

/* Tells the session that the connection is lost, or judged lost. Every open
   request gets an ABORT event with `reason`, and output is dropped. Afterwards
   only end, next and free work. */
FCGI_EXPORT void fcgi_session_abort(fcgi_session *session,
                                    fcgi_abort_reason reason);

/* Takes the next event. Returns 1 with `*event` set, 0 when more bytes are
   needed, or a negative error. Errors are sticky: after FCGI_ERR_PROTOCOL or
   NOMEM only events already due, end and free work, and the connection must
   close. */
FCGI_EXPORT int fcgi_session_next(fcgi_session *session,
                                  const fcgi_event **event);

/* Attaches a pointer to an open request; its events carry it. */
FCGI_EXPORT int fcgi_session_set_user_data(fcgi_session *session, uint16_t id,
                                           void *user_data);

/* Keeps the parameters of an open request beyond its end, even beyond _free of
   the session, until fcgi_session_drop_params. FCGI_ERR_STATE when it is not
   open, or they are kept already. */
FCGI_EXPORT int fcgi_session_keep_params(fcgi_session *session, uint16_t id);

/* Frees parameters that fcgi_session_keep_params has kept. Any thread;
   `allocator` is the session's, NULL for the C library's. */
FCGI_EXPORT void fcgi_session_drop_params(const fcgi_params *params,
                                          const fcgi_allocator *allocator);

/* Queues bytes for STDOUT or STDERR; they are copied. FCGI_ERR_STATE when the
   request is not open or ended, FCGI_ERR_ABORTED when its connection is
   gone. */
FCGI_EXPORT int fcgi_session_write(fcgi_session *session, uint16_t id,
                                   fcgi_stream stream, const void *data,
                                   size_t len);

/* Queues bytes for STDOUT without a copy: `data` must stay in place until it is
   sent or fcgi_session_keep was called for the request. */
FCGI_EXPORT int fcgi_session_lend(fcgi_session *session, uint16_t id,
                                  const void *data, size_t len);

/* Copies what is still unsent of the request's lent bytes. FCGI_ERR_NOMEM fails
   the session: it drops those bytes and refers to none any more. */
FCGI_EXPORT int fcgi_session_keep(fcgi_session *session, uint16_t id);

/* Queues `len` bytes of file `fd` from `offset` for STDOUT. The session only
   frames them: fcgi_session_output_file tells when to send them. */
FCGI_EXPORT int fcgi_session_write_file(fcgi_session *session, uint16_t id,
                                        int fd, uint64_t offset, size_t len);

/* Returns the bytes queued for the request and not yet sent, headers
   included. */
FCGI_EXPORT size_t fcgi_session_queued(const fcgi_session *session,
                                       uint16_t id);

/* Returns the bytes written to STDOUT of the request that were dropped with the
   connection, without headers. */
FCGI_EXPORT uint64_t fcgi_session_unsent(const fcgi_session *session,
                                         uint16_t id);

/* Ends a request: closes STDOUT now; END_REQUEST follows at once, or when its
   STDIN has ended (an early END_REQUEST breaks HAProxy, h2o and Apache).
   CLOSE is its last event, after END_REQUEST was sent. */
FCGI_EXPORT int fcgi_session_end(fcgi_session *session, uint16_t id,
                                 uint32_t app_status,
                                 fcgi_protocol_status protocol_status);

/* Stops waiting for the STDIN of ended requests: their END_REQUEST goes out
   now, and the session wants to close once nothing else is open. */
FCGI_EXPORT void fcgi_session_stop_draining(fcgi_session *session);

/* Makes the session close as soon as no request is open. A request that begins
   before that is served. */
FCGI_EXPORT void fcgi_session_stop(fcgi_session *session);

/* Fills up to `count` slices with the next output; returns how many. They are
   lent until fcgi_session_output_done or the next call that writes. */
FCGI_EXPORT int fcgi_session_output(fcgi_session *session, struct iovec *iov,
                                    int count);

/* Returns 1 when the next output is `*len` bytes of file `*fd` from `*offset`
   on, which the caller sends itself; otherwise 0. */
FCGI_EXPORT int fcgi_session_output_file(fcgi_session *session, int *fd,
                                         uint64_t *offset, size_t *len);

/* Tells the session that `bytes` of the output, slices or file, are sent. */
FCGI_EXPORT void fcgi_session_output_done(fcgi_session *session, size_t bytes);

/* Tells the session whether memory is exhausted, which it is not at first.
   While `full` is 1, new requests and those whose PARAMS are unfinished get
   503. */
FCGI_EXPORT void fcgi_session_set_full(fcgi_session *session, int full);

/* Returns the bytes that open requests, and answers not yet sent, hold. */
FCGI_EXPORT size_t fcgi_session_held(const fcgi_session *session);

/* Returns what the caller can do now: FCGI_SESSION_OUTPUT, FCGI_SESSION_EVENT,
   both, or 0. */
FCGI_EXPORT unsigned fcgi_session_ready(const fcgi_session *session);

/* Returns an or of fcgi_session_flag. */
FCGI_EXPORT unsigned fcgi_session_flags(const fcgi_session *session);

/* Returns a number that stands for the oldest request whose PARAMS are
   unfinished, and differs from one request to the next; 0 when there is
   none. */
FCGI_EXPORT uint32_t fcgi_session_unfinished(const fcgi_session *session);

/* Returns the bytes of STDIN and DATA that came for requests which had ended
   already. */
FCGI_EXPORT uint64_t fcgi_session_drained(const fcgi_session *session);

#endif
