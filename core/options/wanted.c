/* SPDX-License-Identifier: MIT */
/* What a value has to be, for whoever has given another: its unit, its range,
   examples that lie in the range, and what stands for none. */
#include "options/table.h"
#include <fastcgi/shared.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A limit that nobody reaches is not told. */
#define MOST_TOLD INT64_C(1000000000000000)

/* How numbers are spoken of where a text is given, and in a language. */
typedef struct tongue {
  const char *count;   /* A whole number. */
  const char *bytes;   /* A size. */
  const char *seconds; /* A time. */
  const char *mode;    /* Bits of a mode. */
  const char *before;  /* What is before the digits of a mode, */
  const char *behind;  /* and behind them. */
  const char *quote;   /* What is around a word. */
  const char *none;    /* What says "none" for a number. */
  const char *forever; /* What says so for a time. */
  const char *text;    /* A text. */
  const char *flag;    /* Yes or no. */
  int units;           /* 1: a number may have a unit. */
  int in_ms;           /* 1: a time is in milliseconds. */
} tongue;

enum { FIELDS = FCGI_LAUNCHER_RUN + 1, TONGUES };

static const tongue tongues[TONGUES] = {
    [FCGI_LAUNCHER_PYTHON] = {"an int", "a number of bytes as an int",
                              "a number of seconds", "an int", "0o", "", "'",
                              "None or 0", "None or 0",
                              "a str that is not empty", "True or False", 0, 0},
    [FCGI_LAUNCHER_LUA] = {"an integer", "a number of bytes as an integer",
                           "a number of seconds", "octal digits in a string",
                           "\"", "\"", "\"", "0", "math.huge or 0",
                           "a string that is not empty", "true or false", 0, 0},
    [FCGI_LAUNCHER_RUN] = {"a whole number", "a size", "a time",
                           "an octal mode", "", "", "", "0", "0",
                           "a text that is not empty", "true or false", 1, 0},
    [FIELDS] = {"a number", "a number of bytes", "a number of milliseconds",
                "a mode", "0", "", "", "-1", "-1", "a text that is not empty",
                "1 or -1", 0, 1}};

/* The text so far. */
typedef struct line {
  char *out;  /* Its room. */
  size_t len; /* Bytes of it. */
  size_t at;  /* Bytes in use. */
} line;

__attribute__((format(printf, 2, 3))) static void add(line *l,
                                                      const char *format, ...) {
  va_list arguments;
  int made;
  va_start(arguments, format);
  made = vsnprintf(l->out + l->at, l->len - l->at, format, arguments);
  va_end(arguments);
  l->at += made > 0 ? (size_t)made : 0;
  if (l->at >= l->len)
    l->at = l->len - 1;
}

static void add_bytes(line *l, int64_t bytes, int units) {
  static const char letters[] = "KMG";
  size_t at = 0;
  for (; units && at < 3 && bytes > 0 && bytes % 1024 == 0; at++)
    bytes /= 1024;
  add(l, "%" PRId64, bytes);
  if (at > 0)
    add(l, "%c", letters[at - 1]);
}

static void add_seconds(line *l, int64_t ms, const tongue *t) {
  add(l, "%" PRId64, t->in_ms ? ms : ms / 1000);
  if (!t->in_ms && ms % 1000)
    add(l, ".%03d", (int)(ms % 1000));
  add(l, "%s", t->units ? "s" : "");
}

/* One number as it would be given. */
static void add_number(line *l, const fcgi_option *option, const tongue *t,
                       int64_t number) {
  if (option->kind == FCGI_OPTION_BYTES)
    add_bytes(l, number, t->units);
  else if (option->kind == FCGI_OPTION_SECONDS)
    add_seconds(l, number, t);
  else if (option->kind != FCGI_OPTION_MODE)
    add(l, "%" PRId64, number);
  else
    add(l, "%s%03" PRIo64 "%s", t->before, (uint64_t)number, t->behind);
}

/* What is more than no time is rounded up to a millisecond. */
static void add_range(line *l, const fcgi_option *option, const tongue *t) {
  int told = option->most <= MOST_TOLD;
  if (option->kind == FCGI_OPTION_SECONDS && option->least <= 1 && !t->in_ms) {
    add(l, " above 0%s", told ? " up to " : "");
  } else {
    add(l, " from ");
    add_number(l, option, t, option->least);
    add(l, told ? " to " : " up");
  }
  if (told)
    add_number(l, option, t, option->most);
}

