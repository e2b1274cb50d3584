/* SPDX-License-Identifier: MIT */
/* How the texts of options are read and written. */
#include "base/alloc.h"
#include "base/number.h"
#include "options/cpus.h"
#include "options/table.h"
#include "os/users.h"
#include <fastcgi/error.h>
#include <fastcgi/shared.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Milliseconds of a text with perhaps a unit. */
static int parse_seconds(const char *text, int64_t most, int64_t *out) {
  static const char units[] = "smhd";
  static const uint64_t factors[] = {1, 60, 3600, 86400};
  char digits[48];
  size_t len = strlen(text);
  const char *unit = len > 0 ? strchr(units, text[len - 1]) : NULL;
  uint64_t ms, factor = unit ? factors[unit - units] : 1;
  len -= unit ? 1 : 0;
  if (len >= sizeof digits)
    return -1;
  memcpy(digits, text, len);
  digits[len] = '\0';
  if (fcgi__number_seconds(digits, (uint64_t)most / factor, &ms))
    return -1;
  *out = (int64_t)(ms * factor);
  return 0;
}

static int parse_octal(const char *text, int64_t *out) {
  size_t len = strspn(text, "01234567");
  unsigned mode = 0;
  if (len == 0 || len > 6 || text[len])
    return -1;
  for (; *text; text++)
    mode = mode << 3 | (unsigned)(*text - '0');
  *out = mode;
  return 0;
}

static int parse_flag(const char *text, int64_t *out) {
  static const char *const words[] = {"0",  "1",   "false", "true",
                                      "no", "yes", "off",   "on"};
  for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
    if (strcasecmp(text, words[i]) == 0) {
      *out = i % 2;
      return 0;
    }
  return -1;
}

/* Word `index` of a list with ", " between: its length, 0 past the last. */
static size_t word_at(const char *words, int64_t index, const char **word) {
  for (; index > 0 && *words; index--) {
    words += strcspn(words, ",");
    words += strspn(words, ", ");
  }
  *word = words;
  return strcspn(words, ",");
}

static int parse_choice(const char *words, const char *text, int64_t *out) {
  const char *word;
  size_t len;
  for (int64_t i = 0; (len = word_at(words, i, &word)) > 0; i++)
    if (strlen(text) == len && memcmp(text, word, len) == 0) {
      *out = i;
      return 0;
    }
  return -1;
}

static int parse_processes(const char *text, int64_t most, int64_t *out) {
  int64_t count = fcgi__cpus("");
  if (strcmp(text, "auto") != 0)
    return fcgi__number_parse(text, 0, (uint64_t)most, (uint64_t *)out);
  *out = count < most ? count : most;
  return 0;
}

static int parse_users(const char *text) {
  const fcgi_allocator allocator = fcgi__allocator(&(fcgi_allocator){0});
  fcgi__users users;
  char why[128];
  int error = fcgi__users_parse(&users, &allocator, text, why, sizeof why);
  if (!error)
    fcgi__users_clear(&users, &allocator);
  return error;
}

static int parse_named_size(const char *text) {
  char name[FCGI_SHARED_NAME];
  uint64_t size;
  return fcgi__number_named(text, name, sizeof name, FCGI_SHARED_LEAST,
                            FCGI_SHARED_MOST, &size);
}

/* Texts are as long as they are; a path of URLs has its room in a server. */
static int parse_text(const fcgi_option *option, const char *text) {
  if (!*text)
    return option->may_be_empty ? 0 : -1;
  if (option->kind == FCGI_OPTION_PATH)
    return *text == '/' && strlen(text) < FCGI__OPTION_PATH ? 0 : -1;
  if (option->kind == FCGI_OPTION_NAMED_SIZE)
    return parse_named_size(text);
  return option->kind == FCGI_OPTION_USERS ? parse_users(text) : 0;
}

static int parse_bytes(const fcgi_option *option, const char *text,
                       int64_t *out) {
  if (strcmp(text, "0") != 0)
    return fcgi__number_bytes(text, (uint64_t)option->most, (uint64_t *)out);
  *out = 0;
  return option->may_be_none || option->least == 0 ? 0 : -1;
}

