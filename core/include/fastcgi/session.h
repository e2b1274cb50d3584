/* SPDX-License-Identifier: MIT */
/* One FastCGI connection, application side, as a state machine without I/O:
   fed bytes become events that you take, your calls become bytes that you
   take. It never calls you. One thread at a time; sessions never meet. */
#ifndef FASTCGI_SESSION_H
#define FASTCGI_SESSION_H

#include <fastcgi/alloc.h>
#include <fastcgi/event.h>
#include <fastcgi/export.h>
#include <fastcgi/role.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct fcgi_session fcgi_session;

/* A field left 0 takes the default named beside it. Copied by _new. */
typedef struct fcgi_session_config {
  size_t size;              /* sizeof(fcgi_session_config). */
  fcgi_allocator allocator; /* The C library's. */
  size_t limit_params_size; /* Names plus values of a request: 256 KiB; more
                          than 2 GiB are never taken. */
  uint32_t limit_params;    /* Parameters of a request: 1,024. */
  uint32_t max_multiplexed; /* Requests open at once: 1,024. */
  uint32_t report_conns;    /* FCGI_MAX_CONNS that GET_VALUES reports: 1,024. */
  uint32_t report_reqs;     /* FCGI_MAX_REQS: report_conns * max_multiplexed. */
  int keep_http_proxy;      /* Pass HTTP_PROXY on (CVE-2016-5385): no. */
  const fcgi_role_spec *roles; /* Those served, others get UNKNOWN_ROLE; lent
                                  until _free: FCGI_ROLE_SPECS. */
  size_t role_count;           /* How many `roles` are. */
  int in_use; /* The connection was in use before, at rest now: the first record
                 may belong to a request that has ended. */
  int no_multiplex; /* GET_VALUES reports FCGI_MPXS_CONNS 0, and by default a
                       FCGI_MAX_REQS of report_conns: no. What comes
                       multiplexed all the same is served. */
  size_t memory;    /* Bytes that the requests open at once may hold, above all
                       their parameters: 4 MiB. Over it new ones are answered 503,
                       and refusals that nobody reads fail the session. */
} fcgi_session_config;

/* What a connection's owner needs to know between calls. */
typedef enum fcgi_session_flag {
  FCGI_SESSION_OUTPUT = 1,   /* Output waits to be sent. */
  FCGI_SESSION_ACTIVE = 2,   /* At least one request is open. */
  FCGI_SESSION_PARAMS = 4,   /* A request's PARAMS, or a record outside any
                                request, is unfinished. */
  FCGI_SESSION_DRAINING = 8, /* An ended request awaits its STDIN's end. */
  FCGI_SESSION_CLOSE = 16,   /* Close once the output is sent. */
  FCGI_SESSION_UNREAD = 32   /* And lingering: input may still come. */
} fcgi_session_flag;

/* Make a session; `config` NULL takes every default. */
FCGI_EXPORT int fcgi_session_new(fcgi_session **out,
                                 const fcgi_session_config *config);

/* Free it and everything it lends. NULL is fine. */
FCGI_EXPORT void fcgi_session_free(fcgi_session *session);

/* Hand over received bytes. They are not copied: keep them in place until
   fcgi_session_next returns 0. FCGI_ERR_STATE while earlier bytes are not yet
   used up. Any split of the bytes gives the same events. */
FCGI_EXPORT int fcgi_session_feed(fcgi_session *session, const void *data,
                                  size_t len);

/* The connection is lost, or judged lost: every open request gets an ABORT
   event with `reason`; output is dropped; the session stays usable for end
   and next only. */
FCGI_EXPORT void fcgi_session_abort(fcgi_session *session,
                                    fcgi_abort_reason reason);

/* Take the next event: 1 and `*event` set, 0 when more bytes are needed, or
   a negative error. Errors are sticky: after FCGI_ERR_PROTOCOL or NOMEM only
   events already due, end and free work, and the connection must close. */
FCGI_EXPORT int fcgi_session_next(fcgi_session *session,
                                  const fcgi_event **event);

/* Attach a pointer to an open request; its events carry it. */
FCGI_EXPORT int fcgi_session_set_user_data(fcgi_session *session, uint16_t id,
                                           void *user_data);

