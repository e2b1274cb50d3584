/* SPDX-License-Identifier: MIT */
/* Options in TOML. */
#include "options/options.h"
#include "os/filename.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The parser is compiled in here, so that none of its names leave this file. */
#define TOML_EXTERN static
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wfloat-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wwrite-strings"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wundef"
#endif
#include "vendor/tomlc17/tomlc17.c"
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

enum { FILE_MOST = 1 << 20, FILE_STEP = 4096, PATH_LEN = 4096 };

/* What is being read. */
typedef struct source {
  fcgi_options *options; /* Where values go. */
  fcgi_origin origin;    /* What they get as theirs. */
  const char *path;      /* For people. */
} source;

static int refuse_type(const source *s, const char *key, const char *wanted) {
  return fcgi__options_refuse(s->options, "%.200s: %s: must be %s", s->path,
                              key, wanted);
}

static int refuse_mode(const source *s, const fcgi_option *option) {
  char wanted[64];
  snprintf(wanted, sizeof wanted, "a text, such as \"%s\"",
           option->example ? option->example : "660");
  return refuse_type(s, option->name, wanted);
}

/* Digits and no exponent, unless nobody would write so many. */
static void write_float(double number, char *out, size_t len) {
  snprintf(out, len, "%.15g", number);
  if (strstr(out, "e-"))
    snprintf(out, len, "%.40f", number);
  else if (strstr(out, "e+") && number < 1e30)
    snprintf(out, len, "%.0f", number);
}

/* A number as text: it is one for a person, and no base but ten is. */
static int take_number(const source *s, const fcgi_option *option,
                       const toml_datum_t *value) {
  char text[48], wanted[160];
  if (option->kind == FCGI_OPTION_MODE)
    return refuse_mode(s, option);
  if (value->type == TOML_INT64)
    snprintf(text, sizeof text, "%lld", (long long)value->u.int64);
  else if (value->type == TOML_FP64)
    write_float(value->u.fp64, text, sizeof text);
  else
    return refuse_type(s, option->name,
                       fcgi__option_wanted_by(option, s->options->launcher,
                                              wanted, sizeof wanted));
  return fcgi__options_take(s->options, s->origin, s->path, option, text);
}

static int take_scalar(const source *s, const fcgi_option *option,
                       const toml_datum_t *value) {
  if (option->kind == FCGI_OPTION_FLAG) {
    if (value->type != TOML_BOOLEAN)
      return refuse_type(s, option->name, "true or false");
    return fcgi__options_take(s->options, s->origin, s->path, option,
                              value->u.boolean ? "true" : "false");
  }
  if (value->type != TOML_STRING)
    return take_number(s, option, value);
  if (strlen(value->u.str.ptr) != (size_t)value->u.str.len)
    return refuse_type(s, option->name, "a text without NUL");
  return fcgi__options_take(s->options, s->origin, s->path, option,
                            value->u.str.ptr);
}

static int take_entry(const source *s, const char *key, size_t len,
                      const toml_datum_t *value) {
  const fcgi_option *option =
      strlen(key) == len ? fcgi__options_find(s->options, s->path, "", key)
                         : NULL;
  int error = 0;
  if (!option)
    return FCGI_ERR_INVALID;
  if (option->scope == FCGI_OPTION_FOR_COMMAND)
    return fcgi__options_refuse(
        s->options, "%.200s: there is no option '%s' in a file", s->path, key);
  if (value->type != TOML_ARRAY)
    return take_scalar(s, option, value);
  if (!option->repeatable)
    return refuse_type(s, key, "one value, not a list");
  for (int i = 0; i < value->u.arr.size && !error; i++)
    error = take_scalar(s, option, &value->u.arr.elem[i]);
  return error;
}

static int take_table(const source *s, const toml_datum_t *table) {
  int error = 0;
  for (int i = 0; i < table->u.tab.size && !error; i++)
    error = take_entry(s, table->u.tab.key[i], (size_t)table->u.tab.len[i],
                       &table->u.tab.value[i]);
  return error;
}

/* The table of that name, or the whole file for NULL. */
static int take_named(const source *s, const toml_datum_t *top,
                      const char *name) {
  toml_datum_t table = name ? toml_seek(*top, name) : *top;
  if (table.type == TOML_UNKNOWN)
    return 0;
  if (table.type != TOML_TABLE)
    return refuse_type(s, name, "a table");
  return take_table(s, &table);
}

int fcgi__options_take_toml(fcgi_options *options, fcgi_origin origin,
                            const char *where, const char *text, size_t len,
                            const char *table) {
  const source s = {options, origin, where};
  toml_result_t parsed;
  int error;
  if (table && !strstr(text, table))
    return 0;
  parsed = toml_parse(text, (int)len);
  error = parsed.ok ? take_named(&s, &parsed.toptab, table)
                    : fcgi__options_refuse(options, "%.200s: %s", where,
                                           parsed.errmsg);
  toml_free(parsed);
  return error;
}

static int refuse_file(const source *s, int problem) {
  fcgi__options_refuse(s->options, "%.300s: %s", s->path,
                       fcgi__filename_error(problem));
  return problem == EACCES ? FCGI_ERR_SYSTEM : FCGI_ERR_INVALID;
}

/* All of the file into `out`, with a NUL behind it. */
static int read_all(const source *s, FILE *file, fcgi__buffer *out) {
  size_t came = 1;
  errno = 0;
  while (came > 0 && out->len < FILE_MOST) {
    if (fcgi__buffer_reserve(out, &s->options->allocator, FILE_STEP))
      return FCGI_ERR_NOMEM;
    came = fread(out->data + out->len, 1, FILE_STEP - 1, file);
    out->len += came;
  }
  if (ferror(file))
    return refuse_file(s, errno);
  if (out->len >= FILE_MOST)
    return refuse_file(s, EFBIG);
  out->data[out->len] = '\0';
  return 0;
}

static int read_place(const source *s, const char *place, const char *table) {
  FILE *file = fopen(place, "re");
  fcgi__buffer text = {0};
  int error;
  if (!file)
    return table && errno == ENOENT ? 0 : refuse_file(s, errno);
  error = read_all(s, file, &text);
  fclose(file);
  if (!error)
    error = fcgi__options_take_toml(s->options, s->origin, s->path,
                                    (char *)text.data, text.len, table);
  fcgi__buffer_clear(&text, &s->options->allocator);
  return error;
}

/* Whoever reads it again may be in another directory by then. */
static int remember(fcgi_options *options, const char *directory,
                    const char *path, const char *table) {
  char here[PATH_MAX];
  if (*path != '/' && (!directory || *directory != '/'))
    directory = realpath(directory ? directory : ".", here);
  return fcgi__options_remember(options, FCGI__SOURCE_FILE, 3,
                                (const char *const[]){directory, path, table});
}

int fcgi_options_read_file(fcgi_options *options, const char *directory,
                           const char *path, const char *table) {
  const source s = {options, table ? FCGI_ORIGIN_PROJECT : FCGI_ORIGIN_FILE,
                    path};
  char place[PATH_LEN];
  int is_relative = directory && *path != '/', error;
  if (options->is_handed)
    return 0;
  if (snprintf(place, sizeof place, "%s%s%s", is_relative ? directory : "",
               is_relative ? "/" : "", path) >= (int)sizeof place)
    return refuse_file(&s, ENAMETOOLONG);
  error = read_place(&s, place, table);
  return error ? error : remember(options, directory, path, table);
}
