/* SPDX-License-Identifier: MIT */
#include "options/options.h"
#include <fastcgi/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BELOW_FILES = 1 }; /* The rank of what is below all files. */

/* A file that somebody names wins over one that lies there. */
static unsigned rank_of(fcgi_origin origin) {
  return origin == FCGI_ORIGIN_FILE      ? BELOW_FILES + FCGI_ORIGIN_PROJECT
         : origin == FCGI_ORIGIN_PROJECT ? BELOW_FILES + FCGI_ORIGIN_FILE
                                         : BELOW_FILES + origin;
}

int fcgi__options_new(fcgi_options **out, fcgi_launcher launcher,
                      const fcgi_allocator *allocator) {
  size_t count = fcgi__option_count();
  fcgi_options *options =
      fcgi__calloc(allocator, sizeof *options + count * sizeof *options->given);
  if (!options)
    return FCGI_ERR_NOMEM;
  options->allocator = *allocator;
  options->launcher = launcher;
  *out = options;
  return 0;
}

int fcgi_options_new(fcgi_options **out, fcgi_launcher launcher) {
  const fcgi_allocator allocator = fcgi__allocator(&(fcgi_allocator){0});
  return fcgi__options_new(out, launcher, &allocator);
}

static void forget(fcgi_options *options, fcgi__given *given) {
  for (size_t i = 0; i < given->count; i++)
    fcgi__free(&options->allocator, given->texts[i]);
  fcgi__free(&options->allocator, given->texts);
  fcgi__free(&options->allocator, given->where);
  *given = (fcgi__given){0};
}

void fcgi_options_free(fcgi_options *options) {
  if (!options)
    return;
  const fcgi_allocator allocator = options->allocator;
  for (size_t i = 0; i < fcgi__option_count(); i++)
    forget(options, &options->given[i]);
  fcgi__options_forget_sources(options);
  fcgi__buffer_clear(&options->shown, &allocator);
  fcgi__free(&allocator, options);
}

const char *fcgi_options_message(const fcgi_options *options) {
  return options->message;
}

int fcgi__options_refuse(fcgi_options *options, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(options->message, sizeof options->message, format, arguments);
  va_end(arguments);
  fcgi__option_tame(options->message);
  return FCGI_ERR_INVALID;
}

static int no_memory(fcgi_options *options) {
  fcgi__options_refuse(options, "out of memory");
  return FCGI_ERR_NOMEM;
}

const fcgi_option *fcgi__options_find(fcgi_options *options, const char *where,
                                      const char *before, const char *name) {
  const fcgi_option *option = fcgi_option_find(name);
  char hint[160];
  /* A key has one spelling, so that it cannot be there in two. */
  int is_name = option && (*before || strcmp(option->name, name) == 0);
  if (is_name && option->launchers & 1u << options->launcher)
    return option;
  fcgi__option_suggest(options->launcher, name, before, hint, sizeof hint);
  if (*before)
    fcgi__options_refuse(options, "no option %s%.64s%s", before, name, hint);
  else
    fcgi__options_refuse(options, "%.200s%sthere is no option '%.64s'%s",
                         where ? where : "", where ? ": " : "", name, hint);
  return NULL;
}

/* "--threads=x", "FASTCGI_THREADS=x", "file: threads=x", "threads=x". */
static int refuse_value(fcgi_options *options, fcgi_origin origin,
                        const char *where, const fcgi_option *option,
                        const char *text) {
  char line[300], shown[FCGI__OPTION_NUMBER];
  int is_line = origin == FCGI_ORIGIN_LINE;
  snprintf(shown, sizeof shown, "%s", option->name);
  for (char *c = shown; is_line && *c; c++)
    *c = *c == '_' ? '-' : *c;
  if (origin == FCGI_ORIGIN_ENVIRONMENT) {
    fcgi__option_complain(option, options->launcher, where, text, line,
                          sizeof line);
    return fcgi__options_refuse(options, "%s", line);
  }
  fcgi__option_complain(option, options->launcher, shown, text, line,
                        sizeof line);
  return fcgi__options_refuse(options, "%.200s%s%s%s", where ? where : "",
                              where ? ": " : "", is_line ? "--" : "", line);
}

char *fcgi__options_copy(fcgi_options *options, const char *text) {
  size_t size = strlen(text) + 1;
  char *made = fcgi__realloc(&options->allocator, NULL, size);
  if (made)
    memcpy(made, text, size);
  else
    no_memory(options);
  return made;
}

