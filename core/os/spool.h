/* SPDX-License-Identifier: MIT */
/* Bytes between their arrival and their reading: in memory, and past a
   limit in an unlinked temporary file. Zero-initialise, but `fd` is -1. */
#ifndef FCGI_OS_SPOOL_H
#define FCGI_OS_SPOOL_H

#include "base/buffer.h"

typedef struct fcgi__spool {
  fcgi__buffer memory; /* The bytes held in memory. */
  size_t head;         /* Bytes of `memory` read already. */
  int fd;              /* What did not fit; -1 while everything does. */
  uint64_t file_len;   /* Bytes in the file. */
  uint64_t file_head;  /* Bytes of it read already. */
  int gone;            /* 1: some that were read are held no more. */
} fcgi__spool;

/* Append; with `limit` above 0, bytes beyond it in memory go to a file in
   `dir`, as all do after such. 0, FCGI_ERR_NOMEM, or FCGI_ERR_SYSTEM with
   errno. */
int fcgi__spool_append(fcgi__spool *body, const fcgi_allocator *allocator,
                       const void *data, size_t len, size_t limit,
                       const char *dir);

/* Take up to `len` bytes, in order: how many (0: none held now), or
   FCGI_ERR_SYSTEM. */
ptrdiff_t fcgi__spool_read(fcgi__spool *body, void *data, size_t len);

/* Have everything read once more: 0, or FCGI_ERR_STATE when some is gone. */
int fcgi__spool_rewind(fcgi__spool *body);

/* Bytes held and not yet read. */
uint64_t fcgi__spool_unread(const fcgi__spool *body);

void fcgi__spool_clear(fcgi__spool *body, const fcgi_allocator *allocator);

#endif
