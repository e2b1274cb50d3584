/* SPDX-License-Identifier: MIT */
/* The parameters of a thread's previous request as Python strings, found by
   name. What the next request sends again is neither decoded nor stored. */
#ifndef FASTCGI_PYTHON_SLOTS_H
#define FASTCGI_PYTHON_SLOTS_H

#include "derive.h"
#include "text.h"

#define SLOTS_PARAMS 96 /* Most parameters of a request that is kept. */
#define SLOTS_OTHERS 32 /* Most of these whose names have no number. */
#define SLOTS_ALL    (FCGI_PARAMS_KNOWN + SLOTS_OTHERS)
#define SLOTS_WORD   64 /* Slots in a word of a set. */
#define SLOTS_WORDS  ((SLOTS_ALL + SLOTS_WORD - 1) / SLOTS_WORD)

/* The parameters of one request, as the core lends them. */
typedef struct slots_list {
  size_t count;                /* Parameters, which may be more than fit. */
  fcgi_param at[SLOTS_PARAMS]; /* The first of them. */
  uint8_t known[SLOTS_PARAMS]; /* The numbers of their names, 0: none. */
} slots_list;

typedef struct slots_slot {
  text_cell value;      /* What was sent; no text where nothing was. */
  PyObject *name;       /* NULL: the slot is free. */
  signed char source;   /* Which derived keys read, or -1. */
  char has_default;     /* 1: the base has the name, too. */
  char is_hidden;       /* 1: the name is one of our own keys. */
  char is_ambiguous;    /* 1: the dict must be made without slots. */
  unsigned char streak; /* Requests in a row that have sent it, but for those
                           since it is in the dict. */
} slots_slot;

/* Some of the slots, a bit each. */
typedef struct slots_set {
  uint64_t word[SLOTS_WORDS]; /* By number. */
} slots_set;

typedef struct slot_table {
  slots_set sent;             /* Those of the last request. */
  slots_set kept;             /* Those of them that the dict has. */
  size_t added;               /* Keys put in, the owner sets it to 0. */
  size_t others;              /* The first so many may be in use. */
  size_t next;                /* Where the next of these is expected. */
  derive_sources sources;     /* What other keys are derived from. */
  unsigned changed;           /* Which of these differ from those before. */
  slots_slot slot[SLOTS_ALL]; /* By the name's number, and then those of names
                                 without one. */
} slot_table;

/* What slots_update has done. */
enum {
  SLOTS_UPDATED,     /* The dict is that of the list. */
  SLOTS_UNFIT = -1,  /* The list does not fit; the dict is spoilt. */
  SLOTS_FAILED = -2, /* There is an exception; the dict is spoilt. */
};

/* Make `dict`, which holds `base` and what the last call put in, that of
   `list`, whose names all differ, but for what comes and goes. Every value is
   compared, so that nothing of the request before is left. What is derived of
   those `changed` has to be made anew. */
int slots_update(slot_table *self, core_state *state, PyObject *base,
                 PyObject *dict, const slots_list *list);

/* How many come and go of those that the request has sent. */
size_t slots_loose(const slot_table *self);

/* Put what comes and goes into `copy`, a copy of `dict`; what has stayed for
   long goes into `dict`, too. 0, or -1 with an exception. */
int slots_complete(slot_table *self, PyObject *dict, PyObject *copy);

/* Forget everything. */
void slots_clear(slot_table *self);

#endif
