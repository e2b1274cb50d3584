/* SPDX-License-Identifier: MIT */
/* Reads the state and counters of workers from their shared memory. A status is
   a copy: nothing in it changes. */
#ifndef FASTCGI_STATUS_H
#define FASTCGI_STATUS_H

#include <fastcgi/export.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* X(NAME, key, family, label, kind, help): every number of a worker, in the
   order they are shown. `key` is its name in JSON; `family`, with `label`, that
   in OpenMetrics, where rows of one family follow each other. */
#define FCGI_METRIC_MAP(X)                                                     \
  X(ACCEPTED, accepted, "connections_accepted", "", COUNTER,                   \
    "Connections accepted or taken over.")                                     \
  X(OPEN, open, "connections_open", "", GAUGE, "Connections open.")            \
  X(REQUESTS, requests, "requests", "", COUNTER,                               \
    "Requests that were ready for a handler.")                                 \
  X(FINISHED, finished, "requests_finished", "", COUNTER,                      \
    "Requests that have ended.")                                               \
  X(QUEUED, queued, "requests_queued", "", GAUGE,                              \
    "Requests that wait for a handler.")                                       \
  X(ACTIVE, active, "requests_active", "", GAUGE, "Requests in a handler.")    \
  X(ACTIVE_MAX, active_max, "requests_active_max", "", GAUGE,                  \
    "Most requests in handlers at once.")                                      \
  X(OVERDUE, overdue, "requests_overdue", "", GAUGE,                           \
    "Requests past their deadline whose handler has not returned.")            \
  X(RESPONSES_1XX, responses_1xx, "responses", "class=\"1xx\"", COUNTER,       \
    "Answers by class of status.")                                             \
  X(RESPONSES_2XX, responses_2xx, "responses", "class=\"2xx\"", COUNTER,       \
    "Answers by class of status.")                                             \
  X(RESPONSES_3XX, responses_3xx, "responses", "class=\"3xx\"", COUNTER,       \
    "Answers by class of status.")                                             \
  X(RESPONSES_4XX, responses_4xx, "responses", "class=\"4xx\"", COUNTER,       \
    "Answers by class of status.")                                             \
  X(RESPONSES_5XX, responses_5xx, "responses", "class=\"5xx\"", COUNTER,       \
    "Answers by class of status.")                                             \
  X(ABORTS_RECORD, aborts_record, "aborts", "reason=\"record\"", COUNTER,      \
    "Requests aborted, by reason.")                                            \
  X(ABORTS_CONNECTION, aborts_connection, "aborts", "reason=\"connection\"",   \
    COUNTER, "Requests aborted, by reason.")                                   \
  X(ABORTS_PROTOCOL, aborts_protocol, "aborts", "reason=\"protocol\"",         \
    COUNTER, "Requests aborted, by reason.")                                   \
  X(ABORTS_TIMEOUT, aborts_timeout, "aborts", "reason=\"timeout\"", COUNTER,   \
    "Requests aborted, by reason.")                                            \
  X(ABORTS_STOP, aborts_stop, "aborts", "reason=\"stop\"", COUNTER,            \
    "Requests aborted, by reason.")                                            \
  X(ABORTS_DEADLINE, aborts_deadline, "aborts", "reason=\"deadline\"",         \
    COUNTER, "Requests aborted, by reason.")                                   \
  X(REFUSED, refused, "requests_refused", "", COUNTER,                         \
    "Requests that no handler saw: malformed, too large, or too many.")        \
  X(PROTOCOL_ERRORS, protocol_errors, "protocol_errors", "", COUNTER,          \
    "Connections closed because the peer broke the protocol.")                 \
  X(TIMEOUTS_HEADER, timeouts_header, "timeouts", "what=\"header\"", COUNTER,  \
    "Time limits that ran out, by what did not come in time.")                 \
  X(TIMEOUTS_BODY, timeouts_body, "timeouts", "what=\"body\"", COUNTER,        \
    "Time limits that ran out, by what did not come in time.")                 \
  X(TIMEOUTS_OUTPUT, timeouts_output, "timeouts", "what=\"output\"", COUNTER,  \
    "Time limits that ran out, by what did not come in time.")                 \
  X(PEERS_REFUSED, peers_refused, "connections_refused", "", COUNTER,          \
    "Connections of peers who may not connect.")                               \
  X(ACCEPTS_FAILED, accepts_failed, "accepts_failed", "", COUNTER,             \
    "Connections that could not be accepted, for want of descriptors mostly.") \
  X(RESETS, resets, "connections_reset", "", COUNTER,                          \
    "Connections that were reset while requests were open.")                   \
  X(BYTES_IN, bytes_in, "received_bytes", "", COUNTER,                         \
    "Bytes received from web servers.")                                        \
  X(BYTES_OUT, bytes_out, "sent_bytes", "", COUNTER,                           \
    "Bytes sent to web servers.")                                              \
  X(SPILLS, spills, "body_spills", "", COUNTER,                                \
    "Bodies that went to a temporary file.")                                   \
  X(LOG_DROPPED, log_dropped, "log_lines_dropped", "", COUNTER,                \
    "Lines that a full or dead log did not take.")                             \
  X(SLOW, slow, "requests_slow", "", COUNTER,                                  \
    "Requests older than the slow log's limit.")                               \
  X(MEMORY, memory, "memory_bytes", "", GAUGE,                                 \
    "Bytes that requests hold in memory.")                                     \
  X(STATUS_PAGES, status_pages, "status_pages", "", COUNTER,                   \
    "Status pages answered.")                                                  \
  X(MOVED, moved, "connections_moved", "", COUNTER,                            \
    "Connections taken over from a worker that was busy.")                     \
  X(RETRIED, requests_retried, "requests_retried", "", COUNTER,                \
    "Requests run again because a resource broke.")                            \
  X(UNAVAILABLE, requests_unavailable, "requests_unavailable", "", COUNTER,    \
    "Requests that could not have what they need, such as a resource.")        \
  X(RESOURCES_OPEN, resources_open, "resources_open", "", GAUGE,               \
    "Handles of resources that are open.")                                     \
  X(RESOURCES_IN_USE, resources_in_use, "resources_in_use", "", GAUGE,         \
    "Handles of resources that handlers have.")                                \
  X(RESOURCES_WAITING, resources_waiting, "resources_waiting", "", GAUGE,      \
    "Threads that wait for a handle of a resource.")                           \
  X(RESOURCES_OPENED, resources_opened, "resources_opened", "", COUNTER,       \
    "Handles of resources that were opened.")                                  \
  X(RESOURCES_FAILED, resources_failed, "resources_failed", "", COUNTER,       \
    "Attempts to open a handle that failed.")                                  \
  X(RESOURCES_REFUSED, resources_refused, "resources_refused", "", COUNTER,    \
    "Takes of resources that failed.")                                         \
  X(RESOURCES_WAITED, resources_waited, "resources_waited", "", COUNTER,       \
    "Takes of resources that had to wait.")                                    \
  X(RESOURCES_WAITED_MS, resources_waited_ms, "resources_waited_milliseconds", \
    "", COUNTER, "Milliseconds that these takes have waited.")                 \
  X(CLOSED_CHECK, closed_check, "resources_closed", "cause=\"check\"",         \
    COUNTER, "Handles of resources that were closed, by cause.")               \
  X(CLOSED_RESET, closed_reset, "resources_closed", "cause=\"reset\"",         \
    COUNTER, "Handles of resources that were closed, by cause.")               \
  X(CLOSED_INVALIDATED, closed_invalidated, "resources_closed",                \
    "cause=\"invalidated\"", COUNTER,                                          \
    "Handles of resources that were closed, by cause.")                        \
  X(CLOSED_AGE, closed_age, "resources_closed", "cause=\"age\"", COUNTER,      \
    "Handles of resources that were closed, by cause.")                        \
  X(CLOSED_IDLE, closed_idle, "resources_closed", "cause=\"idle\"", COUNTER,   \
    "Handles of resources that were closed, by cause.")                        \
  X(CLOSED_DRAINED, closed_drained, "resources_closed", "cause=\"drained\"",   \
    COUNTER, "Handles of resources that were closed, by cause.")               \
  X(CLOSED_KEPT, closed_kept, "resources_closed", "cause=\"kept\"", COUNTER,   \
    "Handles of resources that were closed, by cause.")                        \
  X(CLOSED_STOPPED, closed_stopped, "resources_closed", "cause=\"stopped\"",   \
    COUNTER, "Handles of resources that were closed, by cause.")