/* Another text behind those that are there. */
static int append(fcgi_options *options, fcgi__given *given, const char *text) {
  char **texts = fcgi__realloc(&options->allocator, given->texts,
                               (given->count + 2) * sizeof *texts);
  if (!texts)
    return no_memory(options);
  given->texts = texts;
  texts[given->count] = fcgi__options_copy(options, text);
  if (!texts[given->count])
    return FCGI_ERR_NOMEM;
  texts[++given->count] = NULL;
  return 0;
}

static int keep(fcgi_options *options, fcgi__given *given, fcgi_origin origin,
                const char *where) {
  char *copied = where ? fcgi__options_copy(options, where) : NULL;
  if (where && !copied)
    return FCGI_ERR_NOMEM;
  fcgi__free(&options->allocator, given->where);
  given->where = copied;
  given->origin = origin;
  return 0;
}

/* Who runs commands alone has no use for fewer. */
static int is_below(const fcgi_options *options, const fcgi_option *option,
                    int64_t number) {
  int64_t least = fcgi__option_least(option, options->launcher);
  return least > option->least && number < least;
}

static int put(fcgi_options *options, fcgi_origin origin, unsigned rank,
               const char *where, const fcgi_option *option, const char *text) {
  fcgi__given *given = &options->given[fcgi__option_index(option)];
  int64_t number;
  int error;
  if (fcgi_option_parse(option, text, &number) ||
      is_below(options, option, number))
    return refuse_value(options, origin, where, option, text);
  if (given->rank > rank)
    return 0;
  if (given->rank < rank || !option->repeatable)
    forget(options, given);
  error = append(options, given, text);
  if (!error)
    error = keep(options, given, origin, where);
  if (error) {
    forget(options, given);
    return error;
  }
  given->rank = (uint8_t)rank;
  given->number = number;
  return 0;
}

int fcgi__options_take(fcgi_options *options, fcgi_origin origin,
                       const char *where, const fcgi_option *option,
                       const char *text) {
  return put(options, origin, rank_of(origin), where, option, text);
}

int fcgi__options_take_default(fcgi_options *options, const char *where,
                               const fcgi_option *option, const char *text) {
  return put(options, FCGI_ORIGIN_ENVIRONMENT, BELOW_FILES, where, option,
             text);
}

int fcgi_options_set(fcgi_options *options, fcgi_origin origin,
                     const char *name, const char *text) {
  const fcgi_option *option = fcgi__options_find(options, NULL, "", name);
  return option ? fcgi__options_take(options, origin, NULL, option, text)
                : FCGI_ERR_INVALID;
}

int fcgi_options_set_number(fcgi_options *options, fcgi_origin origin,
                            const char *name, int64_t number) {
  const fcgi_option *option = fcgi__options_find(options, NULL, "", name);
  char text[FCGI__OPTION_NUMBER];
  if (!option)
    return FCGI_ERR_INVALID;
  if (option->most == 0 || !fcgi__option_fits(option, number)) {
    snprintf(text, sizeof text, "%lld", (long long)number);
    return refuse_value(options, origin, NULL, option, text);
  }
  fcgi__option_write(option, number, text);
  return fcgi__options_take(options, origin, NULL, option, text);
}

static const fcgi__given *given_of(const fcgi_options *options,
                                   const char *name,
                                   const fcgi_option **option) {
  *option = fcgi_option_find(name);
  return *option ? &options->given[fcgi__option_index(*option)] : NULL;
}

fcgi_origin fcgi_options_origin(const fcgi_options *options, const char *name) {
  const fcgi_option *option;
  const fcgi__given *given = given_of(options, name, &option);
  return given ? given->origin : FCGI_ORIGIN_DEFAULT;
}

const char *fcgi_options_text(const fcgi_options *options, const char *name,
                              size_t index) {
  const fcgi_option *option;
  const fcgi__given *given = given_of(options, name, &option);
  if (given && given->count > 0)
    return index < given->count ? given->texts[index] : NULL;
  return given && index == 0 ? option->standard : NULL;
}

int64_t fcgi_options_number(const fcgi_options *options, const char *name) {
  const fcgi_option *option;
  const fcgi__given *given = given_of(options, name, &option);
  int64_t number = 0;
  if (given && given->count > 0)
    return given->number;
  if (option && option->standard)
    fcgi_option_parse(option, option->standard, &number);
  return number;
}