/* Those of the usual examples that the option takes. */
static void add_examples(line *l, const fcgi_option *option, const tongue *t) {
  static const char *const sizes[] = {"4096", "64K", "4M", "1G", NULL};
  static const char *const times[] = {"30", "0.5s", "5m", NULL};
  const char *const modes[] = {option->example ? option->example : "660", NULL};
  const char *const *texts = option->kind == FCGI_OPTION_BYTES     ? sizes
                             : option->kind == FCGI_OPTION_SECONDS ? times
                             : option->kind == FCGI_OPTION_MODE    ? modes
                                                                   : NULL;
  const char *before = " (such as ";
  int64_t number;
  if (!texts || (!t->units && option->kind != FCGI_OPTION_MODE))
    return;
  for (; *texts; texts++)
    if (fcgi_option_parse(option, *texts, &number) == 0) {
      add(l, "%s", before);
      if (option->kind == FCGI_OPTION_MODE)
        add_number(l, option, t, number);
      else
        add(l, "%s", *texts);
      before = ", ";
    }
  if (*before == ',')
    add(l, ")");
}

/* What is no number of the range. */
static void add_others(line *l, const fcgi_option *option, const tongue *t) {
  if (option->kind == FCGI_OPTION_PROCESSES)
    add(l, ", or %sauto%s", t->quote, t->quote);
  if (option->by_word)
    add(l, ", or %snever%s", t->quote, t->quote);
  else if (option->none)
    add(l, ", or %s for %s",
        option->kind == FCGI_OPTION_SECONDS ? t->forever : t->none,
        option->none);
}

static void add_words(line *l, const char *words, const tongue *t) {
  const char *before = "one of ";
  while (*words) {
    size_t len = strcspn(words, ",");
    add(l, "%s%s%.*s%s", before, t->quote, (int)len, words, t->quote);
    words += len;
    words += strspn(words, ", ");
    before = ", ";
  }
}

/* The unit and the range of a kind that has numbers. */
static void add_numbers(line *l, const fcgi_option *option, const tongue *t) {
  const char *unit = option->kind == FCGI_OPTION_BYTES     ? t->bytes
                     : option->kind == FCGI_OPTION_SECONDS ? t->seconds
                     : option->kind == FCGI_OPTION_MODE    ? t->mode
                                                           : t->count;
  add(l, "%s", unit);
  add_range(l, option, t);
  add_examples(l, option, t);
  add_others(l, option, t);
}

static const char *tell(const fcgi_option *option, const tongue *t, char *out,
                        size_t len) {
  line l = {out, len, 0};
  if (option->kind == FCGI_OPTION_TEXT)
    add(&l, "%s", t->text);
  else if (option->kind == FCGI_OPTION_PATH)
    add(&l, "a path that begins with /, below %d bytes", FCGI__OPTION_PATH);
  else if (option->kind == FCGI_OPTION_USERS)
    add(&l, "users of this machine, by name or number up to 4294967294, with "
            "commas between");
  else if (option->kind == FCGI_OPTION_NAMED_SIZE)
    add(&l,
        "NAME=SIZE, a name of up to %d letters, digits, _, - and ., and a "
        "size from 64K to 256G, such as cache=16M",
        FCGI_SHARED_NAME - 1);
  else if (option->kind == FCGI_OPTION_FLAG)
    add(&l, "%s", t->flag);
  else if (option->kind == FCGI_OPTION_CHOICE)
    add_words(&l, option->words, t);
  else
    add_numbers(&l, option, t);
  return out;
}

const char *fcgi_option_wanted_in(const fcgi_option *option,
                                  fcgi_launcher launcher, char *out,
                                  size_t len) {
  return tell(option, &tongues[launcher], out, len);
}

const char *fcgi__option_wanted_field(const fcgi_option *option, char *out,
                                      size_t len) {
  return tell(option, &tongues[FIELDS], out, len);
}

const char *fcgi_option_wanted(const fcgi_option *option, char *out,
                               size_t len) {
  return fcgi_option_wanted_in(option, FCGI_LAUNCHER_RUN, out, len);
}
