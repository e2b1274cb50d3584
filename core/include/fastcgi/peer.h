/* SPDX-License-Identifier: MIT */
/* One FastCGI connection, web server side, as a state machine without I/O: the
   mirror of session.h. Your calls become bytes that you take, fed bytes become
   events that you take. It judges the application strictly. Only one thread at
   a time may call a peer; peers share nothing. */
#ifndef FASTCGI_PEER_H
#define FASTCGI_PEER_H

#include <fastcgi/alloc.h>
#include <fastcgi/export.h>
#include <fastcgi/params.h>
#include <fastcgi/protocol.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct fcgi_peer fcgi_peer;

/* X(NAME, name): what an application can say. END or CLOSE is the last event
   of a request. VALUES and UNKNOWN_TYPE belong to no request. */
#define FCGI_PEER_EVENT_MAP(X)                                                 \
  X(STDOUT, "stdout")                                                          \
  X(STDOUT_END, "stdout_end")                                                  \
  X(STDERR, "stderr")                                                          \
  X(STDERR_END, "stderr_end")                                                  \
  X(END, "end")                                                                \
  X(CLOSE, "close")                                                            \
  X(VALUES, "values")                                                          \
  X(UNKNOWN_TYPE, "unknown_type")

typedef enum fcgi_peer_event_type {
  FCGI_PEER_EVENT_NONE = 0,
#define FCGI_PEER_EVENT_ENUM(name, text) FCGI_PEER_EVENT_##name,
  FCGI_PEER_EVENT_MAP(FCGI_PEER_EVENT_ENUM)
#undef FCGI_PEER_EVENT_ENUM
} fcgi_peer_event_type;

/* One event of a peer. Everything it points to is lent until the next call of
   next, feed or free on that peer. */
typedef struct fcgi_peer_event {
  fcgi_peer_event_type type; /* What the application has said. */
  uint16_t id;         /* Id of the request; 0 for VALUES and UNKNOWN_TYPE. */
  const void *data;    /* STDOUT, STDERR: the next bytes. */
  size_t len;          /* STDOUT, STDERR: number of those bytes, never 0. */
  uint32_t app_status; /* END: what the application returned. */
  fcgi_protocol_status protocol_status; /* END: how the protocol ended it. */
  int unclosed; /* END: 1 if STDOUT or STDERR had bytes and no empty
                   record closed it (6.1). */
  const fcgi_params *values; /* VALUES: the names and values reported. */
  uint8_t unknown;           /* UNKNOWN_TYPE: the record type refused. */
  void *user_data;           /* What fcgi_peer_set_user_data set. */
} fcgi_peer_event;

/* A field left 0 takes its default. The function that makes the object copies
   the struct. */
typedef struct fcgi_peer_config {
  size_t size;              /* sizeof(fcgi_peer_config). */
  fcgi_allocator allocator; /* Where memory comes from. Default: the C
                               library's. */
  uint32_t max_multiplexed; /* Most requests open at once. Default: 1,024. */
  size_t output_bytes;      /* Most bytes queued and unsent. Default: 16 MiB. */
  uint32_t values_pairs;    /* Most pairs of one GET_VALUES_RESULT. Default:
                               1,024. */
} fcgi_peer_config;

/* What a connection's owner needs to know between calls. */
typedef enum fcgi_peer_flag {
  FCGI_PEER_OUTPUT = 1,  /* Output waits to be sent. */
  FCGI_PEER_ACTIVE = 2,  /* At least one request is open. */
  FCGI_PEER_VALUES = 4,  /* A GET_VALUES is unanswered. */
  FCGI_PEER_PARTIAL = 8, /* A record has come in part only. */
  FCGI_PEER_CLOSE = 16   /* A request without FCGI_BEGIN_KEEP has ended: the
                            application closes the connection. */
} fcgi_peer_flag;

/* Makes a peer; `config` NULL takes every default. */
FCGI_EXPORT int fcgi_peer_new(fcgi_peer **out, const fcgi_peer_config *config);

/* Frees the peer and everything that it lends. NULL is fine. */
FCGI_EXPORT void fcgi_peer_free(fcgi_peer *peer);

/* Hands received bytes over. The peer does not copy them: keep them in place
   until fcgi_peer_next returns 0. FCGI_ERR_STATE while earlier bytes are not
   used up. Any split of the bytes gives the same events. */
FCGI_EXPORT int fcgi_peer_feed(fcgi_peer *peer, const void *data, size_t len);

