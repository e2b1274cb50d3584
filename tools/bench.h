/* SPDX-License-Identifier: MIT */
/* fcgi bench: what its parts share. One worker is one thread with an epoll of
   its own; nothing but the first right answer is shared between workers. */
#ifndef FCGI_TOOLS_BENCH_H
#define FCGI_TOOLS_BENCH_H

#include "bench_histogram.h"
#include "params.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* X(NAME, name, exit status, meaning): what can be wrong with an answer. */
#define BENCH_ERROR_MAP(X)                                                     \
  X(CONNECT, "connect", TOOL_TRANSPORT, "no connection")                       \
  X(CLOSED, "closed", TOOL_TRANSPORT, "the connection was closed too early")   \
  X(TIMEOUT, "timeout", TOOL_TRANSPORT, "no answer in time")                   \
  X(PROTOCOL, "protocol", TOOL_PROTOCOL, "a record that breaks the rules")     \
  X(UNCLOSED, "unclosed", TOOL_PROTOCOL, "no empty record ended STDOUT")       \
  X(REJECTED, "rejected", TOOL_PROTOCOL, "the request was rejected")           \
  X(HEAD, "head", TOOL_PROTOCOL, "no empty line after the header lines")       \
  X(STATUS, "status", TOOL_ANSWER, "a status other than 2xx")                  \
  X(EXIT, "exit", TOOL_ANSWER, "an exit status other than 0")                  \
  X(ECHO, "echo", TOOL_ANSWER, "the body is not the one sent")                 \
  X(DIFFERENT, "different", TOOL_ANSWER,                                       \
    "not the bytes of the first answer; --any-answer accepts others")

typedef enum bench_error {
#define BENCH_ERROR_ENUM(name, text, exit, meaning) BENCH_##name,
  BENCH_ERROR_MAP(BENCH_ERROR_ENUM)
#undef BENCH_ERROR_ENUM
      BENCH_OK, /* Nothing is; also how many errors there are. */
  BENCH_ERRORS = BENCH_OK
} bench_error;

/* The bytes of one request, ready to be sent. */
typedef struct bench_bytes {
  uint8_t *at; /* The bytes, owned. */
  size_t len;  /* Number of bytes. */
} bench_bytes;

/* What the command line asks for. */
typedef struct bench_plan {
  const char *address;          /* As typed. */
  struct sockaddr_storage peer; /* The same as the kernel takes it. */
  socklen_t peer_len;           /* Bytes of `peer` in use. */
  const char *uri;              /* --uri */
  tool_params params;           /* --params, --uri and -p together. */
  unsigned connections;         /* --connections: number of connections. */
  unsigned in_flight;           /* --in-flight, for each of them. */
  unsigned idle;                /* --idle: further ones that rest. */
  unsigned threads;             /* --threads: number of threads. */
  unsigned variants;            /* Clients that the requests come from. */
  uint64_t requests;            /* --requests; 0: as many as time lets. */
  double seconds;               /* --duration; 0: until all are answered. */
  double rate;                  /* --rate, requests/s; 0: closed loop. */
  double timeout;               /* --timeout, seconds for one answer. */
  size_t body_len;              /* --body: bytes of the body of each request. */
  int keep;                     /* 1, as with --keep; 0: a connection for
                                   each request. */
  int echo;                     /* --expect-echo */
  int any_answer;               /* --any-answer: answers may differ. */
  int allow_unclosed;           /* --allow-unclosed */
  int json;                     /* --json */
  int histogram;                /* --histogram */
  uint8_t *body;                /* The body, `body_len` bytes, owned. */
  bench_bytes *bytes;           /* [variant * in_flight + id - 1] */
} bench_plan;

/* The first right answer, which the others are held against. */
typedef struct bench_reference {
  char *at;   /* All of STDOUT; NULL while there is none. */
  size_t len; /* Bytes of it. */
} bench_reference;

/* What the workers share. */
typedef struct bench_shared {
  const bench_plan *plan;           /* Lent. */
  pthread_mutex_t lock;             /* Guards `first`. */
  bench_reference first;            /* Written once. */
  _Atomic(bench_reference *) known; /* &first once it is written. */
  atomic_int connected;             /* 1: a connection was made once. */
  atomic_int no_connection;         /* errno of the first that was not. */
  uint64_t start_ns;                /* Monotonic time of the first request. */
  int interrupt;                    /* Readable once the run is to end. */
  unsigned resting;                 /* Idle connections open at the end. */
} bench_shared;

/* One request of a connection; its id is its place plus 1. */
typedef struct bench_slot {
  uint64_t start_ns;              /* When it was to start. */
  uint64_t sent_ns;               /* When it was sent, in ns. */
  const bench_bytes *bytes;       /* What is sent. */
  const bench_reference *compare; /* What STDOUT equals so far; or NULL. */
  char *gathered;                 /* STDOUT where there is none. Owned. */
  size_t room;                    /* Bytes that fit there. */
  size_t len;                     /* Bytes of STDOUT so far. */
  uint8_t busy;                   /* 1: its END_REQUEST is still to come. */
  uint8_t queued;                 /* 1: not all its bytes are sent. */
  uint8_t closed;                 /* 1: STDOUT has ended. */
  uint8_t resent;                 /* 1: on a second connection already. */
} bench_slot;

struct bench_worker;

