/* SPDX-License-Identifier: MIT */
#include "number.h"
#include "tool.h"
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

int tool_decimal(const char *text, double least, double most, double *out) {
  size_t len = length(text);
  double number;
  if (len == 0 || text[len])
    return -1;
  number = strtod(text, NULL);
  if (!(number >= least && number <= most))
    return -1;
  *out = number;
  return 0;
}

int tool_value(const char *command, const fcgi_option *option, const char *text,
               int64_t *out) {
  char wanted[160];
  if (fcgi_option_parse(option, text, out) == 0)
    return 0;
  return tool_complain(TOOL_USAGE, "%s: --%s=%s: must be %s", command,
                       option->name, text,
                       fcgi_option_wanted(option, wanted, sizeof wanted));
}

int tool_seconds(const char *command, const fcgi_option *option,
                 const char *text, double *out) {
  int64_t ms = 0;
  int status = tool_value(command, option, text, &ms);
  if (!status)
    *out = (double)ms / 1000;
  return status;
}
