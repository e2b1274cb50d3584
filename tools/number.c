/* SPDX-License-Identifier: MIT */
#include "number.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "0123456789";

int tool_number(const char *text, long long least, long long most,
                long long *out) {
  long long number = 0;
  size_t len = strspn(text, digits);
  if (len == 0 || text[len])
    return -1;
  for (; *text; text++) {
    if (number > (LLONG_MAX - (*text - '0')) / 10)
      return -1;
    number = number * 10 + (*text - '0');
  }
  if (number < least || number > most)
    return -1;
  *out = number;
  return 0;
}

/* The bytes of the number at the start of `text`; 0: there is none. */
static size_t length(const char *text) {
  size_t len = strspn(text, digits), more;
  if (len == 0 || text[len] != '.')
    return len;
  more = strspn(text + len + 1, digits);
  return more ? len + 1 + more : 0;
}

int tool_decimal_unit(const char *text, const char *units,
                      const double *factors, double least, double most,
                      double *out) {
  size_t len = length(text);
  const char *end = text + len, *unit = *end ? strchr(units, *end) : NULL;
  double number;
  if (len == 0 || (*end && (!unit || end[1])))
    return -1;
  number = strtod(text, NULL) * (unit ? factors[unit - units] : 1);
  if (!(number >= least && number <= most))
    return -1;
  *out = number;
  return 0;
}

int tool_decimal(const char *text, double least, double most, double *out) {
  return tool_decimal_unit(text, "", NULL, least, most, out);
}
