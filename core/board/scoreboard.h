/* SPDX-License-Identifier: MIT */
/* Shared memory in which workers keep what they do: a head, then slots of one
   size, each with entries for open requests. No pointers; every number is an
   atomic; whoever reads trusts nothing in it. */
#ifndef FCGI_BOARD_SCOREBOARD_H
#define FCGI_BOARD_SCOREBOARD_H

#include "base/row.h"
#include "os/backlog.h"
#include <fastcgi/status.h>
#include <stdatomic.h>
#include <stdint.h>

enum {
  FCGI__BOARD_VERSION = 3,
  FCGI__BOARD_ENTRIES = 64,  /* Open requests that a worker shows. */
  FCGI__BOARD_SLOTS = 16384, /* Most workers of a board. */
  FCGI__BOARD_METHOD = 16,   /* Bytes of a method, with its NUL. */
  FCGI__BOARD_PATH = 128,    /* Bytes of a path, with its NUL. */
  FCGI__BOARD_BUCKETS = 104, /* Of a histogram of latencies. */
  FCGI__BOARD_ROWS = 16,     /* Resources that a worker shows. */
  FCGI__BOARD_NAME = 32,     /* Bytes of a name of one, with its NUL. */
  FCGI__NAME_WORDS = FCGI__BOARD_NAME / 8,
  FCGI__METHOD_WORDS = FCGI__BOARD_METHOD / 8,
  FCGI__PATH_WORDS = FCGI__BOARD_PATH / 8
};

/* An open request. The texts may be read while they change: `version` is odd
   then, and another one afterwards. */
typedef struct fcgi__board_entry {
  _Atomic uint32_t version;                    /* Odd while the texts change. */
  _Atomic uint32_t phase;                      /* A fcgi_phase. */
  _Atomic uint64_t started_us;                 /* When it became ready. */
  _Atomic uint64_t overdue_us;                 /* OVERDUE: when that began. */
  _Atomic uint64_t thread;                     /* Thread of its handler. */
  _Atomic uint64_t method[FCGI__METHOD_WORDS]; /* Bytes, a NUL at the end. */
  _Atomic uint64_t path[FCGI__PATH_WORDS];     /* Bytes, a NUL at the end. */
} fcgi__board_entry;

/* What is counted; also kept for all workers that were. */
typedef struct fcgi__board_counts {
  _Atomic uint64_t values[FCGI_METRICS]; /* By fcgi_metric. */
  _Atomic uint64_t latency_sum_us;       /* Sum of the latencies of finished
                                            requests, in us. */
  _Atomic uint64_t latency[FCGI__BOARD_BUCKETS]; /* Histogram of their
                                                    latencies. */
} fcgi__board_counts;

/* What the resources of one name do. These metrics are kept nowhere else. */
typedef struct fcgi__board_row {
  _Atomic uint64_t name[FCGI__NAME_WORDS];   /* Bytes, a NUL at the end; a row
                                                is free while word 0 is. */
  _Atomic uint64_t counts[FCGI__ROW_COUNTS]; /* As base/row.h has them. */
} fcgi__board_row;

typedef struct fcgi__board_slot {
  _Atomic int64_t pid;         /* The worker; 0: not known yet. */
  _Atomic uint32_t state;      /* A fcgi_worker_state. */
  _Atomic uint32_t generation; /* The generation of the worker. */
  _Atomic uint64_t started_us; /* When it was started. */
  _Atomic uint64_t alive_us;   /* When it last did something. */
  _Atomic uint64_t busy_us;    /* Since when no thread of it takes events; 0:
                                  some does. */
  _Atomic uint32_t idle;       /* Threads that wait for something to do, where
                                  workers share their work. */
  _Atomic uint32_t taking;     /* Connections that it may just be taking from
                                  others, and has not counted as open yet. */
  fcgi__board_counts counts;   /* What it has counted. */
  fcgi__board_row rows[FCGI__BOARD_ROWS];         /* What its resources do. */
  fcgi__board_entry entries[FCGI__BOARD_ENTRIES]; /* Open requests. */
} fcgi__board_slot;

typedef struct fcgi__board_head {
  char magic[8];                      /* "fcgi-sb\0". */
  uint32_t version;                   /* FCGI__BOARD_VERSION. */
  uint32_t head_size;                 /* Bytes of this structure. */
  uint32_t slot_size;                 /* Bytes of a slot. */
  uint32_t slot_count;                /* Number of slots that follow. */
  _Atomic uint64_t now_us;            /* When it was copied; 0 in memory that
                                         lives. */
  _Atomic int64_t supervisor;         /* Process id of the supervisor, or 0. */
  _Atomic int64_t started_ms;         /* When it began, in ms since 1970. */
  _Atomic uint64_t started_us;        /* The same moment, monotonic. */
  _Atomic uint32_t generation;        /* The one that serves. */
  _Atomic uint32_t unused;            /* Fills the word, so that the layout
                                         has no hole. */
  _Atomic int64_t listen_queue;       /* Connections not accepted, -1: not
                                         known. */
  _Atomic int64_t listen_queue_max;   /* Most that were seen waiting. */
  _Atomic int64_t listen_queue_limit; /* Most that the kernel lets wait, -1:
                                         not known. */
  _Atomic uint64_t events[FCGI_SUPERVISED_EVENTS]; /* By fcgi_supervised. */
  fcgi__board_counts former; /* What former workers have counted, */
  fcgi__board_row former_rows[FCGI__BOARD_ROWS]; /* and their resources. */
} fcgi__board_head;

