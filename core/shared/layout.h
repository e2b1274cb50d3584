/* SPDX-License-Identifier: MIT */
/* What lies in the memory of a dictionary: a head, the buckets of a hash table,
   and blocks of one size. No pointers: blocks have numbers from 1, and 0 is
   none, so that zeroed memory is an empty dictionary. An entry is a chain of
   blocks, and so are the free ones. */
#ifndef FCGI_SHARED_LAYOUT_H
#define FCGI_SHARED_LAYOUT_H

#include "shared/latch.h"
#include <fastcgi/shared.h>
#include <stddef.h>

enum {
  FCGI__SHARED_VERSION = 1,
  FCGI__SHARED_BLOCK = 128, /* Bytes of a block. */
  FCGI__SHARED_FIRST = 80,  /* Bytes of key and value in the first one, */
  FCGI__SHARED_MORE = 120,  /* and in each further one. */
  FCGI__SHARED_UNDO = 64,   /* Words that one change may write to. */
  FCGI__SHARED_HEAD = 4096, /* Bytes of the head. */
  FCGI__SHARED_LOCK = 0x80  /* The kind of an entry that is a lock. */
};

typedef struct fcgi__shared_block {
  uint32_t next; /* The following block of the chain. */
  uint32_t mark; /* The first one of an entry: its kind << 16 | length of the
                    key; 0: it is none. */
  union {
    struct {
      uint32_t hash;      /* Of the key, the half that chooses no bucket. */
      uint32_t hash_next; /* The next entry of the bucket. */
      uint32_t newer;     /* The entry that was used after this one. */
      uint32_t older;     /* The entry that was used before this one. */
      uint32_t value_len; /* Bytes of the value behind the key. */
      uint32_t last;      /* The last block of this chain. */
      uint64_t expires;   /* When it goes, in ms of fcgi__now; 0: never. */
      uint64_t number;    /* An integer, the bits of a double, 0 or 1, or the
                             token of a lock. */
      unsigned char bytes[FCGI__SHARED_FIRST]; /* The key, then the value. */
    } first;                                   /* A first block. */
    unsigned char more[FCGI__SHARED_MORE];     /* A further one. */
  } as;
} fcgi__shared_block;

_Static_assert(sizeof(fcgi__shared_block) == FCGI__SHARED_BLOCK, "no holes");

/* What a word had before the change that is under way. */
typedef struct fcgi__shared_undo {
  uint64_t at;  /* Its offset in the memory, and 1 if it has eight bytes, not
                   four. */
  uint64_t was; /* The word. */
} fcgi__shared_undo;

typedef struct fcgi__shared_head {
  char magic[8];               /* "fcgi-sd\0". */
  uint32_t version;            /* FCGI__SHARED_VERSION. */
  uint32_t block_size;         /* FCGI__SHARED_BLOCK. */
  char name[FCGI_SHARED_NAME]; /* Its name, ended by a NUL. */
  uint64_t seed[2];            /* Of the hash: clients cannot choose keys that
                                  meet in one bucket. */
  uint64_t home;               /* Namespace of process ids, or 0. */
  fcgi__latch latch;           /* Whoever has it may touch what follows. */
  _Atomic uint32_t bell;       /* Counts the locks that were given back. */
  uint32_t emptying;           /* 1: all of it is being emptied. */
  uint32_t undo_count;         /* Words that the change under way may have
                                  written to; 0: there is none. */
  uint32_t unused;             /* Fills the word. */
  fcgi__shared_undo undo[FCGI__SHARED_UNDO]; /* What they had. */
  uint32_t newest;                           /* The entry that was used last. */
  uint32_t oldest;                           /* The entry to evict next. */
  uint32_t free_first;                       /* The chain of free blocks. */
  uint32_t free_count;                       /* How many are in it. */
  uint32_t fresh;   /* Blocks that have been used ever: those behind
                       them are in no chain. */
  uint32_t entries; /* Number of entries and locks. */
  uint64_t token;   /* The last one that a lock got. */
  uint64_t counts[FCGI_SHARED_COUNTS]; /* By fcgi_shared_count. */
} fcgi__shared_head;

_Static_assert(sizeof(fcgi__shared_head) <= FCGI__SHARED_HEAD, "it fits");

struct fcgi_shared {
  fcgi__shared_head *head;     /* The mapped memory. */
  size_t size;                 /* Its bytes. */
  uint32_t *buckets;           /* First entries, behind the head. */
  uint32_t bucket_mask;        /* Their number less one, a power of two. */
  fcgi__shared_block *blocks;  /* Block 1 and the following. */
  uint32_t block_count;        /* Number of `blocks`. */
  uint64_t seed[2];            /* Of the hash, as it was in the head, which
                                  others may write to. */
  uint64_t home;               /* Namespace of process ids. */
  char name[FCGI_SHARED_NAME]; /* Its name. */
  int is_private;              /* 1: made for this process. */
  fcgi__here here;             /* What it knows of this process. */
  _Atomic uint64_t approved;   /* The process that is known to be at home. */
  fcgi__latch_sleep sleep;     /* What the program does around a sleep. */
  uint64_t ahead_ms;           /* Added to the clock; 0 but in tests. */
};

/* Find the parts of `size` bytes; what lies in them is not looked at. */
void fcgi__shared_divide(fcgi_shared *d, void *memory, size_t size);

#endif
