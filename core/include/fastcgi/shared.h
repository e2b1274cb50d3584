/* SPDX-License-Identifier: MIT */
/* A dictionary that all workers of a supervisor share. It lives in memory that
   outlasts each of them, so a reload, an upgrade of the supervisor and a killed
   worker leave it as it is: every operation happens as a whole or not at all.
   When it is full, the entries that have not been used for longest go.

   Operations may be called from any thread, and from a child of fork(2), but
   not from a signal handler. They return FCGI_ERR_TIMEOUT when another process
   keeps the dictionary busy for ten seconds, and FCGI_ERR_DAMAGED when another
   one has written over it; it is empty and in order again then. */
#ifndef FASTCGI_SHARED_H
#define FASTCGI_SHARED_H

#include <fastcgi/export.h>
#include <fastcgi/timeout.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fcgi_shared fcgi_shared;

enum {
  FCGI_SHARED_KEY = 2048,   /* Most bytes of a key; one has at least 1. */
  FCGI_SHARED_NAME = 32,    /* Room for a dictionary's name, with its NUL. */
  FCGI_SHARED_LEAST = 65536 /* Smallest size of a dictionary, in bytes. */
};

/* Largest size of a dictionary: 256 GiB. */
#define FCGI_SHARED_MOST (UINT64_C(1) << 38)

/* A field left 0 takes its default. */
typedef struct fcgi_shared_config {
  size_t size;         /* sizeof(fcgi_shared_config). */
  size_t private_size; /* Bytes of a dictionary that only this process has.
                          Default: 1 MiB. */
  void *(*sleeps)(void *user_data); /* Called before an operation sleeps; what
                                       it returns is given to `woke`. Default:
                                       NULL. */
  void (*woke)(void *user_data, void *slept); /* Called after that. Default:
                                                 NULL. */
  void *user_data; /* The pointer that both are called with. */
} fcgi_shared_config;

/* What kind of value an entry has. */
typedef enum fcgi_shared_kind {
  FCGI_SHARED_BYTES = 1, /* `data`. */
  FCGI_SHARED_STRING,    /* `data`, of a language that tells text from bytes. */
  FCGI_SHARED_INTEGER,   /* `integer`. */
  FCGI_SHARED_REAL,      /* `real`. */
  FCGI_SHARED_BOOLEAN    /* `integer`, 0 or 1. */
} fcgi_shared_kind;

typedef struct fcgi_shared_value {
  fcgi_shared_kind kind; /* Which of the following fields it is. */
  const void *data;      /* BYTES and STRING: the bytes. */
  size_t len;            /* Their number. */
  int64_t integer;       /* INTEGER and BOOLEAN. */
  double real;           /* REAL. */
  int64_t ttl_ms;        /* Life that is left, in ms; 0: without an end. */
} fcgi_shared_value;

/* X(name, text): the numbers about a dictionary. */
#define FCGI_SHARED_COUNT_MAP(X)                                               \
  X(SIZE, size, "Bytes that it may take")                                      \
  X(USED, used, "Bytes that it takes")                                         \
  X(ENTRIES, entries, "Entries, expired ones that still lie there among them") \
  X(HITS, hits, "Look-ups that found an entry")                                \
  X(MISSES, misses, "Look-ups that found none")                                \
  X(STORED, stored, "Values stored")                                           \
  X(EVICTED, evicted, "Entries that had to go for others before their time")   \
  X(EXPIRED, expired, "Entries removed after their time")                      \
  X(REFUSED, refused, "Values refused because they were too large")            \
  X(RECOVERED, recovered, "Operations of killed processes that were undone")   \
  X(EMPTIED, emptied, "Times that it was found damaged and emptied")

typedef enum fcgi_shared_count {
#define FCGI_SHARED_COUNT_ENUM(name, key, text) FCGI_SHARED_##name,
  FCGI_SHARED_COUNT_MAP(FCGI_SHARED_COUNT_ENUM)
#undef FCGI_SHARED_COUNT_ENUM
      FCGI_SHARED_COUNTS /* How many there are. */
} fcgi_shared_count;

/* Opens the dictionary `name` that the supervisor of this worker has made
   (--shared NAME=SIZE): FCGI_ERR_STATE when it has none of that name. Without a
   supervisor it makes one for this process and its children alone, another one
   at each call. `config` NULL takes every default; it is copied.
   FCGI_ERR_INVALID for a name with other characters than letters, digits, "_",
   "-" and ".". */
