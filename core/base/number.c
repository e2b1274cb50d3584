/* SPDX-License-Identifier: MIT */
#include "base/number.h"
#include <limits.h>
#include <string.h>

static int is_digit(char c) {
  return c >= '0' && c <= '9';
}

int fcgi__number_is(const char *text) {
  const char *at = text;
  while (is_digit(*at))
    at++;
  return at > text && *at == '\0';
}

/* The digits at `*at`, which is moved behind them: 0, or -1 when there are none
   or the number is above `most`. */
static int take(const char **at, uint64_t most, uint64_t *out) {
  uint64_t number = 0;
  if (!is_digit(**at))
    return -1;
  for (; is_digit(**at); ++*at) {
    unsigned digit = (unsigned)(**at - '0');
    if (digit > most || number > (most - digit) / 10)
      return -1;
    number = number * 10 + digit;
  }
  *out = number;
  return 0;
}

int fcgi__number_parse(const char *text, uint64_t least, uint64_t most,
                       uint64_t *out) {
  uint64_t number;
  if (take(&text, most, &number) < 0 || *text || number < least)
    return -1;
  *out = number;
  return 0;
}

int fcgi__number_list(const char *text, int *out, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    uint64_t number;
    if (take(&text, INT_MAX, &number) < 0 ||
        *text++ != (i + 1 < count ? ':' : '\0'))
      return -1;
    out[i] = (int)number;
  }
  return 0;
}

/* Three digits behind the point count; more are read. */
int fcgi__number_seconds(const char *text, uint64_t most, uint64_t *ms) {
  uint64_t whole, part = 0;
  int more = 0;
  if (take(&text, most / 1000, &whole) < 0)
    return -1;
  if (*text == '.') {
    if (!is_digit(*++text))
      return -1;
    for (unsigned weight = 100; is_digit(*text); text++, weight /= 10) {
      part += (unsigned)(*text - '0') * weight;
      more |= *text != '0';
    }
  }
  if (*text || whole * 1000 + part > most)
    return -1;
  *ms = whole * 1000 + part + (whole == 0 && part == 0 && more);
  return 0;
}

int fcgi__number_bytes(const char *text, uint64_t most, uint64_t *out) {
  static const char units[] = {'K', 'M', 'G'};
  uint64_t number;
  unsigned shift = 0;
  if (take(&text, most, &number) < 0)
    return -1;
  for (unsigned i = 0; i < sizeof units && shift == 0; i++)
    if (*text == units[i])
      shift = 10 * (i + 1);
  text += shift > 0;
  if (*text || number == 0 || number > most >> shift)
    return -1;
  *out = number << shift;
  return 0;
}

static int is_of_name(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         c == '_' || c == '-' || c == '.';
}

int fcgi__name_is(const char *text, size_t room) {
  size_t len = 0;
  while (is_of_name(text[len]))
    len++;
  return len > 0 && len < room && text[len] == '\0';
}

int fcgi__number_named(const char *text, char *name, size_t room,
                       uint64_t least, uint64_t most, uint64_t *out) {
  uint64_t number;
  size_t len = 0;
  while (is_of_name(text[len]))
    len++;
  if (len == 0 || len >= room || text[len] != '=' ||
      fcgi__number_bytes(text + len + 1, most, &number) || number < least)
    return -1;
  memcpy(name, text, len);
  name[len] = '\0';
  *out = number;
  return 0;
}
