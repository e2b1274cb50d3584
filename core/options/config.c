/* SPDX-License-Identifier: MIT */
#include "options/config.h"
#include "options/again.h"
#include "options/options.h"
#include <fastcgi/error.h>
#include <stdlib.h>
#include <string.h>

static int is_text(const fcgi_option *option) {
  return option->kind <= FCGI_OPTION_USERS ||
         option->kind == FCGI_OPTION_NAMED_SIZE;
}

/* The number in a field, whose sign is that of its least and most. */
static int64_t read_field(const void *field, size_t size) {
  if (size == sizeof(int32_t)) {
    int32_t number;
    memcpy(&number, field, sizeof number);
    return number;
  }
  int64_t number;
  memcpy(&number, field, sizeof number);
  return number;
}

static void write_field(void *field, size_t size, int64_t number) {
  int32_t narrow = (int32_t)number;
  if (size == sizeof narrow)
    memcpy(field, &narrow, sizeof narrow);
  else
    memcpy(field, &number, sizeof number);
}

/* What a field has for that number of its option. A flag that is read from the
   environment too has a word for "no", as 0 says nothing. */
static int64_t stored(const fcgi__option_row *row, int64_t number) {
  if (row->levels)
    return (INT64_C(2) << number) - 1;
  if (row->option.kind == FCGI_OPTION_FLAG && number == 0 &&
      row->option.scope == FCGI_OPTION_FOR_SERVER)
    return -1;
  return number;
}

static void put(const fcgi__option_row *row, fcgi__place place,
                const fcgi__given *given, void *config) {
  void *field = (char *)config + place.at;
  if (place.size == 0 || given->count == 0)
    return;
  if (row->option.repeatable)
    memcpy(field, &given->texts, sizeof given->texts);
  else if (is_text(&row->option))
    memcpy(field, &given->texts[0], sizeof given->texts[0]);
  else
    write_field(field, place.size, stored(row, given->number));
}

void fcgi_options_server(const fcgi_options *options,
                         fcgi_server_config *config) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    put(row, row->server, &options->given[i], config);
  }
}

void fcgi_options_supervisor(const fcgi_options *options,
                             fcgi_supervisor_config *config) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    put(row, row->supervisor, &options->given[i], config);
  }
  if (fcgi_options_origin(options, "umask") != FCGI_ORIGIN_DEFAULT)
    config->has_umask = 1;
}

void fcgi__options_reload(const fcgi_options *options,
                          fcgi_supervisor_config *config) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    const fcgi_option *option = &row->option;
    if (row->supervisor.size == 0 || option->is_fixed ||
        option->scope == FCGI_OPTION_FOR_COMMAND ||
        !(option->launchers & 1u << options->launcher))
      continue;
    memset((char *)config + row->supervisor.at, 0, row->supervisor.size);
    put(row, row->supervisor, &options->given[i], config);
  }
}

/* The others are no waits, but limits. */
static int may_never_wait(const fcgi__option_row *row) {
  return row->server.size > 0 &&
         row->server.at == offsetof(fcgi_server_config, io_timeout_ms);
}

/* -1 is FCGI_WAIT_FOREVER, and whatever else may be without a limit; -2 is
   FCGI_WAIT_NEVER. */
static int is_wrong(const fcgi__option_row *row, fcgi__place place,
                    const void *config) {
  const void *field = (const char *)config + place.at;
  const fcgi_option *option = &row->option;
  int64_t number;
  if (place.size == 0 || option->repeatable || row->levels)
    return 0;
  if (is_text(option)) {
    const char *text;
    memcpy(&text, field, sizeof text);
    return option->kind == FCGI_OPTION_PATH && text &&
           fcgi_option_parse(option, text, &number);
  }
  number = read_field(field, place.size);
  if (number == FCGI_WAIT_NEVER && place.size == sizeof(int))
    return !may_never_wait(row);
  if (number <= 0)
    return number < -1 || (number < 0 && !option->may_be_none &&
                           option->kind != FCGI_OPTION_FLAG);
  return !fcgi__option_fits(option, number);
}

const fcgi_option *fcgi__server_config_wrong(const fcgi_server_config *config) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    if (is_wrong(row, row->server, config))
      return &row->option;
  }
  return NULL;
}

const fcgi_option *
fcgi__supervisor_config_wrong(const fcgi_supervisor_config *config) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    if (is_wrong(row, row->supervisor, config))
      return &row->option;
  }
  return NULL;
}

static int is_set(const fcgi__option_row *row, const void *field,
                  fcgi__place place) {
  const void *pointer;
  if (!is_text(&row->option))
    return read_field(field, place.size) != 0;
  memcpy(&pointer, field, sizeof pointer);
  return pointer != NULL;
}

static void fill_by(const fcgi__option_row *row, fcgi__place place,
                    const char *text, int64_t number, void *config) {
  void *field = (char *)config + place.at;
  if (is_text(&row->option))
    memcpy(field, &text, sizeof text);
  else
    write_field(field, place.size, stored(row, number));
}

/* By the environment: 1 when it says something, or FCGI_ERR_INVALID. */
static int fill_from_environment(const fcgi__option_row *row,
                                 fcgi_server_config *config, char *why,
                                 size_t len) {
  char name[FCGI__OPTION_PATH];
  const char *text;
  int64_t number;
  fcgi__option_variable(&row->option, name);
  text = getenv(name);
  if (!text || (!*text && !row->option.may_be_empty))
    return 0;
  if (fcgi_option_parse(&row->option, text, &number)) {
    fcgi__option_complain(&row->option, FCGI_LAUNCHER_RUN, name, text, why,
                          len);
    return FCGI_ERR_INVALID;
  }
  fill_by(row, row->server, text, number, config);
  return 1;
}

static void fill_default(const fcgi__option_row *row, fcgi__place place,
                         void *config) {
  int64_t number = 0;
  if (is_text(&row->option) || !row->option.standard ||
      fcgi_option_parse(&row->option, row->option.standard, &number))
    return;
  fill_by(row, place, NULL, number, config);
}

int fcgi__server_config_fill(fcgi_server_config *config, char *why,
                             size_t len) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    int found;
    if (row->option.scope != FCGI_OPTION_FOR_SERVER || row->server.size == 0 ||
        is_set(row, (const char *)config + row->server.at, row->server))
      continue;
    found = fill_from_environment(row, config, why, len);
    if (found < 0)
      return found;
    if (!found)
      fill_default(row, row->server, config);
  }
  return 0;
}

void fcgi__supervisor_config_fill(fcgi_supervisor_config *config) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    if (row->supervisor.size > 0 && !row->option.repeatable &&
        !is_set(row, (const char *)config + row->supervisor.at,
                row->supervisor))
      fill_default(row, row->supervisor, config);
  }
}