/* One connection and the record that it is in the middle of. */
typedef struct bench_connection {
  struct bench_worker *worker;  /* The worker that has the connection, lent. */
  bench_slot *slots;            /* Requests in flight, `in_flight` of the
                                   plan; owned. */
  uint16_t *queue;              /* Ring of slots that are to be sent. Owned. */
  unsigned queue_at, queue_len; /* Its first, and how many. */
  size_t sent;                  /* Bytes of the first that are sent. */
  uint64_t answers;             /* Since it was opened. */
  int fd;                       /* Descriptor of the socket; -1: closed. */
  uint8_t connecting;           /* 1: connect(2) is under way. */
  uint8_t waiting;              /* 1: the backlog is full, try again. */
  uint8_t watched;              /* 1: epoll knows it; 2: EPOLLOUT too. */
  uint8_t dirty;                /* 1: on the worker's list for sending. */
  uint8_t have;                 /* Bytes in `header`, or in `end`. */
  uint8_t header[8];            /* A header of which some is to come. */
  uint8_t end[8];               /* Content of END_REQUEST. */
  uint8_t type;                 /* Of the record at hand. */
  uint16_t id;                  /* Request id of that record. */
  size_t content, padding;      /* Bytes of it still to come. */
} bench_connection;

/* One slot of one connection. */
typedef struct bench_place {
  uint32_t connection, slot; /* Where they are in their arrays. */
} bench_place;

/* What a worker has counted. */
typedef struct bench_counts {
  uint64_t started, finished, right; /* Number of requests of each sort. */
  uint64_t errors[BENCH_ERRORS];     /* Number of failures of each kind. */
  uint64_t sent, received;           /* Number of bytes each way. */
  uint64_t opened, resent;           /* Connections; requests sent twice. */
  uint64_t stderr_bytes;             /* Number of bytes that came on STDERR. */
  uint64_t last_ns;                  /* When the last right one finished. */
  int first_status;                  /* HTTP status of the first wrong one. */
  bench_histogram latency;           /* Of the right ones, ns. */
} bench_counts;

typedef struct bench_worker {
  bench_shared *shared;          /* Lent. */
  const bench_plan *plan;        /* Lent. */
  pthread_t thread;              /* The thread that the worker runs on. */
  bench_connection *connections; /* Owned. */
  unsigned count;                /* Number of `connections`. */
  bench_place *free;             /* Ring of slots at rest. Owned. */
  size_t places;                 /* All slots: its size. */
  size_t free_at, free_len;      /* The one at rest longest; how many. */
  uint32_t *dirty;               /* Connections with bytes to send. Owned. */
  size_t dirty_len;              /* Number of connections in that list. */
  unsigned waiting;              /* Connections with `waiting` set. */
  uint8_t interrupted;           /* 1: the run ends at once. */
  uint64_t wanted;               /* Requests to start; UINT64_MAX: any. */
  uint64_t last_start_ns;        /* No request starts later. */
  uint64_t now_ns, swept_ns;     /* Clock; when timeouts were looked for. */
  double rate;                   /* Requests/s of this worker, or 0. */
  double phase;                  /* Share of 1/rate that it starts later. */
  int epoll, timer;              /* Descriptors; -1: none. */
  uint8_t *buffer;               /* For recv(2). Owned. */
  bench_counts counts;           /* What the worker has counted. */
} bench_worker;

/* Resolve plan->address: 0, or an exit status after a complaint. */
int bench_resolve(bench_plan *plan);

/* Fill plan->params from a profile ("minimal", "nginx" or a number of
   parameters): 0, or -1 when it is none. */
int bench_profile(bench_plan *plan, const char *profile);

/* Make plan->body and plan->bytes; bench_bytes_free frees both. */
void bench_bytes_make(bench_plan *plan);
void bench_bytes_free(bench_plan *plan);

/* Take bytes of an answer. Each request that ends is given to bench_finish.
   BENCH_OK, or the error that makes the connection unusable. */
bench_error bench_scan(bench_connection *connection, const uint8_t *data,
                       size_t len);

/* A slot's STDOUT and END_REQUEST are there: what they come to. */
bench_error bench_judge(bench_worker *worker, bench_slot *slot,
                        const uint8_t end[8]);

/* STDOUT of a slot goes on. */
void bench_take(bench_worker *worker, bench_slot *slot, const uint8_t *data,
                size_t len);

/* A slot's request is over, well or not. */
void bench_finish(bench_connection *connection, bench_slot *slot,
                  bench_error error);

/* Monotonic time. */
uint64_t bench_now(void);

/* A socket that connects to plan->peer: its descriptor, with errno 0 or
   EINPROGRESS; or -1 and errno, EAGAIN when the backlog is full. */
int bench_connect(const bench_plan *plan);

/* Open plan->idle connections, send one request on each and leave them open in
   `fds`: 0, or an exit status after a complaint. */
int bench_rest(bench_shared *shared, int *fds);

/* How many of them the application has left open. */
unsigned bench_resting(const bench_plan *plan, const int *fds);

/* Make a worker for `connections` of them and `requests`; _run is a thread. */
void bench_worker_make(bench_worker *worker, bench_shared *shared,
                       unsigned connections, uint64_t requests);
void *bench_worker_run(void *worker);
void bench_worker_free(bench_worker *worker);

/* Add the counts of `from`. */
void bench_counts_add(bench_counts *to, const bench_counts *from);

/* Print the results: the exit status. */
int bench_report(const bench_shared *shared, const bench_counts *counts);

#endif