FCGI_EXPORT int fcgi_shared_open(fcgi_shared **out, const char *name,
                                 const fcgi_shared_config *config);

/* Frees the handle; what is in the dictionary stays for other processes. NULL
   is fine. */
FCGI_EXPORT void fcgi_shared_free(fcgi_shared *shared);

/* Returns the name of the dictionary. Lent until the handle is freed. */
FCGI_EXPORT const char *fcgi_shared_name(const fcgi_shared *shared);

/* Returns 1 when no other program has the dictionary; otherwise 0. */
FCGI_EXPORT int fcgi_shared_is_private(const fcgi_shared *shared);

/* Returns 1 with the value of `key` in `out`, 0 when there is none. Its bytes
   are put into `buffer` if they are at most `room`; `out->data` is NULL
   otherwise, and `out->len` says how many they are. */
FCGI_EXPORT int fcgi_shared_get(fcgi_shared *shared, const void *key,
                                size_t key_len, void *buffer, size_t room,
                                fcgi_shared_value *out);

/* Stores the value, and `value->ttl_ms` later removes it. Returns how many
   entries had to go for it before their time, or FCGI_ERR_LIMIT when it is
   larger than all of the dictionary. */
FCGI_EXPORT int fcgi_shared_set(fcgi_shared *shared, const void *key,
                                size_t key_len, const fcgi_shared_value *value);

/* Stores the value as fcgi_shared_set does if the key has none, and returns 1;
   0 if it has one. */
FCGI_EXPORT int fcgi_shared_add(fcgi_shared *shared, const void *key,
                                size_t key_len, const fcgi_shared_value *value);

/* Stores the value as fcgi_shared_set does if the key has one, and returns 1; 0
   if it has none. */
FCGI_EXPORT int fcgi_shared_replace(fcgi_shared *shared, const void *key,
                                    size_t key_len,
                                    const fcgi_shared_value *value);

/* Adds `by` to an integer and returns 1 with the sum. When there is none,
   `init` + `by` is stored with the time `ttl_ms`; with `init` NULL 0 is
   returned. FCGI_ERR_STATE when the value is no integer, FCGI_ERR_LIMIT when
   the sum does not fit into 64 bits; both change nothing. */
FCGI_EXPORT int fcgi_shared_incr(fcgi_shared *shared, const void *key,
                                 size_t key_len, int64_t by,
                                 const int64_t *init, int64_t ttl_ms,
                                 int64_t *sum);

/* Removes an entry and returns 1, or 0 when there is none. */
FCGI_EXPORT int fcgi_shared_delete(fcgi_shared *shared, const void *key,
                                   size_t key_len);

/* Lets an entry live for `ttl_ms` from now, or without an end if that is 0.
   Returns 1, or 0 when there is none. */
FCGI_EXPORT int fcgi_shared_expire(fcgi_shared *shared, const void *key,
                                   size_t key_len, int64_t ttl_ms);

/* Puts a key into `key`, of FCGI_SHARED_KEY bytes, and returns its length, or 0
   after the last one. `*place` is 0 at first. A key that is there from the
   first call to the last and is not stored anew meanwhile comes once. */
FCGI_EXPORT int fcgi_shared_next(fcgi_shared *shared, uint64_t *place,
                                 void *key);

/* Removes every entry and every lock. Returns 0. */
FCGI_EXPORT int fcgi_shared_clear(fcgi_shared *shared);

/* Takes the lock `key`, which has nothing to do with an entry of that name, and
   returns 1 with a `token`; 0 when another holds it for all of `wait_ms`, which
   may be FCGI_WAIT_FOREVER. It is free again after fcgi_shared_unlock, after
   `ttl_ms` (0: a minute), or once the process that holds it has ended. */
FCGI_EXPORT int fcgi_shared_lock(fcgi_shared *shared, const void *key,
                                 size_t key_len, int64_t ttl_ms, int wait_ms,
                                 uint64_t *token);

/* Gives back a lock. Returns 1, or 0 when it is not held with this `token` any
   more. */
FCGI_EXPORT int fcgi_shared_unlock(fcgi_shared *shared, const void *key,
                                   size_t key_len, uint64_t token);

/* Fills `out` with the first `count` numbers about the dictionary, by
   fcgi_shared_count. Returns 0. */
FCGI_EXPORT int fcgi_shared_counts(fcgi_shared *shared, uint64_t *out,
                                   size_t count);

#endif
