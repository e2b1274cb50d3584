/* SPDX-License-Identifier: MIT */
/* The configuration that applies: what the program says, else what the
   environment says, else the default. And the roles that are served. */
#include "base/config.h"
#include "options/config.h"
#include "os/file.h"
#include "os/filename.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
  SPARE_FILES = 32,       /* Descriptors left to the program. */
  CONNECTIONS_MAX = 65536 /* What the pool can hold. */
};

static unsigned files_allow(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > CONNECTIONS_MAX)
    return CONNECTIONS_MAX;
  if (limit.rlim_cur <= 2 * SPARE_FILES)
    return SPARE_FILES;
  return (unsigned)limit.rlim_cur - SPARE_FILES;
}

static void limit_connections(fcgi_server_config *config) {
  if (config->limit_connections == 0)
    config->limit_connections = files_allow();
  if (config->limit_connections > CONNECTIONS_MAX)
    config->limit_connections = CONNECTIONS_MAX;
}

/* Clocks that are set for each connection have no word for "no limit". */
static void set_times(fcgi_server_config *config) {
  int *const always[] = {&config->header_timeout_ms, &config->idle_timeout_ms,
                         &config->drain_silence_ms, &config->drain_timeout_ms};
  int *const perhaps[] = {&config->request_timeout_ms, &config->slow_log_ms,
                          &config->graceful_timeout_ms};
  for (size_t i = 0; i < sizeof always / sizeof *always; i++)
    if (*always[i] < 0)
      *always[i] = INT_MAX;
  for (size_t i = 0; i < sizeof perhaps / sizeof *perhaps; i++)
    if (*perhaps[i] < 0)
      *perhaps[i] = 0;
}

static const char *temp_dir_of(const fcgi_server_config *config) {
  const char *dir = config->temp_dir && *config->temp_dir ? config->temp_dir
                                                          : getenv("TMPDIR");
  return dir && *dir ? dir : "/tmp";
}

/* What is wrong with a configuration, in one line; 0 for nothing. */
static int is_wrong(const fcgi_server_config *config, char *why, size_t len) {
  const fcgi_option *wrong = fcgi__server_config_wrong(config);
  const size_t most = sizeof((fcgi_server *)0)->temp_dir;
  char wanted[160];
  if (config->body != FCGI_BODY_COLLECT && config->body != FCGI_BODY_STREAM)
    snprintf(why, len, "body must be FCGI_BODY_COLLECT or FCGI_BODY_STREAM");
  else if (wrong)
    snprintf(why, len, "%s must be %s", wrong->name,
             fcgi__option_wanted_field(wrong, wanted, sizeof wanted));
  else if (strlen(temp_dir_of(config)) >= most)
    snprintf(why, len, "temp_dir must be shorter than %zu bytes: %.64s...",
             most, temp_dir_of(config));
  else
    return 0;
  return 1;
}

int fcgi__server_settings_take(fcgi_server_config *out,
                               const fcgi_server_config *given, char *why,
                               size_t len) {
  *out = (fcgi_server_config){.size = sizeof *out};
  if (fcgi__config_copy(out, sizeof *out, 0, given)) {
    snprintf(why, len,
             "the configuration has the size of no version of the library; "
             "set its size to sizeof(fcgi_server_config)");
    return FCGI_ERR_INVALID;
  }
  if (is_wrong(out, why, len))
    return FCGI_ERR_INVALID;
  out->allocator = fcgi__allocator(&out->allocator);
  if (!out->log_levels)
    out->log_levels = 1u << FCGI_LOG_ERROR | 1u << FCGI_LOG_WARNING;
  if (fcgi__server_config_fill(out, why, len))
    return FCGI_ERR_INVALID;
  limit_connections(out);
  set_times(out);
  return is_wrong(out, why, len) ? FCGI_ERR_INVALID : 0;
}

/* Copies a path to `copy`, of FCGI__STATUS_PATH bytes: NULL for an empty one.
 */
