/* SPDX-License-Identifier: MIT */
#include "options/again.h"
#include "options/options.h"
#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* What the files said when the supervisor that has started this very process
   read them: those that are there by now may say something else, or nothing
   that can be read. */
static int read_handed(fcgi_options *options) {
  const char *text = getenv(FCGI__OPTIONS_VARIABLE);
  char *end;
  if (!text || options->launcher == FCGI_LAUNCHER_RUN ||
      strtol(text, &end, 10) != (long)getpid() || *end != ':')
    return 0;
  options->is_handed = 1;
  return fcgi__options_take_toml(options, FCGI_ORIGIN_FILE,
                                 FCGI__OPTIONS_VARIABLE, end + 1,
                                 strlen(end + 1), NULL);
}

int fcgi_options_read_environment(fcgi_options *options) {
  const fcgi_option *option;
  int error = 0;
  for (size_t i = 0; !error && (option = fcgi_option_at(i)); i++)
    if (is_read(options, option))
      error = read_one(options, option);
  if (!error)
    error = read_concurrency(options);
  if (!error)
    error = read_handed(options);
  return error ? error
               : fcgi__options_remember(options, FCGI__SOURCE_ENVIRONMENT, 0,
                                        NULL);
}

/* What passes between processes of this library has other names than options.
 */
static int is_ours(const char *key) {
  static const char *const ours[] = {
      "handover",   "upgrade",  "upgrade_notify", "worker",       "scoreboard",
      "supervisor", "base_dir", "file_options",   "shared_memory"};
  const fcgi_option *option = fcgi_option_find(key);
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    if (strcmp(key, ours[i]) == 0)
      return 1;
  return option && (option->scope != FCGI_OPTION_FOR_COMMAND ||
                    strcmp(option->name, "config") == 0);
}

/* "max_requests" of "FASTCGI_MAX_REQUESTS=1000": 0, or -1 for names that are
   none of an option's. */
static int key_of(const char *entry, char *key) {
  static const char prefix[] = "FASTCGI_";
  const char *name = entry + sizeof prefix - 1;
  size_t len;
  if (strncmp(entry, prefix, sizeof prefix - 1) != 0)
    return -1;
  len = strcspn(name, "=");
  if (len == 0 || len >= FCGI__OPTION_NUMBER)
    return -1;
  for (size_t i = 0; i < len; i++) {
    if (!(name[i] >= 'A' && name[i] <= 'Z') && name[i] != '_')
      return -1;
    key[i] = (char)(name[i] == '_' ? '_' : name[i] - 'A' + 'a');
  }
  key[len] = '\0';
  return 0;
}

const char *fcgi_options_doubt(fcgi_options *options, size_t index) {
  char key[FCGI__OPTION_NUMBER], advice[160];
  for (char **entry = environ; entry && *entry; entry++) {
    if (key_of(*entry, key) || is_ours(key) ||
        !fcgi__option_resembles(key, advice, sizeof advice) || index-- > 0)
      continue;
    snprintf(options->doubt, sizeof options->doubt, "%.*s is no option%s",
             (int)strcspn(*entry, "="), *entry, advice);
    return options->doubt;
  }
  return NULL;
}

/* Those of servers: what is for a supervisor too, that one hands on. */
static int export_servers(const fcgi_options *options, fcgi__export_fn put,
                          void *data) {
  for (size_t i = 0; i < fcgi__option_count(); i++) {
    const fcgi__option_row *row = fcgi__option_row_at(i);
    const fcgi__given *given = &options->given[i];
    char name[FCGI__OPTION_PATH];
    if (given->count == 0 || row->option.scope != FCGI_OPTION_FOR_SERVER ||
        row->supervisor.size > 0)
      continue;
    fcgi__option_variable(&row->option, name);
    if (put(data, name, given->texts[0]) < 0)
      return FCGI_ERR_NOMEM;
  }
  return 0;
}

int fcgi__options_export(fcgi_options *options, fcgi__export_fn put,
                         fcgi__export_fn put_own, void *data) {
  const char *files;
  if (options->launcher == FCGI_LAUNCHER_RUN)
    return export_servers(options, put, data);
  files = fcgi__options_show_files(options);
  return files && put_own(data, FCGI__OPTIONS_VARIABLE, files) == 0
             ? 0
             : FCGI_ERR_NOMEM;
}
