/* SPDX-License-Identifier: MIT */
/* The options of a server by their names, as the core knows them. */
#include "shim_private.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 64 };

static int may_set(shim_server *server, shim_error *error) {
  if (server->core) {
    shim_fail(error, FCGI_ERR_STATE, "options are set before the first listen");
    return 0;
  }
  if (!server->options &&
      fcgi_options_new(&server->options, FCGI_LAUNCHER_PYTHON)) {
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
    return 0;
  }
  return 1;
}

/* What is for servers, and what of the rest the core does. */
static int is_of_server(const fcgi_option *option) {
  return option->scope == FCGI_OPTION_FOR_SERVER ||
         strcmp(option->name, "stream") == 0 ||
         strcmp(option->name, "log_level") == 0;
}

/* The option of that name; NULL with an error, also when nothing may be set. */
static const fcgi_option *find(shim_server *server, shim_error *error,
                               const char *name, size_t len) {
  char copy[NAME];
  const fcgi_option *option = NULL;
  snprintf(copy, sizeof copy, "%.*s", (int)(len < NAME ? len : NAME - 1), name);
  if (!may_set(server, error))
    return NULL;
  if (strlen(copy) == len)
    option = fcgi_option_find(copy);
  if (option && strcmp(option->name, copy) != 0)
    option = NULL; /* Another spelling: the core says which one is right. */
  if (option && is_of_server(option))
    return option;
  error->code = FCGI_ERR_INVALID;
  if (option)
    snprintf(error->text, sizeof error->text,
             "option '%s' is for a launcher, not for a server", copy);
  else if (fcgi_options_set(server->options, FCGI_ORIGIN_PROGRAM, copy, ""))
    snprintf(error->text, sizeof error->text, "%s",
             fcgi_options_message(server->options));
  return NULL;
}

static void done(shim_server *server, shim_error *error, int code) {
  if (code)
    shim_fail(error, code, fcgi_options_message(server->options));
}

/* Times are whole seconds here, and 0 is no limit. */
static int64_t as_number(const fcgi_option *option, int64_t value) {
  if (value == 0 && option->may_be_none)
    return -1;
  if (option->kind != FCGI_OPTION_SECONDS || value <= 0)
    return value < 0 ? INT64_MIN : value;
  return value > option->most / 1000 ? INT64_MAX : value * 1000;
}

void shim_server_set(shim_server *server, shim_error *error, const char *name,
                     size_t name_len, int64_t value) {
  const fcgi_option *option = find(server, error, name, name_len);
  char wanted[160];
  int code;
  if (!option)
    return;
  code = fcgi_options_set_number(server->options, FCGI_ORIGIN_PROGRAM,
                                 option->name, as_number(option, value));
  done(server, error, code);
  if (code == FCGI_ERR_INVALID) /* With the number that was given. */
    snprintf(error->text, sizeof error->text, "%s=%lld: must be %s",
             option->name, (long long)value,
             fcgi_option_wanted(option, wanted, sizeof wanted));
}

void shim_server_set_text(shim_server *server, shim_error *error,
                          const char *name, size_t name_len, const char *value,
                          size_t value_len) {
  const fcgi_option *option = find(server, error, name, name_len);
  char *copy;
  if (!option)
    return;
  copy = shim_copy(value, value_len);
  if (!copy)
    shim_fail(error, FCGI_ERR_NOMEM, NULL);
  else
    done(server, error,
         fcgi_options_set(server->options, FCGI_ORIGIN_PROGRAM, option->name,
                          copy));
  free(copy);
}
