/* SPDX-License-Identifier: MIT */
/* The parameters of a thread's previous request as Python strings, found by
   name. What the next request sends again is neither decoded nor stored. */
#ifndef FASTCGI_PYTHON_SLOTS_H
#define FASTCGI_PYTHON_SLOTS_H

#include "derive.h"
#include "text.h"

#define SLOTS_PARAMS 96 /* Most parameters of a request that is kept. */
#define SLOTS_OTHERS 32 /* Most of these whose names have no number. */

/* The parameters of one request, as the core lends them. */
typedef struct slots_list {
  size_t count;                /* Parameters, which may be more than fit. */
  fcgi_param at[SLOTS_PARAMS]; /* The first of them. */
  uint8_t known[SLOTS_PARAMS]; /* The numbers of their names, 0: none. */
} slots_list;

typedef struct slots_slot {
  text_cell value;       /* What was sent; none while `turn` is 0. */
  PyObject *name;   /* NULL: the slot is free. */
  unsigned turn;    /* The last request that sent it; 0: not in the dict. */
  int source;       /* Which derived keys read, or -1. */
  int is_hidden;    /* 1: the name is one of our own keys. */
  int is_ambiguous; /* 1: the dict must be made without slots. */
} slots_slot;

typedef struct slot_table {
  unsigned turn;                      /* Number of the request, never 0. */
  size_t count;                       /* Slots in `present`. */
  size_t added;                       /* Put in since the owner set it to 0. */
  size_t others;                      /* The first so many may be in use. */
  size_t next;                        /* Where the next of these is expected. */
  slots_slot *source[DERIVE_SOURCES]; /* NULL: it was never sent. */
  slots_slot *present[SLOTS_PARAMS];  /* Those whose `turn` is not 0. */
  slots_slot known[FCGI_PARAMS_KNOWN]; /* By the name's number. */
  slots_slot other[SLOTS_OTHERS];      /* The names without one. */
} slot_table;

/* What slots_update has done. */
enum {
  SLOTS_UPDATED,     /* The dict is that of the list. */
  SLOTS_DERIVE,      /* The same, but what is derived has to be made anew. */
  SLOTS_UNFIT = -1,  /* The list does not fit; the dict is spoilt. */
  SLOTS_FAILED = -2, /* There is an exception; the dict is spoilt. */
};

/* Make `dict`, which holds `base` and what the last call put in, that of
   `list`, whose names all differ. Every value is compared, so that nothing of
   the request before is left. */
int slots_update(slot_table *self, core_state *state, PyObject *base,
                 PyObject *dict, const slots_list *list);

/* Find what was sent of them by the request of the last call. */
void slots_sources(const slot_table *self, derive_sources *out);

/* Forget everything. */
void slots_clear(slot_table *self);

#endif
