/* SPDX-License-Identifier: MIT */
/* What people see of options. */
#include "options/options.h"
#include <fastcgi/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 79, COLUMN = 30 };

int fcgi__options_print(fcgi_options *options, const char *format, ...) {
  fcgi__buffer *out = &options->shown;
  va_list arguments;
  va_start(arguments, format);
  int len = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  if (len < 0 ||
      fcgi__buffer_reserve(out, &options->allocator, (size_t)len + 1))
    return FCGI_ERR_NOMEM;
  va_start(arguments, format);
  vsnprintf((char *)out->data + out->len, (size_t)len + 1, format, arguments);
  va_end(arguments);
  out->len += (size_t)len;
  return 0;
}

/* A basic string of TOML. */
static int print_quoted(fcgi_options *options, const char *text) {
  int error = fcgi__options_print(options, "\"");
  for (; *text && !error; text++) {
    unsigned char c = (unsigned char)*text;
    if (c < ' ' || c == 127)
      error = fcgi__options_print(options, "\\u%04x", c);
    else
      error = fcgi__options_print(options, "%s%c",
                                  c == '"' || c == '\\' ? "\\" : "", c);
  }
  return error ? error : fcgi__options_print(options, "\"");
}

static int print_value(fcgi_options *options, const fcgi_option *option,
                       const char *const *texts, size_t count) {
  int error = 0;
  if (option->kind == FCGI_OPTION_FLAG) {
    int64_t number = 0;
    fcgi_option_parse(option, texts[0], &number);
    return fcgi__options_print(options, "%s", number ? "true" : "false");
  }
  if (option->repeatable)
    error = fcgi__options_print(options, "[");
  for (size_t i = 0; i < count && !error; i++) {
    error = i ? fcgi__options_print(options, ", ") : 0;
    if (!error)
      error = print_quoted(options, texts[i]);
  }
  if (option->repeatable && !error)
    error = fcgi__options_print(options, "]");
  return error;
}

static int print_default(fcgi_options *options, const fcgi_option *option) {
  static const char *const no[] = {"false"};
  int has_value = option->standard || option->kind == FCGI_OPTION_FLAG;
  int error = fcgi__options_print(options, "# %s%s", option->name,
                                  has_value ? " = " : ": ");
  if (!error && has_value)
    error = print_value(options, option,
                        option->standard ? &option->standard : no, 1);
  else if (!error)
    error = fcgi__options_print(options, "%s", option->unset);
  return error ? error : fcgi__options_print(options, "  # default\n");
}

static int print_origin(fcgi_options *options, const fcgi__given *given) {
  static const char *const names[] = {[FCGI_ORIGIN_DEFAULT] = "default",
                                      [FCGI_ORIGIN_FILE] = "file",
                                      [FCGI_ORIGIN_PROJECT] = "file",
                                      [FCGI_ORIGIN_ENVIRONMENT] = "environment",
                                      [FCGI_ORIGIN_LINE] = "command line",
                                      [FCGI_ORIGIN_PROGRAM] = "the program"};
  return fcgi__options_print(options, "  # %s%s%s\n", names[given->origin],
                             given->where ? " " : "",
                             given->where ? given->where : "");
}

static int print_given(fcgi_options *options, const fcgi_option *option,
                       const fcgi__given *given) {
  int error = fcgi__options_print(options, "%s = ", option->name);
  if (!error)
    error = print_value(options, option, (const char *const *)given->texts,
                        given->count);
  return error ? error : print_origin(options, given);
}

/* What was printed, or NULL without memory. */
static const char *finish(fcgi_options *options, int error) {
  return error || fcgi__options_print(options, "%s", "")
             ? NULL
             : (const char *)options->shown.data;
}

const char *fcgi_options_show(fcgi_options *options) {
  const fcgi_option *option;
  int error = 0;
  options->shown.len = 0;
  for (size_t i = 0; !error && (option = fcgi_option_at(i)); i++) {
    const fcgi__given *given = &options->given[i];
    if (option->scope == FCGI_OPTION_FOR_COMMAND ||
        !(option->launchers & 1u << options->launcher))
      continue;
    error = given->count > 0 ? print_given(options, option, given)
                             : print_default(options, option);
  }
  return finish(options, error);
}

