/* SPDX-License-Identifier: MIT */
/* How many handles of one name all workers of a supervisor may have together
   (limit_total). A table in shared memory has a row for each name and, in a
   row, a slot for each handle. Whoever has a slot may open; one that finds none
   free asks whoever has one to give way, and waits.

   There is no lock: to take a slot is one atomic exchange of its owner, and
   what is written besides are hints. So a process may be killed at any
   instruction; whoever finds none free frees the slots of the dead. There are
   no pointers, and whatever others write, a look never leaves the table. */
#ifndef FCGI_RESOURCE_QUOTA_H
#define FCGI_RESOURCE_QUOTA_H

#include "base/alloc.h"
#include "os/owner.h"
#include <fastcgi/resource.h>

/* PID:FD, the descriptor of the table of a worker; 0: there is none. */
#define FCGI__QUOTA_VARIABLE "FASTCGI_QUOTA"

enum {
  FCGI__QUOTA_VERSION = 1,
  FCGI__QUOTA_ROWS = 64,         /* Names that a table has room for. */
  FCGI__QUOTA_NAME = 64,         /* Bytes of a name, with its NUL. */
  FCGI__QUOTA_TENURE_MS = 250,   /* What was opened stays for so long. */
  FCGI__QUOTA_LEASE_MS = 1000,   /* Who asks and is not seen for so long does
                                    not wait any more. */
  FCGI__QUOTA_PATIENCE_MS = 250, /* After that, another one is asked, too. */
  FCGI__QUOTA_SWEEP_MS = 100,    /* Between two looks for the dead, */
  FCGI__QUOTA_POLL_MS = 5,       /* of one that waits, */
  FCGI__QUOTA_LOOK_MS = 50       /* and of one that may be asked. */
};

/* Times are ms of fcgi__now, which all processes share. */
typedef struct fcgi__quota_slot {
  _Atomic uint64_t owner;  /* The process that has it; 0: it is free. */
  _Atomic uint64_t view;   /* The resource that has it, by its number. */
  _Atomic uint64_t opened; /* When it was taken. */
  _Atomic uint64_t rested; /* Since when its handle rests; 0: it is in use, or
                              being opened. */
  _Atomic uint64_t heir;   /* The resource that it is to give way to, by its
                              number; 0: none. */
  _Atomic uint64_t until;  /* When the heir does not wait any more. */
} fcgi__quota_slot;

typedef struct fcgi__quota_row {
  _Atomic uint64_t maker;      /* The process that names it; 0: it is free. */
  _Atomic uint32_t named;      /* 1: its name is whole. */
  _Atomic uint32_t limit;      /* Slots that may be taken at once. */
  _Atomic uint32_t top;        /* The highest limit there was: no slot behind
                                  it was ever taken. */
  uint32_t unused;             /* Fills the word. */
  _Atomic uint64_t abandoned;  /* Slots that a dead process had. */
  char name[FCGI__QUOTA_NAME]; /* Its name; the rest is 0. */
  fcgi__quota_slot slots[FCGI_RESOURCE_TOTAL]; /* From number 1. */
} fcgi__quota_row;

typedef struct fcgi__quota_table {
  char magic[8];          /* "fcgi-qt\0". */
  uint32_t version;       /* FCGI__QUOTA_VERSION. */
  uint32_t rows_there;    /* FCGI__QUOTA_ROWS. */
  uint64_t home;          /* Namespace of process ids, or 0. */
  _Atomic uint64_t views; /* Numbers that were given to resources. */
  fcgi__quota_row rows[FCGI__QUOTA_ROWS]; /* In order: the free ones are
                                             last. */
} fcgi__quota_table;

/* What a resource knows of its row. Its lock is held around each call. */
typedef struct fcgi__quota {
  fcgi__quota_row *row;     /* In the table, or `own`. */
  fcgi__quota_table *table; /* Mapped; NULL without a supervisor. */
  fcgi__quota_row *own;     /* Without one, the row of this resource. */
  uint64_t view;            /* The number of the resource. */
  unsigned before;          /* The limit that another one has declared, to be
                               told; 0: none. */
  int is_split;             /* 1: a handle of it is of no use to all of its
                               threads, so that it gives way to itself. */
  long long asked;          /* When it asked last; 0: it does not ask. */
  long long sweep;          /* When it looks for the dead again. */
  fcgi__here here;          /* This process. */
  fcgi_allocator allocator; /* Of this and of `own`. */
} fcgi__quota;

/* --- The table --- */

/* Make one to pass on: a descriptor, or -1 with errno. */
int fcgi__quota_make(void);

/* Map the one behind `fd`, which stays the caller's: FCGI_ERR_DAMAGED when it
   is none or of another version, FCGI_ERR_SYSTEM. */
int fcgi__quota_map(int fd, fcgi__quota_table **out);
void fcgi__quota_unmap(fcgi__quota_table *table);

/* --- A resource's --- */

/* Declare a limit for a name: in the table of the supervisor or, without one,
   for this resource. The limit that was declared last holds for all. 0,
   FCGI_ERR_NOMEM, FCGI_ERR_LIMIT with too many names, FCGI_ERR_DAMAGED for a
   table of another version, FCGI_ERR_STATE in another namespace. */
int fcgi__quota_open(fcgi__quota **out, const char *name, unsigned limit,
                     int is_split, const fcgi_allocator *allocator);
void fcgi__quota_close(fcgi__quota *quota);

/* This is a fork: it has no slots. */
void fcgi__quota_renew(fcgi__quota *quota);

/* Take a slot: its number, or 0. One that `asks` has another one give way. */
unsigned fcgi__quota_take(fcgi__quota *quota, int asks, long long now);
void fcgi__quota_give(fcgi__quota *quota, unsigned slot);
/* Nobody waits any more: who was asked keeps its own. */
void fcgi__quota_withdraw(fcgi__quota *quota);

/* The handle of that slot is in use, or rests. */
void fcgi__quota_use(const fcgi__quota *quota, unsigned slot);
void fcgi__quota_rest(const fcgi__quota *quota, unsigned slot, long long now);

/* 1: the handle is to be closed once it rests. */
int fcgi__quota_is_asked(const fcgi__quota *quota, unsigned slot,
                         long long now);

/* How many slots are taken, of how many, and how many the dead have had. */
void fcgi__quota_count(fcgi__quota *quota, long long now,
                       fcgi_resource_stats *out);

#endif
