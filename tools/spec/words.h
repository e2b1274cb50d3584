/* SPDX-License-Identifier: MIT */
/* The words of a line of a case; tests/conformance/README.md describes the
   language. What is malformed ends in spec_broken. */
#ifndef FCGI_SPEC_WORDS_H
#define FCGI_SPEC_WORDS_H

#include "bytes.h"

enum { WORDS_MOST = 64 };

/* Zero-initialised is empty; words_free it. */
typedef struct words {
  bytes text;                /* All words, a NUL after each. */
  size_t start[WORDS_MOST];  /* Offset of the first byte of each word. */
  size_t length[WORDS_MOST]; /* How long each is, its NUL not counted. */
  size_t count;              /* Number of words. */
} words;

/* Take `line` apart. */
void words_split(words *w, const char *line);
void words_free(words *w);

/* Word `index`, or "" when there is none. */
const char *words_at(const words *w, size_t index);
/* 1 when word `index` is `text`. */
int words_is(const words *w, size_t index, const char *text);
/* Word `index` as a number, decimal or with 0x. */
unsigned long words_number(const words *w, size_t index);
/* Take word `index` out. */
void words_remove(words *w, size_t index);
/* Append the words from `index` on to `out`, nothing between them. */
void words_join(const words *w, size_t index, bytes *out);

/* Call `use` for `line`, or, where it is "times N REST", N times for REST
   with each "$n" replaced by 1 to N. */
void words_times(const char *line, void (*use)(const char *line, void *data),
                 void *data);

#endif