typedef enum fcgi_metric {
#define FCGI_STATUS_ENUM(name, key, family, label, kind, help)                 \
  FCGI_METRIC_##name,
  FCGI_METRIC_MAP(FCGI_STATUS_ENUM)
#undef FCGI_STATUS_ENUM
      FCGI_METRICS /* Number of metrics in this version. */
} fcgi_metric;

/* X(NAME, key, help): numbers of the supervisor, all counters. */
#define FCGI_SUPERVISED_MAP(X)                                                 \
  X(RELOADS, reloads, "Generations of workers started to replace one.")        \
  X(RELOADS_FAILED, reloads_failed, "Generations that did not start.")         \
  X(EXITS, exits, "Workers that exited unasked.")                              \
  X(CRASHES, crashes, "Workers that a signal ended unasked.")                  \
  X(KILLS, kills, "Workers killed because they did not stop.")                 \
  X(RETIRED, retired, "Workers replaced for their age or size.")               \
  X(HUNG, hung, "Workers replaced because a handler did not return.")          \
  X(DROPPED_PACKETS, dropped_packets,                                          \
    "TCP packets dropped at listeners with an allow list.")

typedef enum fcgi_supervised {
#define FCGI_STATUS_ENUM(name, key, help) FCGI_SUPERVISED_##name,
  FCGI_SUPERVISED_MAP(FCGI_STATUS_ENUM)
#undef FCGI_STATUS_ENUM
      FCGI_SUPERVISED_EVENTS /* Number of events in this version. */
} fcgi_supervised;

