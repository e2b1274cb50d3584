/* SPDX-License-Identifier: MIT */
#include "bytes.h"
#include "broken.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_free(bytes *b) {
  free(b->data);
  *b = (bytes){.len = 0};
}

void bytes_add(bytes *b, const void *data, size_t len) {
  if (b->len + len + 1 > b->cap) {
    uint8_t *grown = realloc(b->data, (b->len + len + 1) * 2);
    if (!grown)
      spec_broken("out of memory");
    b->data = grown;
    b->cap = (b->len + len + 1) * 2;
  }
  if (len > 0)
    memcpy(b->data + b->len, data, len);
  b->len += len;
  b->data[b->len] = '\0';
}

void bytes_text(bytes *b, const char *text) {
  bytes_add(b, text, strlen(text));
}

void bytes_format(bytes *b, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  bytes_text(b, text);
}

static void add_printable(bytes *b, uint8_t byte) {
  if (byte == '\r' || byte == '\n')
    bytes_text(b, byte == '\r' ? "\\r" : "\\n");
  else if (byte == '"' || byte == '\\')
    bytes_format(b, "\\%c", byte);
  else if (byte < 0x20 || byte > 0x7e)
    bytes_format(b, "\\x%02x", byte);
  else
    bytes_add(b, &byte, 1);
}

void bytes_quoted(bytes *b, const void *data, size_t len, size_t most) {
  const uint8_t *at = data;
  bytes_text(b, "\"");
  for (size_t i = 0; i < len && i < most; i++)
    add_printable(b, at[i]);
  bytes_text(b, "\"");
  if (len > most)
    bytes_format(b, "... (%zu bytes)", len);
}

const char *bytes_string(const bytes *b) {
  return b->data ? (const char *)b->data : "";
}
