/* SPDX-License-Identifier: MIT */
#include "shared/visit.h"
#include <string.h>

enum { AT_ONCE = 64 }; /* Blocks that are made ready together. */

uint64_t fcgi__chain_blocks(uint64_t bytes) {
  if (bytes <= FCGI__SHARED_FIRST)
    return 1;
  return 1 + (bytes - FCGI__SHARED_FIRST + FCGI__SHARED_MORE - 1) /
                 FCGI__SHARED_MORE;
}

/* Puts blocks that no chain has had in front of the free ones. Nobody sees them
   before the change, so they are written to at once. */
static void add_fresh(fcgi__visit *v, uint32_t fresh, uint32_t count) {
  fcgi__shared_head *head = v->d->head;
  for (uint32_t i = 1; i <= count; i++) {
    fcgi__shared_block *block = fcgi__block(v, fresh + i);
    block->mark = 0;
    block->next = i < count ? fresh + i + 1 : fcgi__look(&head->free_first);
  }
  fcgi__put(v, &head->free_first, fresh + 1);
  fcgi__put(v, &head->free_count, fcgi__look(&head->free_count) + count);
  fcgi__put(v, &head->fresh, fresh + count);
  fcgi__commit(v);
}

int fcgi__chain_is_free(fcgi__visit *v, uint32_t wanted) {
  fcgi__shared_head *head = v->d->head;
  while (!v->damaged && fcgi__look(&head->free_count) < wanted) {
    uint32_t fresh = fcgi__look(&head->fresh), left;
    if (fresh >= v->d->block_count)
      return 0;
    left = v->d->block_count - fresh;
    add_fresh(v, fresh, left < AT_ONCE ? left : AT_ONCE);
  }
  return 1;
}

uint32_t fcgi__chain_look(fcgi__visit *v, uint32_t count, uint32_t *last) {
  uint32_t first = fcgi__look(&v->d->head->free_first);
  *last = first;
  for (uint32_t i = 1; i < count && !v->damaged; i++)
    *last = fcgi__look(&fcgi__block(v, *last)->next);
  return first;
}

void fcgi__chain_take(fcgi__visit *v, uint32_t count, uint32_t last) {
  fcgi__shared_head *head = v->d->head;
  fcgi__shared_block *end = fcgi__block(v, last);
  fcgi__put(v, &head->free_first, fcgi__look(&end->next));
  fcgi__put(v, &head->free_count, fcgi__look(&head->free_count) - count);
  fcgi__put(v, &end->next, 0);
}

void fcgi__chain_give(fcgi__visit *v, uint32_t first, uint32_t count,
                      uint32_t last) {
  fcgi__shared_head *head = v->d->head;
  fcgi__shared_block *end = fcgi__block(v, last);
  fcgi__put(v, &end->next, fcgi__look(&head->free_first));
  fcgi__put(v, &head->free_first, first);
  fcgi__put(v, &head->free_count, fcgi__look(&head->free_count) + count);
}

/* Pieces of a chain, one a block. */
typedef struct piece {
  uint32_t block;      /* Number of the block. */
  unsigned char *data; /* Where the piece begins. */
  size_t len;          /* Bytes of it, to the end of the block. */
} piece;

static piece piece_of_first(fcgi__visit *v, uint32_t first) {
  return (piece){first, fcgi__block(v, first)->as.first.bytes,
                 FCGI__SHARED_FIRST};
}

static piece piece_after(fcgi__visit *v, uint32_t block) {
  uint32_t next = fcgi__look(&fcgi__block(v, block)->next);
  return (piece){next, fcgi__block(v, next)->as.more, FCGI__SHARED_MORE};
}

/* The piece in which the byte `skip` lies. A chain that is a circle ends with
   `skip`, which the blocks of the dictionary bound. */
static piece piece_at(fcgi__visit *v, uint32_t first, uint64_t skip) {
  piece p = piece_of_first(v, first);
  while (!v->damaged && skip >= p.len) {
    skip -= p.len;
    p = piece_after(v, p.block);
  }
  if (v->damaged)
    skip = 0;
  p.data += skip;
  p.len -= (size_t)skip;
  return p;
}

/* What is done with `len` bytes of a piece and as many of the caller's: 0 to go
   on. */
typedef int work(unsigned char *there, size_t len, unsigned char *here);

static int read_piece(unsigned char *there, size_t len, unsigned char *here) {
  memcpy(here, there, len);
  return 0;
}

static int write_piece(unsigned char *there, size_t len, unsigned char *here) {
  memcpy(there, here, len);
  return 0;
}

static int compare_piece(unsigned char *there, size_t len,
                         unsigned char *here) {
  return memcmp(there, here, len) != 0;
}

static int walk(fcgi__visit *v, piece p, unsigned char *here, size_t len,
                work *todo) {
  while (len > 0 && !v->damaged) {
    size_t part = len < p.len ? len : p.len;
    if (todo(p.data, part, here))
      return 1;
    here += part;
    len -= part;
    if (len > 0)
      p = piece_after(v, p.block);
  }
  return 0;
}

/* One function serves both directions; it does not write to what is lent. */
static unsigned char *lent(const void *data) {
  return (unsigned char *)(uintptr_t)data;
}

void fcgi__chain_read(fcgi__visit *v, uint32_t first, uint64_t skip, void *out,
                      size_t len) {
  if (len > 0)
    walk(v, piece_at(v, first, skip), out, len, read_piece);
}

void fcgi__chain_write(fcgi__visit *v, uint32_t first, uint64_t skip,
                       const void *data, size_t len) {
  if (len > 0)
    walk(v, piece_at(v, first, skip), lent(data), len, write_piece);
}

int fcgi__chain_equals(fcgi__visit *v, uint32_t first, const void *data,
                       size_t len) {
  return !walk(v, piece_of_first(v, first), lent(data), len, compare_piece) &&
         !v->damaged;
}
