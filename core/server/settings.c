/* SPDX-License-Identifier: MIT */
/* What the environment asks of a server where its program has not said. */
#include "base/number.h"
#include "server/server.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MIB = 1024 * 1024 };

static void ignore(fcgi_server *server, const char *name, const char *text,
                   const char *wanted) {
  fcgi__server_log(server, FCGI_LOG_WARNING,
                   "%s=\"%.64s\" is ignored: it must be %s", name, text,
                   wanted);
}

/* Milliseconds; `given` where the program has said something, -1 for none. */
static int seconds_from(fcgi_server *server, const char *name, int given) {
  const char *text = given == 0 ? getenv(name) : NULL;
  uint64_t ms;
  if (!text || !*text)
    return given < 0 ? 0 : given;
  if (fcgi__number_seconds(text, INT_MAX, &ms) == 0)
    return (int)ms;
  ignore(server, name, text, "a number of seconds");
  return 0;
}

/* Bytes, of which every server may have some. */
static size_t bytes_from(fcgi_server *server, const char *name, size_t given,
                         size_t otherwise) {
  const char *text = given == 0 ? getenv(name) : NULL;
  uint64_t bytes;
  if (!text || !*text)
    return given ? given : otherwise;
  if (fcgi__number_bytes(text, SIZE_MAX / 2, &bytes) == 0)
    return (size_t)bytes;
  ignore(server, name, text, "a size such as 4194304 or 4M");
  return otherwise;
}

static int is_path(const char *text) {
  return *text == '/' && strlen(text) < FCGI__STATUS_PATH;
}

/* Copies the path that the program has given, or else the environment names,
   to `copy`, of FCGI__STATUS_PATH bytes, also an empty one. Returns it, or NULL
   where there is none. */
static const char *path_from(fcgi_server *server, const char *name,
                             const char *given, char *copy) {
  const char *path = given ? given : getenv(name);
  if (!path)
    return NULL;
  if (*path && !is_path(path)) {
    ignore(server, name, path, "a path that begins with /, below 256 bytes");
    return NULL;
  }
  strcpy(copy, path);
  return copy;
}

/* What launchers take for a flag's text, in lower case. */
static int flag_from(fcgi_server *server, const char *name) {
  static const struct {
    const char *text; /* As it is written. */
    int means;        /* What it says. */
  } words[] = {{"1", 1}, {"true", 1},  {"yes", 1}, {"on", 1},
               {"0", 0}, {"false", 0}, {"no", 0},  {"off", 0}};
  const char *text = getenv(name);
  if (!text || !*text)
    return 0;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcasecmp(text, words[i].text) == 0)
      return words[i].means;
  ignore(server, name, text, "1 or 0");
  return 0;
}

/* The same, where an empty one is none. */
static const char *page_from(fcgi_server *server, const char *name,
                             const char *given, char *copy) {
  const char *path = path_from(server, name, given, copy);
  return path && *path ? path : NULL;
}

/* "/shop/" means "/shop", and "/" that the application is mounted nowhere. */
static void set_root_path(fcgi_server *server) {
  fcgi_server_config *config = &server->config;
  char *copy = server->root_path;
  config->root_path =
      path_from(server, "FASTCGI_ROOT_PATH", config->root_path, copy);
  for (size_t len = strlen(copy); len > 0 && copy[len - 1] == '/'; len--)
    copy[len - 1] = '\0';
}

int fcgi__settings_check(const fcgi_server_config *config) {
  const char *const paths[] = {config->status_path, config->ping_path,
                               config->root_path};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    if (paths[i] && *paths[i] && !is_path(paths[i]))
      return 0;
  return 1;
}

static void set_memory(fcgi_server *server) {
  fcgi_server_config *config = &server->config;
  config->connection_memory =
      bytes_from(server, "FASTCGI_CONNECTION_MEMORY", config->connection_memory,
                 4 * (size_t)MIB);
  config->server_memory = bytes_from(server, "FASTCGI_SERVER_MEMORY",
                                     config->server_memory, 256 * (size_t)MIB);
  server->session_config.memory = config->connection_memory;
}

void fcgi__settings_fill(fcgi_server *server) {
  fcgi_server_config *config = &server->config;
  config->status_path = page_from(server, "FASTCGI_STATUS_PATH",
                                  config->status_path, server->status_path);
  config->ping_path = page_from(server, "FASTCGI_PING_PATH", config->ping_path,
                                server->ping_path);
  set_root_path(server);
  config->request_timeout_ms = seconds_from(server, "FASTCGI_REQUEST_TIMEOUT",
                                            config->request_timeout_ms);
  config->slow_log_ms =
      seconds_from(server, "FASTCGI_SLOW_LOG", config->slow_log_ms);
  if (config->no_multiplex == 0)
    config->no_multiplex = flag_from(server, "FASTCGI_NO_MULTIPLEX");
  server->session_config.no_multiplex = config->no_multiplex > 0;
  config->graceful_timeout_ms = seconds_from(server, "FASTCGI_GRACEFUL_TIMEOUT",
                                             config->graceful_timeout_ms);
  set_memory(server);
  fcgi__retire_fill(server);
}

void fcgi_server_set_tracer(fcgi_server *server, fcgi_trace_fn tracer,
                            void *user_data) {
  if (server->config.slow_log_ms <= 0)
    return;
  atomic_store(&server->tracer_data, user_data);
  atomic_store(&server->tracer, tracer);
}

void *fcgi_server_tracer_data(fcgi_server *server) {
  return atomic_load(&server->tracer_data);
}