/* Keep the parameters of an open request beyond its end, even beyond _free of
   the session, until fcgi_session_drop_params. FCGI_ERR_STATE when it is not
   open, or they are kept already. */
FCGI_EXPORT int fcgi_session_keep_params(fcgi_session *session, uint16_t id);

/* They are no longer needed. From any thread; `allocator` is the session's,
   NULL for the C library's. */
FCGI_EXPORT void fcgi_session_drop_params(const fcgi_params *params,
                                          const fcgi_allocator *allocator);

/* Queue bytes for STDOUT or STDERR; they are copied. FCGI_ERR_STATE when the
   request is not open or ended, FCGI_ERR_ABORTED when its connection is
   gone. */
FCGI_EXPORT int fcgi_session_write(fcgi_session *session, uint16_t id,
                                   fcgi_stream stream, const void *data,
                                   size_t len);

/* The same for STDOUT without a copy: `data` must stay in place until it is
   sent or fcgi_session_keep was called for the request. */
FCGI_EXPORT int fcgi_session_lend(fcgi_session *session, uint16_t id,
                                  const void *data, size_t len);

/* Copy what is still unsent of the request's lent bytes. FCGI_ERR_NOMEM fails
   the session: they are dropped, and none is referenced any more. */
FCGI_EXPORT int fcgi_session_keep(fcgi_session *session, uint16_t id);

/* Queue `len` bytes of file `fd` from `offset` for STDOUT. The session only
   frames them: fcgi_session_output_file tells when to send them. */
FCGI_EXPORT int fcgi_session_write_file(fcgi_session *session, uint16_t id,
                                        int fd, uint64_t offset, size_t len);

/* Bytes queued for the request and not yet sent, headers included. */
FCGI_EXPORT size_t fcgi_session_queued(const fcgi_session *session,
                                       uint16_t id);

/* Bytes written to the request's STDOUT that were dropped with the connection,
   without headers. */
FCGI_EXPORT uint64_t fcgi_session_unsent(const fcgi_session *session,
                                         uint16_t id);

/* End a request: closes STDOUT now; END_REQUEST follows at once, or when its
   STDIN has ended (an early END_REQUEST breaks HAProxy, h2o and Apache).
   CLOSE is its last event, after END_REQUEST was sent. */
FCGI_EXPORT int fcgi_session_end(fcgi_session *session, uint16_t id,
                                 uint32_t app_status,
                                 fcgi_protocol_status protocol_status);

/* Give up waiting for the STDIN of ended requests: their END_REQUEST goes out
   now, and the session wants to close once nothing else is open. */
FCGI_EXPORT void fcgi_session_stop_draining(fcgi_session *session);

/* Close as soon as no request is open; one that begins before is served. */
FCGI_EXPORT void fcgi_session_stop(fcgi_session *session);

/* Fill up to `count` slices with the next output; returns how many. They are
   lent until fcgi_session_output_done or the next call that writes. */
FCGI_EXPORT int fcgi_session_output(fcgi_session *session, struct iovec *iov,
                                    int count);

/* 1 when the next output is `*len` bytes of file `*fd` from `*offset`, which
   the caller sends itself; 0 when it is not. */
FCGI_EXPORT int fcgi_session_output_file(fcgi_session *session, int *fd,
                                         uint64_t *offset, size_t *len);

/* `bytes` of the output, slices or file, have been sent. */
FCGI_EXPORT void fcgi_session_output_done(fcgi_session *session, size_t bytes);

/* 1: there is no memory for more, so new requests are answered 503, and those
   whose PARAMS go on; 0, as at first: there is. */
FCGI_EXPORT void fcgi_session_set_full(fcgi_session *session, int full);

/* Bytes that open requests, and answers that have not left, hold. */
FCGI_EXPORT size_t fcgi_session_held(const fcgi_session *session);

/* An or of fcgi_session_flag. */
FCGI_EXPORT unsigned fcgi_session_flags(const fcgi_session *session);

/* Which request is the oldest of those whose PARAMS are unfinished: a number,
   another one for another request; 0 without any. */
FCGI_EXPORT uint32_t fcgi_session_unfinished(const fcgi_session *session);

/* Bytes of STDIN and DATA received for requests that had ended already. */
FCGI_EXPORT uint64_t fcgi_session_drained(const fcgi_session *session);

#endif