/* X(NAME, key): the life of a worker. */
#define FCGI_WORKER_STATE_MAP(X)                                               \
  X(FREE, free)                                                                \
  X(STARTING, starting)                                                        \
  X(READY, ready)                                                              \
  X(DRAINING, draining)                                                        \
  X(DEAD, dead)

typedef enum fcgi_worker_state {
#define FCGI_STATUS_ENUM(name, key) FCGI_WORKER_##name,
  FCGI_WORKER_STATE_MAP(FCGI_STATUS_ENUM)
#undef FCGI_STATUS_ENUM
      FCGI_WORKER_STATES /* Number of states in this version. */
} fcgi_worker_state;

/* X(NAME, key): the life of a request. */
#define FCGI_PHASE_MAP(X)                                                      \
  X(FREE, free)                                                                \
  X(QUEUED, queued)                                                            \
  X(HANDLER, handler)                                                          \
  X(SENDING, sending)                                                          \
  X(OVERDUE, overdue)

typedef enum fcgi_phase {
#define FCGI_STATUS_ENUM(name, key) FCGI_PHASE_##name,
  FCGI_PHASE_MAP(FCGI_STATUS_ENUM)
#undef FCGI_STATUS_ENUM
      FCGI_PHASES /* Number of phases in this version. */
} fcgi_phase;

/* A request that is open. Methods and paths are what a client sent: escape
   them before you show them. Only the library makes these four structs; a
   later version may have more fields at their ends. */
typedef struct fcgi_status_request {
  fcgi_phase phase;   /* Where the request is. */
  uint64_t age_us;    /* Microseconds since it was ready for a handler. */
  uint64_t thread;    /* pthread_self() of its handler. */
  const char *method; /* The beginning of its method. */
  const char *path;   /* The beginning of its path, without the query. */
} fcgi_status_request;

/* One worker, or several together. */
typedef struct fcgi_status_worker {
  int64_t pid;             /* Its process id; 0: the sum of all. */
  unsigned generation;     /* The supervisor counts generations from 1. */
  fcgi_worker_state state; /* What becomes of the worker. */
  uint64_t age_us;         /* Microseconds since it was started. */
  uint64_t silent_us;      /* Microseconds since it last did something. */
  uint64_t latency_sum_us; /* Microseconds that its finished requests took. */
  size_t request_count;    /* Number of its open requests. */
  size_t resource_count;   /* Number of its resources, by name. */
} fcgi_status_worker;

/* What the resources of one name do. A worker shows 16 of them. Those that come
   later share a row, whose name is "others". A name is what the program says:
   escape it before you show it. */
typedef struct fcgi_status_resource {
  const char *name; /* The beginning of the name. */
} fcgi_status_resource;

typedef struct fcgi_status {
  int64_t supervisor;         /* Process id of the supervisor, or 0. */
  int64_t started_ms;         /* When it started: milliseconds since 1970. */
  uint64_t age_us;            /* Microseconds since it started. */
  unsigned generation;        /* The generation that serves. */
  int64_t listen_queue;       /* Connections not accepted yet; -1: unknown. */
  int64_t listen_queue_max;   /* The most that were seen; -1: unknown. */
  int64_t listen_queue_limit; /* The most that the kernel lets wait; -1:
                                 unknown. */
  size_t worker_count;        /* Number of workers that live. */
  size_t request_count;       /* Number of open requests of all workers. */
} fcgi_status;