static const char *copy_path(const char *path, char *copy) {
  if (!path)
    return NULL;
  strcpy(copy, path);
  return *copy ? copy : NULL;
}

/* "/shop/" means "/shop", and "/" that the application is mounted nowhere. */
static void copy_root(fcgi_server_config *config, char *copy) {
  if (!config->root_path)
    return;
  strcpy(copy, config->root_path);
  for (size_t len = strlen(copy); len > 0 && copy[len - 1] == '/'; len--)
    copy[len - 1] = '\0';
  config->root_path = copy;
}

void fcgi__server_settings_keep(fcgi_server *server) {
  fcgi_server_config *config = &server->config;
  server->temp_named = config->temp_dir && *config->temp_dir;
  strcpy(server->temp_dir, temp_dir_of(config));
  config->temp_dir = server->temp_dir;
  config->status_path = copy_path(config->status_path, server->status_path);
  config->ping_path = copy_path(config->ping_path, server->ping_path);
  copy_root(config, server->root_path);
  fcgi__service_limit(server);
}

int fcgi__server_check_temp(fcgi_server *server) {
  int problem = fcgi__file_check_directory(server->temp_dir);
  if (!problem || server->listener_count > 0)
    return 0;
  snprintf(server->message, sizeof server->message,
           "no long body can be kept in %s \"%.200s\": %s; %s",
           server->temp_named ? "temp_dir" : "the temporary directory",
           server->temp_dir, fcgi__filename_error(problem),
           "name a directory that this user can write to");
  if (server->temp_named) {
    errno = problem;
    return FCGI_ERR_SYSTEM;
  }
  fcgi__server_log(server, FCGI_LOG_WARNING, "%s", server->message);
  server->message[0] = '\0';
  return 0;
}

static int is_standard(const fcgi_role_spec *role) {
  static const fcgi_role_spec standard[] = {FCGI_ROLE_SPECS};
  for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
    if (standard[i].number == role->number)
      return standard[i].streams == role->streams;
  return 1;
}

static int is_role(const fcgi_role_spec *role) {
  return role->number != 0 && role->name && *role->name &&
         role->streams >= FCGI_STREAMS_NONE &&
         role->streams <= FCGI_STREAMS_STDIN_DATA && is_standard(role);
}

static int check_roles(const fcgi_role_spec *roles, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!is_role(&roles[i]))
      return FCGI_ERR_INVALID;
    for (size_t j = 0; j < i; j++)
      if (roles[j].number == roles[i].number ||
          strcmp(roles[j].name, roles[i].name) == 0)
        return FCGI_ERR_INVALID;
  }
  return count > 0 ? 0 : FCGI_ERR_INVALID;
}

/* One allocation holds the list and then the names. */
static fcgi_role_spec *copy_roles(const fcgi_allocator *allocator,
                                  const fcgi_role_spec *roles, size_t count) {
  size_t size = count * sizeof *roles;
  for (size_t i = 0; i < count; i++)
    size += strlen(roles[i].name) + 1;
  fcgi_role_spec *made = fcgi__realloc(allocator, NULL, size);
  char *name = made ? (char *)(made + count) : NULL;
  for (size_t i = 0; made && i < count; i++) {
    made[i] = roles[i];
    made[i].name = strcpy(name, roles[i].name);
    name += strlen(name) + 1;
  }
  return made;
}

int fcgi_server_set_roles(fcgi_server *server, const fcgi_role_spec *roles,
                          size_t count) {
  int error = check_roles(roles, count);
  fcgi_role_spec *made;
  if (error)
    return error;
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  /* Sessions are lent the list, and requests name what is in it. */
  if (atomic_load(&server->segment_count) > 0)
    return FCGI_ERR_STATE;
  made = copy_roles(&server->allocator, roles, count);
  if (!made)
    return FCGI_ERR_NOMEM;
  fcgi__free(&server->allocator, server->roles);
  server->roles = made;
  server->session_config.roles = made;
  server->session_config.role_count = count;
  return 0;
}