/* Tells the peer that the application has closed the connection, or that it is
   lost. Each open request gets a CLOSE event, and output is dropped. Inside a
   record that is a protocol error. Afterwards only next and free work. */
FCGI_EXPORT void fcgi_peer_close(fcgi_peer *peer);

/* Takes the next event. Returns 1 with `*event` set, 0 when more bytes are
   needed, or a negative error. Errors are sticky: after FCGI_ERR_PROTOCOL,
   LIMIT or NOMEM each open request gets a CLOSE event first, and the connection
   must close. */
FCGI_EXPORT int fcgi_peer_next(fcgi_peer *peer, const fcgi_peer_event **event);

/* Returns which rule the application broke, or what else failed, after a
   negative fcgi_peer_next; "" before. Static text without a full stop. */
FCGI_EXPORT const char *fcgi_peer_reason(const fcgi_peer *peer);

/* Begins request `id`, 1 to 65535, which you choose and which is free again
   after END, with an fcgi_role or a custom number; `flags` is 0 or
   FCGI_BEGIN_KEEP. Memory grows with the highest id, 16 bytes each.
   FCGI_ERR_STATE when the id is open, FCGI_ERR_LIMIT beyond max_multiplexed.
   Every call that queues output may return FCGI_ERR_LIMIT beyond output_bytes
   or FCGI_ERR_NOMEM, with nothing queued, and FCGI_ERR_CLOSED after an error or
   fcgi_peer_close. */
FCGI_EXPORT int fcgi_peer_begin(fcgi_peer *peer, uint16_t id, uint16_t role,
                                int flags);

/* Adds a parameter of any length; pairs are packed into records, and split over
   them. FCGI_ERR_STATE when the request is not in PARAMS. */
FCGI_EXPORT int fcgi_peer_param(fcgi_peer *peer, uint16_t id, const char *name,
                                size_t name_len, const char *value,
                                size_t value_len);

/* Ends PARAMS. */
FCGI_EXPORT int fcgi_peer_params_end(fcgi_peer *peer, uint16_t id);

/* Queues bytes for STDIN or DATA; they are copied. FCGI_ERR_STATE when PARAMS
   is unfinished or the stream was ended. STDIN and DATA may come in any
   order. */
FCGI_EXPORT int fcgi_peer_write(fcgi_peer *peer, uint16_t id,
                                fcgi_stream stream, const void *data,
                                size_t len);

/* Ends STDIN or DATA. */
FCGI_EXPORT int fcgi_peer_write_end(fcgi_peer *peer, uint16_t id,
                                    fcgi_stream stream);

/* Queues ABORT_REQUEST; the request stays open until its END. */
FCGI_EXPORT int fcgi_peer_abort(fcgi_peer *peer, uint16_t id);

/* Asks for the values of `count` names, each ended by a NUL; `names` NULL asks
   for the three that the specification knows (4.1). FCGI_ERR_LIMIT when they
   do not fit in one record. */
FCGI_EXPORT int fcgi_peer_get_values(fcgi_peer *peer, const char *const *names,
                                     size_t count);

/* Queues bytes as they are, for tests that break the rules. The peer cannot
   judge what it does not know: from then on it accepts values that nobody has
   asked for. */
FCGI_EXPORT int fcgi_peer_raw(fcgi_peer *peer, const void *data, size_t len);

/* Attaches a pointer to an open request; its events carry it. */
FCGI_EXPORT int fcgi_peer_set_user_data(fcgi_peer *peer, uint16_t id,
                                        void *user_data);

/* Returns 1 while request `id` is open: it has begun, and neither END nor CLOSE
   was given out. */
FCGI_EXPORT int fcgi_peer_is_open(const fcgi_peer *peer, uint16_t id);

/* Returns the bytes that all requests have queued and not sent, headers
   included. */
FCGI_EXPORT size_t fcgi_peer_queued(const fcgi_peer *peer);

/* Fills up to `count` slices with the next output, in the order of the calls
   that queued it; returns how many. They are lent until fcgi_peer_output_done
   or the next call that queues. */
FCGI_EXPORT int fcgi_peer_output(fcgi_peer *peer, struct iovec *iov, int count);

/* Tells the peer that `bytes` of the output are sent. */
FCGI_EXPORT void fcgi_peer_output_done(fcgi_peer *peer, size_t bytes);

/* Returns an or of fcgi_peer_flag. */
FCGI_EXPORT unsigned fcgi_peer_flags(const fcgi_peer *peer);

#endif