static int parse_number(const fcgi_option *option, const char *text,
                        int64_t *out) {
  uint64_t most = (uint64_t)option->most;
  switch (option->kind) {
  case FCGI_OPTION_FLAG:
    return parse_flag(text, out);
  case FCGI_OPTION_COUNT:
    return fcgi__number_parse(text, 0, most, (uint64_t *)out);
  case FCGI_OPTION_PROCESSES:
    return parse_processes(text, option->most, out);
  case FCGI_OPTION_BYTES:
    return parse_bytes(option, text, out);
  case FCGI_OPTION_SECONDS:
    return parse_seconds(text, option->most, out);
  case FCGI_OPTION_MODE:
    return parse_octal(text, out);
  case FCGI_OPTION_CHOICE:
    return parse_choice(option->words, text, out);
  default:
    *out = 0;
    return parse_text(option, text);
  }
}

int fcgi__option_fits(const fcgi_option *option, int64_t number) {
  const char *word;
  if (number == -1)
    return option->may_be_none;
  if (number >= 0 && option->kind == FCGI_OPTION_CHOICE)
    return word_at(option->words, number, &word) > 0;
  return number >= option->least && number <= option->most;
}

int fcgi_option_parse(const fcgi_option *option, const char *text,
                      int64_t *number) {
  int64_t out = 0;
  if (option->by_word && strcmp(text, "never") == 0)
    out = -1;
  else if (parse_number(option, text, &out))
    return FCGI_ERR_INVALID;
  else if (out == 0 && option->least > 0 && option->may_be_none &&
           !option->by_word)
    out = -1;
  if (option->most > 0 && !fcgi__option_fits(option, out))
    return FCGI_ERR_INVALID;
  *number = out;
  return 0;
}

int64_t fcgi__option_least(const fcgi_option *option, fcgi_launcher launcher) {
  const fcgi__option_row *row = fcgi__option_row_at(fcgi__option_index(option));
  return launcher == FCGI_LAUNCHER_RUN && row->run_least ? row->run_least
                                                         : option->least;
}

void fcgi__option_tame(char *text) {
  for (; *text; text++)
    if ((unsigned char)*text < ' ' || *text == 127)
      *text = '?';
}

const char *fcgi__option_wanted_by(const fcgi_option *option,
                                   fcgi_launcher launcher, char *out,
                                   size_t len) {
  fcgi_option here = *option;
  here.least = fcgi__option_least(option, launcher);
  return fcgi_option_wanted(&here, out, len);
}

void fcgi__option_complain(const fcgi_option *option, fcgi_launcher launcher,
                           const char *name, const char *text, char *out,
                           size_t len) {
  char wanted[160];
  snprintf(out, len, "%s=%.64s: must be %s", name, text,
           fcgi__option_wanted_by(option, launcher, wanted, sizeof wanted));
  fcgi__option_tame(out);
}

static void write_word(const char *words, int64_t index, char *out) {
  const char *word;
  size_t len = word_at(words, index, &word);
  snprintf(out, FCGI__OPTION_NUMBER, "%.*s", (int)len, word);
}

void fcgi__option_write(const fcgi_option *option, int64_t number, char *out) {
  const size_t len = FCGI__OPTION_NUMBER;
  if (number == -1)
    snprintf(out, len, "%s", option->by_word ? "never" : "0");
  else if (option->kind == FCGI_OPTION_FLAG)
    snprintf(out, len, "%s", number ? "true" : "false");
  else if (option->kind == FCGI_OPTION_MODE)
    snprintf(out, len, "%03" PRIo64, (uint64_t)number);
  else if (option->kind == FCGI_OPTION_CHOICE)
    write_word(option->words, number, out);
  else if (option->kind != FCGI_OPTION_SECONDS)
    snprintf(out, len, "%" PRId64, number);
  else if (number % 1000)
    snprintf(out, len, "%" PRId64 ".%03" PRId64, number / 1000, number % 1000);
  else
    snprintf(out, len, "%" PRId64, number / 1000);
}
