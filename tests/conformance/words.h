/* SPDX-License-Identifier: MIT */
/* The words of a line of a case file; README.md describes the language. */
#ifndef CONFORMANCE_WORDS_H
#define CONFORMANCE_WORDS_H

#include "support/records.h"

enum { WORDS_MOST = 64 };

/* Zero-initialised is empty; words_free it. */
typedef struct words {
  records bytes;             /* All words, a NUL after each. */
  size_t start[WORDS_MOST];  /* Where each begins. */
  size_t length[WORDS_MOST]; /* How long each is, its NUL not counted. */
  size_t count;              /* How many. */
} words;

/* Take `line` apart. Fails the test when it is malformed. */
void words_split(words *w, const char *line);
void words_free(words *w);

/* Word `index`, or "" when there is none. */
const char *words_at(const words *w, size_t index);
/* 1 when word `index` is `text`. */
int words_is(const words *w, size_t index, const char *text);
/* Word `index` as a number, decimal or with 0x. Fails the test otherwise. */
unsigned long words_number(const words *w, size_t index);
/* Take word `index` out. */
void words_remove(words *w, size_t index);
/* Append the words from `index` on to `out`, nothing between them. */
void words_join(const words *w, size_t index, records *out);

/* Call `use` for `line`, or, where it is "times N REST", N times for REST
   with each "$n" replaced by 1 to N. */
void words_times(const char *line, void (*use)(const char *line, void *data),
                 void *data);

#endif
