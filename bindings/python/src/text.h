/* SPDX-License-Identifier: MIT */
/* A string that takes another text in place once nobody else refers to it:
   making a new one costs ten times as much. */
#ifndef FASTCGI_PYTHON_TEXT_H
#define FASTCGI_PYTHON_TEXT_H

#include "compat.h"

/* No text is as long: a string that holds none has this length. */
#define TEXT_NONE SIZE_MAX

typedef struct text_cell {
  PyObject *string; /* NULL: there is none. */
  char *data;       /* Its characters, one byte each. */
  size_t len;       /* How many, or TEXT_NONE. */
  size_t room;      /* Bytes that fit in place; 0: none do. */
} text_cell;

/* Hold a string with these Latin-1 characters: 1 when it is the same object as
   before, 0 when it is another one, -1 with an exception. It is the same if
   the only references are the `refs` of the caller's, this one included, the
   text fits, and no half of the memory is left over. */
int text_set(text_cell *self, Py_ssize_t refs, const char *data, size_t len);

/* Forget the text of a string that only the caller refers to. It keeps a small
   one for another text. */
void text_rest(text_cell *self);

/* Let go of the string. */
void text_clear(text_cell *self);

enum { TEXT_WORD = sizeof(uint64_t) };

static inline uint64_t text_word(const char *data) {
  uint64_t word;
  memcpy(&word, data, sizeof word);
  return word;
}

static inline uint32_t text_half(const char *data) {
  uint32_t half;
  memcpy(&half, data, sizeof half);
  return half;
}

/* Less than a word: two halves that may overlap, or at most three bytes. */
static inline int text_is_short(const char *a, const char *b, size_t len) {
  if (len >= TEXT_WORD / 2)
    return text_half(a) == text_half(b) &&
           text_half(a + len - TEXT_WORD / 2) ==
               text_half(b + len - TEXT_WORD / 2);
  return len == 0 ||
         (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
}

/* 1 when it holds exactly these bytes. Values are short: a call of memcmp costs
   more than what it compares. */
static inline int text_is(const text_cell *self, const char *data, size_t len) {
  const char *own = self->data;
  if (self->len != len)
    return 0;
  if (len < TEXT_WORD)
    return text_is_short(own, data, len);
  for (; len > 2 * TEXT_WORD; len -= 2 * TEXT_WORD) {
    if ((text_word(own) ^ text_word(data)) |
        (text_word(own + TEXT_WORD) ^ text_word(data + TEXT_WORD)))
      return 0;
    own += 2 * TEXT_WORD;
    data += 2 * TEXT_WORD;
  }
  if (len > TEXT_WORD && text_word(own) != text_word(data))
    return 0;
  /* The last word overlaps the one before. */
  return text_word(own + len - TEXT_WORD) == text_word(data + len - TEXT_WORD);
}

#endif
