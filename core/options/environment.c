/* SPDX-License-Identifier: MIT */
#include "options/options.h"
#include <fastcgi/error.h>
#include <stdlib.h>
#include <string.h>

/* Values with spaces between. */
static int take_several(fcgi_options *options, const char *name,
                        const fcgi_option *option, const char *text) {
  int error = 0;
  while (!error && *(text += strspn(text, " "))) {
    size_t len = strcspn(text, " ");
    char *one = fcgi__realloc(&options->allocator, NULL, len + 1);
    if (!one)
      return FCGI_ERR_NOMEM;
    memcpy(one, text, len);
    one[len] = '\0';
    error =
        fcgi__options_take(options, FCGI_ORIGIN_ENVIRONMENT, name, option, one);
    fcgi__free(&options->allocator, one);
    text += len;
  }
  return error;
}

static int read_one(fcgi_options *options, const fcgi_option *option) {
  char name[FCGI__OPTION_PATH];
  const char *text;
  fcgi__option_variable(option, name);
  text = getenv(name);
  if (!text || (!*text && !option->may_be_empty))
    return 0;
  if (option->repeatable)
    return take_several(options, name, option, text);
  return fcgi__options_take(options, FCGI_ORIGIN_ENVIRONMENT, name, option,
                            text);
}

/* The default of `workers`, in which 0 says nothing. */
static int read_concurrency(fcgi_options *options) {
  static const char name[] = "WEB_CONCURRENCY";
  const char *text = getenv(name);
  if (!text || !*text || strcmp(text, "0") == 0)
    return 0;
  return fcgi__options_take_default(options, name, fcgi_option_find("workers"),
                                    text);
}

static int is_read(const fcgi_options *options, const fcgi_option *option) {
  return option->launchers & 1u << options->launcher &&
         (option->scope != FCGI_OPTION_FOR_COMMAND ||
          strcmp(option->name, "config") == 0);
}

int fcgi_options_read_environment(fcgi_options *options) {
  const fcgi_option *option;
  int error = 0;
  for (size_t i = 0; !error && (option = fcgi_option_at(i)); i++)
    if (is_read(options, option))
      error = read_one(options, option);
  return error ? error : read_concurrency(options);
}

int fcgi_options_export(const fcgi_options *options) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    const fcgi__given *given = &options->given[i];
    char name[FCGI__OPTION_PATH];
    if (given->count == 0 || row->option.scope != FCGI_OPTION_FOR_SERVER ||
        row->supervisor.size > 0)
      continue;
    fcgi__option_variable(&row->option, name);
    if (setenv(name, given->texts[0], 1) < 0)
      return FCGI_ERR_NOMEM;
  }
  return 0;
}