/* No comments: what a path has in it could end one. */
const char *fcgi__options_show_files(fcgi_options *options) {
  int error = 0;
  options->shown.len = 0;
  for (size_t i = 0; !error && i < fcgi__option_count(); i++) {
    const fcgi_option *option = fcgi_option_at(i);
    const fcgi__given *given = &options->given[i];
    if (given->origin != FCGI_ORIGIN_FILE &&
        given->origin != FCGI_ORIGIN_PROJECT)
      continue;
    error = fcgi__options_print(options, "%s = ", option->name);
    if (!error)
      error = print_value(options, option, (const char *const *)given->texts,
                          given->count);
    if (!error)
      error = fcgi__options_print(options, "\n");
  }
  return finish(options, error);
}

/* One line of `text`, which ends between words: its length. */
static size_t line_of(const char *text) {
  size_t most = WIDTH - COLUMN, len = strlen(text);
  if (len <= most)
    return len;
  for (len = most; len > 0 && text[len] != ' '; len--)
    ;
  return len ? len : strcspn(text, " ");
}

static int print_wrapped(fcgi_options *options, size_t column,
                         const char *text) {
  int error = 0;
  if (column + 2 > COLUMN) {
    error = fcgi__options_print(options, "\n");
    column = 0;
  }
  while (*text && !error) {
    size_t len = line_of(text);
    error = fcgi__options_print(options, "%*s%.*s\n", (int)(COLUMN - column),
                                "", (int)len, text);
    text += len + strspn(text + len, " ");
    column = 0;
  }
  return error;
}

/* The help of an option in the launcher of `options`. */
static void help_text(const fcgi_options *options, const fcgi_option *option,
                      char *out, size_t len) {
  const fcgi__option_row *row = fcgi__option_row_at(fcgi__option_index(option));
  const char *form = row->forms[options->launcher];
  int help_len = (int)strlen(option->help) - (form != NULL);
  snprintf(out, len, "%.*s%s%s%s%s%s%s%s", help_len, option->help,
           form ? ": " : "", form ? form : "", form ? "." : "",
           option->words ? " One of " : "", option->words ? option->words : "",
           option->words ? "." : "", option->repeatable ? " Repeatable." : "");
}

static int print_help(fcgi_options *options, const fcgi_option *option) {
  char left[64], help[512], text[640], letter[] = "    ";
  const char *standard = option->standard ? option->standard : option->unset;
  size_t len;
  if (option->letter)
    memcpy(letter, (char[]){'-', option->letter, ',', ' '}, 4);
  if (option->positional)
    len = (size_t)snprintf(left, sizeof left, "  %s", option->value);
  else
    len = (size_t)snprintf(left, sizeof left, "  %s--%s%s%s", letter,
                           option->name, option->value ? " " : "",
                           option->value ? option->value : "");
  for (char *c = left; *c && !option->positional; c++)
    *c = *c == '_' ? '-' : *c;
  help_text(options, option, help, sizeof help);
  snprintf(text, sizeof text, "%s%s%s", help,
           standard && !option->positional ? " Default: " : "",
           standard && !option->positional ? standard : "");
  int error = fcgi__options_print(options, "%s", left);
  return error ? error : print_wrapped(options, len, text);
}

const char *fcgi_options_help(fcgi_options *options) {
  const fcgi_option *option;
  const char *title = "";
  int error = 0;
  options->shown.len = 0;
  for (size_t i = 0; !error && (option = fcgi_option_at(i)); i++) {
    if (!(option->launchers & 1u << options->launcher))
      continue;
    if (title != fcgi__option_group(i)) {
      const char *gap = *title ? "\n" : "";
      title = fcgi__option_group(i);
      error = fcgi__options_print(options, "%s%s:\n", gap, title);
    }
    if (!error)
      error = print_help(options, option);
  }
  return finish(options, error);
}
