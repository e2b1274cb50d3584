/* SPDX-License-Identifier: MIT */
/* Growable bytes. */
#ifndef FCGI_SPEC_BYTES_H
#define FCGI_SPEC_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty; bytes_free it. */
typedef struct bytes {
  uint8_t *data; /* The bytes, and a NUL after the last one added. */
  size_t len;    /* How many, without that NUL. */
  size_t cap;    /* How many there is room for. */
} bytes;

void bytes_free(bytes *b);

/* Append `len` bytes; out of memory ends the program. */
void bytes_add(bytes *b, const void *data, size_t len);

/* Append a text, or one that is formatted. */
void bytes_text(bytes *b, const char *text);
__attribute__((format(printf, 2, 3))) void
bytes_format(bytes *b, const char *format, ...);

/* Append bytes for a person: at most `most` of them, in double quotes, what
   does not print as \xHH, and how many there are when not all are shown. */
void bytes_quoted(bytes *b, const void *data, size_t len, size_t most);

/* The bytes as a string, "" when there are none. */
const char *bytes_string(const bytes *b);

#endif
