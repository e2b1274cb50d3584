/* SPDX-License-Identifier: MIT */
/* Outgoing records. Each exchange queues items; the session takes one item
   from each exchange in turn onto its wire, so that no answer starves
   another. An item is whole records, so turns change at record ends only. */
#ifndef FCGI_SESSION_OUTPUT_H
#define FCGI_SESSION_OUTPUT_H

#include "base/alloc.h"
#include <stdint.h>
#include <sys/uio.h>

struct fcgi__exchange;

typedef enum fcgi__item_kind {
  FCGI__ITEM_BYTES, /* Framed records, copied. */
  FCGI__ITEM_LENT,  /* One record; its content is the caller's memory. */
  FCGI__ITEM_FILE   /* One record; its content is in a file. */
} fcgi__item_kind;

typedef struct fcgi__item {
  struct fcgi__item *next;      /* The next item in the queue or on the wire. */
  struct fcgi__exchange *owner; /* The exchange it belongs to; NULL: a
                                   management answer. */
  uint8_t *bytes;               /* BYTES: the storage, `cap` long. */
  const uint8_t *data;          /* LENT: the content, which the caller owns. */
  size_t cap;                   /* BYTES: bytes allocated at `bytes`. */
  size_t len;                   /* BYTES: framed bytes; else content bytes. */
  size_t sent;                  /* Bytes of the item that are sent, header
                                   included. */
  uint64_t offset;              /* FILE: where the content starts. Kept: its
                                   bytes of content. */
  int fd;                       /* FILE: descriptor of the file. */
  uint8_t kind;                 /* What it is, a fcgi__item_kind. */
  uint8_t pad;                  /* LENT, FILE: padding after the content.
                                   Kept: where in `bytes` that starts. */
  uint8_t fixed;                /* 1: part of its exchange, never freed. */
  uint8_t kept;                 /* BYTES: 1: what was unsent of a lent one. */
  uint8_t refusal;              /* BYTES: 1: of no owner, and no management. */
  uint8_t header[8];            /* LENT, FILE: the record header. */
} fcgi__item;

typedef struct fcgi__output {
  fcgi__item *first; /* The item that is sent next. */
  fcgi__item *last;  /* The item that records are appended to. */
  size_t open_at;    /* Offset in `last` of the header of the open record. */
  uint8_t open_type; /* Type of the open record; 0: none is open. */
} fcgi__output;

enum { FCGI__FINAL_ROOM = 48 }; /* Kept in the fixed item for end records. */

/* Append `data` as content of stream `type`: it joins the open record or makes
   new ones. Grows the owner's `queued`, as all of these do. 0, or
   FCGI_ERR_NOMEM with nothing appended. */
int fcgi__output_write(fcgi__output *queue, const fcgi_allocator *allocator,
                       struct fcgi__exchange *owner, uint8_t type,
                       const uint8_t *data, size_t len);

/* Append STDOUT records whose content is lent (`data`) or in a file (`data`
   NULL). */
int fcgi__output_refer(fcgi__output *queue, const fcgi_allocator *allocator,
                       struct fcgi__exchange *owner, const uint8_t *data,
                       int fd, uint64_t offset, size_t len);

/* Append records as they are, less than FCGI__FINAL_ROOM bytes in all. */
int fcgi__output_records(fcgi__output *queue, const fcgi_allocator *allocator,
                         struct fcgi__exchange *owner, const uint8_t *records,
                         size_t len);

/* Append one record as it is, at most 16 bytes of content. */
int fcgi__output_record(fcgi__output *queue, const fcgi_allocator *allocator,
                        struct fcgi__exchange *owner, uint8_t type,
                        const uint8_t *content, size_t len);

/* Replace the item at `link`, if lent, by a copy of what is unsent of it. */
int fcgi__item_keep(fcgi__item **link, const fcgi_allocator *allocator);

/* Append a whole item. */
void fcgi__output_append(fcgi__output *queue, fcgi__item *item);

/* Take the first item off, its last record closed; NULL when empty. */
fcgi__item *fcgi__output_take(fcgi__output *queue);

/* A BYTES item of its own with `room` bytes, or NULL. */
fcgi__item *fcgi__item_new(const fcgi_allocator *allocator, size_t room);
void fcgi__item_free(fcgi__item *item, const fcgi_allocator *allocator);

/* What it was allocated with; `fixed` ones are not. */
static inline size_t fcgi__item_held(const fcgi__item *item) {
  return item->fixed ? 0 : sizeof *item + item->cap;
}

/* All bytes of the item, sent or not. */
size_t fcgi__item_size(const fcgi__item *item);
/* Bytes of STDOUT in it that have not been sent. */
size_t fcgi__item_unsent(const fcgi__item *item);

/* Add the unsent slices of `item` to `iov`, at most `room`; `*file` becomes 1
   when file content stands in the way. Returns the slices added. */
int fcgi__item_slices(fcgi__item *item, struct iovec *iov, int room, int *file);

#endif
