/* SPDX-License-Identifier: MIT */
#include "observe/logtext.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
  TAIL = 4,       /* "...\n". */
  MOST_ESCAPE = 8 /* Of one character. */
};

static size_t room(const fcgi__log_text *line) {
  return line->cut ? 0 : FCGI__LOG_LINE - TAIL - line->len;
}

void fcgi__log_put(fcgi__log_text *line, const char *data, size_t len) {
  size_t part = len < room(line) ? len : room(line);
  memcpy(line->data + line->len, data, part);
  line->len += part;
  line->cut |= part < len;
}

void fcgi__log_print(fcgi__log_text *line, const char *format, ...) {
  char text[256];
  va_list arguments;
  int len;
  va_start(arguments, format);
  len = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (len > 0)
    fcgi__log_put(line, text,
                  (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

/* How many bytes the character at `at` has by its first one (RFC 3629): 0 for
   one that cannot begin a character. */
static size_t length_of(uint8_t first) {
  if (first < 0x80)
    return 1;
  if (first >= 0xC2 && first < 0xE0)
    return 2;
  if (first >= 0xE0 && first < 0xF0)
    return 3;
  return first >= 0xF0 && first < 0xF5 ? 4 : 0;
}

/* The second byte rules out long forms, surrogates, what is above U+10FFFF, and
   the control characters from U+0080 to U+009F. */
static int is_second(uint8_t first, uint8_t second) {
  static const struct {
    uint8_t first, least, most;
  } narrow[] = {{0xC2, 0xA0, 0xBF},
                {0xE0, 0xA0, 0xBF},
                {0xED, 0x80, 0x9F},
                {0xF0, 0x90, 0xBF},
                {0xF4, 0x80, 0x8F}};
  for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++)
    if (narrow[i].first == first)
      return second >= narrow[i].least && second <= narrow[i].most;
  return second >= 0x80 && second <= 0xBF;
}

/* Bytes of the character at `at` if it can be shown as it is, else 0. */
static size_t shown(const uint8_t *at, size_t len) {
  size_t wanted = length_of(*at);
  if (wanted == 1)
    return *at >= ' ' && *at < 0x7F && *at != '"' && *at != '\\';
  if (wanted == 0 || wanted > len || !is_second(at[0], at[1]))
    return 0;
  for (size_t i = 2; i < wanted; i++)
    if (at[i] < 0x80 || at[i] > 0xBF)
      return 0;
  return wanted;
}

/* In JSON what is ASCII has escapes of its own; other bytes are no characters,
   and stand as the text \xHH. */
static size_t escape(uint8_t byte, fcgi__log_style style,
                     char out[MOST_ESCAPE]) {
  int len;
  if (style == FCGI__LOG_PLAIN)
    len = snprintf(out, MOST_ESCAPE, "\\x%02x", byte);
  else if (byte == '"' || byte == '\\')
    len = snprintf(out, MOST_ESCAPE, "\\%c", byte);
  else if (byte < 0x80)
    len = snprintf(out, MOST_ESCAPE, "\\u%04x", byte);
  else
    len = snprintf(out, MOST_ESCAPE, "\\\\x%02x", byte);
  return (size_t)len;
}

void fcgi__log_escape(fcgi__log_text *line, const char *data, size_t len,
                      fcgi__log_style style, size_t most) {
  const uint8_t *at = (const uint8_t *)data, *end = at + len;
  size_t used = 0;
  while (at < end) {
    char escaped[MOST_ESCAPE];
    size_t as_is = shown(at, (size_t)(end - at));
    size_t part = as_is ? as_is : escape(*at, style, escaped);
    if (used + part > most) {
      fcgi__log_put(line, "...", 3);
      return;
    }
    if (part > room(line)) {
      line->cut = 1;
      return;
    }
    fcgi__log_put(line, as_is ? (const char *)at : escaped, part);
    used += part;
    at += as_is ? as_is : 1;
  }
}

void fcgi__log_finish(fcgi__log_text *line) {
  const char *tail = line->cut ? "...\n" : "\n";
  size_t len = strlen(tail);
  memcpy(line->data + line->len, tail, len);
  line->len += len;
}
