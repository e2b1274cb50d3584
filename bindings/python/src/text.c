/* SPDX-License-Identifier: MIT */
#include "text.h"

enum {
  LEAST = 2,       /* Shorter strings are Python's own, which all share. */
  USUAL = 48,      /* Room in the smallest string. */
  MOST_REST = 512, /* Room in the largest that is kept without a text. */
};

static inline uint64_t copy_word(char *out, const char *data) {
  uint64_t word = text_word(data);
  memcpy(out, &word, sizeof word);
  return word;
}

/* Copy the bytes; 1 when all of them are ASCII. */
static int copy(char *out, const char *data, size_t len) {
  uint64_t bits = 0;
  if (len < TEXT_WORD) {
    for (size_t i = 0; i < len; i++)
      bits |= (unsigned char)(out[i] = data[i]);
  } else {
    for (size_t at = 0; at < len - TEXT_WORD; at += TEXT_WORD)
      bits |= copy_word(out + at, data + at);
    bits |= copy_word(out + len - TEXT_WORD, data + len - TEXT_WORD);
  }
  return (bits & 0x8080808080808080u) == 0;
}

/* Nobody has seen the string, or nobody is left who has: its length and its
   hash are not what anything else goes by. */
static int fill(text_cell *self, const char *data, size_t len) {
  PyASCIIObject *head = (PyASCIIObject *)self->string;
  if (!copy(self->data, data, len))
    return 0;
  self->data[len] = '\0';
  self->len = len;
  head->length = (Py_ssize_t)len;
  head->hash = -1;
  return 1;
}

/* An interned string, and one with a copy in another form that old Pythons
   keep in it, is found in ways that no count of references tells. */
static int is_own(const text_cell *self, Py_ssize_t refs) {
#ifdef Py_GIL_DISABLED
  (void)self;
  (void)refs;
  return 0; /* A count says nothing: it may change any time. */
#else
#if PY_VERSION_HEX < 0x030c0000
  if (((PyASCIIObject *)self->string)->wstr != NULL)
    return 0;
#endif
  return Py_REFCNT(self->string) == refs &&
         !PyUnicode_CHECK_INTERNED(self->string);
#endif
}

/* An application that keeps the string keeps what is left over, too. */
static int fits(const text_cell *self, size_t len) {
  enum { HEAD = sizeof(PyASCIIObject) };
  return len >= LEAST && len <= self->room &&
         self->room + HEAD <= 2 * (len + HEAD);
}

static int hold(text_cell *self, PyObject *string, size_t len, size_t room) {
  PyObject *old = self->string;
  if (string == NULL)
    return -1;
  *self = (text_cell){string, (char *)PyUnicode_1BYTE_DATA(string), len, room};
  Py_XDECREF(old);
  return 0;
}

static int make(text_cell *self, const char *data, size_t len) {
  size_t room = len < USUAL ? USUAL : len;
  if (hold(self, PyUnicode_New((Py_ssize_t)room, 127), len, room) < 0)
    return -1;
  return fill(self, data, len) ? 0 : 1;
}

int text_set(text_cell *self, Py_ssize_t refs, const char *data, size_t len) {
  if (fits(self, len) && is_own(self, refs) && fill(self, data, len))
    return 1;
  int rc = len < LEAST ? 1 : make(self, data, len);
  if (rc > 0)
    rc =
        hold(self, PyUnicode_DecodeLatin1(data, (Py_ssize_t)len, NULL), len, 0);
  return rc;
}

void text_rest(text_cell *self) {
  if (self->room == 0 || self->room > MOST_REST || !is_own(self, 1)) {
    text_clear(self);
    return;
  }
  memset(self->data, 0, self->len);
  self->len = TEXT_NONE;
}

void text_clear(text_cell *self) {
  PyObject *string = self->string;
  *self = (text_cell){NULL, NULL, TEXT_NONE, 0};
  Py_XDECREF(string);
}