typedef struct fcgi__board {
  fcgi__board_head *head; /* NULL: there is none. */
  size_t size;            /* Bytes that are mapped. */
  int fd;                 /* Of the memory, to pass on; or -1. */
} fcgi__board;

/* Make one with room for `slots` workers; its descriptor is close-on-exec. 0,
   FCGI_ERR_INVALID, or FCGI_ERR_SYSTEM with errno. */
int fcgi__board_new(fcgi__board *out, unsigned slots);

/* Map the one behind `fd`, which then belongs to the board. FCGI_ERR_PROTOCOL
   when it is none, or of another version: `fd` stays the caller's then. */
int fcgi__board_attach(fcgi__board *out, int fd);

/* 1 when `len` bytes, aligned as memory of malloc is, are a scoreboard. */
int fcgi__board_is_one(const fcgi__board_head *head, size_t len);

/* Copy `len` bytes, a multiple of eight, of memory that may change. */
void fcgi__board_load(void *to, const void *from, size_t len);

/* Unmap and close; what others have mapped stays. */
void fcgi__board_free(fcgi__board *board);

/* How many slots there are: what the mapping holds, at most. */
unsigned fcgi__board_slots(const fcgi__board *board);

/* One slot, or NULL. */
fcgi__board_slot *fcgi__board_slot_at(const fcgi__board *board, int slot);

/* For whoever starts workers; a `slot` that is none is ignored. Take a free
   slot for a worker about to be started: its number, or -1. */
int fcgi__board_take(fcgi__board *board, unsigned generation);
/* It was started, as process `pid`. */
void fcgi__board_set_pid(fcgi__board *board, int slot, int64_t pid);
/* Its life goes on. (A server of the library says READY and DRAINING itself.)
 */
void fcgi__board_set_state(fcgi__board *board, int slot,
                           fcgi_worker_state state);
/* It is gone: what it counted goes to the former ones, the slot is free. */
void fcgi__board_release_slot(fcgi__board *board, int slot);
/* Count an event of the supervisor. */
void fcgi__board_count(fcgi__board *board, fcgi_supervised event);
/* The generation that serves, and who the supervisor is. */
void fcgi__board_set_generation(fcgi__board *board, unsigned generation);
void fcgi__board_set_supervisor(fcgi__board *board, int64_t pid);

/* For limits: requests a worker has begun, and for how many milliseconds its
   oldest handler has been past the deadline, -1 when none is. */
uint64_t fcgi__board_requests(const fcgi__board *board, int slot);
int64_t fcgi__board_overdue_ms(const fcgi__board *board, int slot);
/* Whether it is past the deadline in every handler, so that nothing is lost
   with it. */
int fcgi__board_only_overdue(const fcgi__board *board, int slot);
/* For how many milliseconds it has done nothing at all, -1 when not known. */
int64_t fcgi__board_silent_ms(const fcgi__board *board, int slot);

/* What other workers do. They may do something else a moment later. */
typedef struct fcgi__board_others {
  unsigned ready; /* Workers that serve. */
  unsigned idle;  /* Threads of theirs that are free. */
  int poorer;     /* 1: one with such has at least two connections less. */
  uint64_t open;  /* Requests that are open at all of them. */
  uint64_t least; /* Those of the one that has least, or UINT64_MAX. */
  uint64_t over;  /* Connections of theirs beyond the limit of each. */
} fcgi__board_others;

/* The others than `own`, of which `open` connections are open; a worker may
   accept up to `limit` of them. */
fcgi__board_others fcgi__board_count_others(const fcgi__board *board,
                                            const fcgi__board_slot *own,
                                            uint64_t open, uint64_t limit);

/* The bucket of a latency, and the most that one holds (UINT64_MAX: the last).
   The first holds up to 16 us; from there four make a doubling. */
unsigned fcgi__board_bucket(uint64_t us);
uint64_t fcgi__board_bucket_end(unsigned bucket);

/* The row of a name, or one that gets it. Those of the same name share a row,
   and so do all that find no other place, as "others". Only one thread does so
   at a time. */
fcgi__board_row *fcgi__board_row_of(fcgi__board_row rows[FCGI__BOARD_ROWS],
                                    const char *name);
/* Add the counters of a worker that is gone to those of the former ones. */
void fcgi__board_move_rows(fcgi__board_row to[FCGI__BOARD_ROWS],
                           fcgi__board_row from[FCGI__BOARD_ROWS]);
/* The text of words that may change; there is a NUL at the end of `out`. */
void fcgi__board_read_text(char *out, size_t size,
                           const _Atomic uint64_t *words);
/* 1: it tells how things are now. */
int fcgi__metric_is_gauge(unsigned value);

/* Count `amount` more in a worker's slot; NULL is fine. */
static inline void fcgi__board_add(fcgi__board_slot *slot, fcgi_metric value,
                                   uint64_t amount) {
  if (slot)
    atomic_fetch_add_explicit(&slot->counts.values[value], amount,
                              memory_order_relaxed);
}

/* Write how many connections wait at all listeners together. */
void fcgi__board_note_backlog(fcgi__board *board, fcgi__backlog all);

#endif