typedef enum fcgi_status_format {
  FCGI_STATUS_AS_TEXT = 0,    /* Lines for a person. */
  FCGI_STATUS_AS_JSON,        /* One object: the members of PHP-FPM's status
                              page, and all of this status as "fastcgi". */
  FCGI_STATUS_AS_JSON_FULL,   /* That, with PHP-FPM's list of processes. */
  FCGI_STATUS_AS_OPENMETRICS, /* OpenMetrics 1.0, which Prometheus reads. */
  FCGI_STATUS_AS_HTML,        /* A page that refreshes itself. */
  FCGI_STATUS_AS_FPM,         /* Lines, exactly as PHP-FPM's status page has
                              them. */
  FCGI_STATUS_AS_FPM_FULL,    /* Those lines, with its list of processes. */
  FCGI_STATUS_AS_XML,         /* PHP-FPM's status page as XML. */
  FCGI_STATUS_AS_XML_FULL,    /* That page, with its list of processes. */
  FCGI_STATUS_AS_RAW          /* The memory itself, for fcgi_status_parse. */
} fcgi_status_format;

/* Copies the status that a process keeps: a supervisor, or a worker, that has
   it open. FCGI_ERR_SYSTEM with errno when the process cannot be looked into,
   ENOENT when it keeps none; FCGI_ERR_PROTOCOL when its library is of another
   version. */
FCGI_EXPORT int fcgi_status_of_pid(fcgi_status **out, pid_t pid);

/* Makes a status from FCGI_STATUS_AS_RAW bytes, of which none is trusted. */
FCGI_EXPORT int fcgi_status_parse(fcgi_status **out, const void *data,
                                  size_t len);

/* Writes the status as text: `*out` is a string that fcgi_status_text_free
   frees, `*len` its length without the NUL. FCGI_ERR_INVALID for
   FCGI_STATUS_AS_RAW. */
FCGI_EXPORT int fcgi_status_render(const fcgi_status *status,
                                   fcgi_status_format format, char **out,
                                   size_t *len);

/* Frees what fcgi_status_render has returned. NULL is fine. */
FCGI_EXPORT void fcgi_status_text_free(char *text);

/* Returns all workers together, those that are gone included. This and what the
   next two functions return is lent until fcgi_status_free. */
FCGI_EXPORT const fcgi_status_worker *
fcgi_status_total(const fcgi_status *status);

/* Returns worker `index`, or NULL past the last one. */
FCGI_EXPORT const fcgi_status_worker *
fcgi_status_worker_at(const fcgi_status *status, size_t index);

/* Returns open request `index` of a worker, or NULL past the last one. */
FCGI_EXPORT const fcgi_status_request *
fcgi_status_request_at(const fcgi_status_worker *worker, size_t index);

/* Returns resource `index` of a worker, or NULL past the last one. */
FCGI_EXPORT const fcgi_status_resource *
fcgi_status_resource_at(const fcgi_status_worker *worker, size_t index);

/* Returns a number of a resource, RESOURCES_OPEN to CLOSED_STOPPED; 0 for any
   other metric. */
FCGI_EXPORT uint64_t fcgi_status_resource_metric(
    const fcgi_status_resource *resource, fcgi_metric metric);

/* Returns how many takes have waited for less than 2^bucket ms and not for less
   than half of that; in bucket 15, the last, for longer. */
FCGI_EXPORT uint64_t fcgi_status_resource_waits(
    const fcgi_status_resource *resource, unsigned bucket);

/* Returns a number of a worker; 0 for a metric that this version does not
   know. */
FCGI_EXPORT uint64_t fcgi_status_metric(const fcgi_status_worker *worker,
                                        fcgi_metric metric);

/* Returns a number of the supervisor; 0 for one that this version does not
   know. */
FCGI_EXPORT uint64_t fcgi_status_supervised(const fcgi_status *status,
                                            fcgi_supervised event);

/* Returns the latency, in microseconds, that a share (0 to 1) of the requests
   of a worker did not exceed; 0 when there were none. `since` is the same
   worker in an earlier status, and only requests that finished after that
   count; NULL counts all. */
FCGI_EXPORT uint64_t fcgi_status_quantile(const fcgi_status_worker *worker,
                                          const fcgi_status_worker *since,
                                          double share);

/* Frees a status. NULL is fine. */
FCGI_EXPORT void fcgi_status_free(fcgi_status *status);

#endif
