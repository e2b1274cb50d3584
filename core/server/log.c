/* SPDX-License-Identifier: MIT */
/* The server's logs, and the directory for its files. */
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* 0, or errno: no files can be made there. */
static int check_directory(const char *path) {
  struct stat found;
  if (stat(path, &found) != 0)
    return errno;
  if (!S_ISDIR(found.st_mode))
    return ENOTDIR;
  return access(path, W_OK | X_OK) == 0 ? 0 : errno;
}

int fcgi__server_check_temp(fcgi_server *server) {
  int problem = check_directory(server->temp_dir);
  if (!problem || server->listener_count > 0)
    return 0;
  snprintf(server->message, sizeof server->message,
           "no long body can be kept in %s \"%.200s\": %s; %s",
           server->temp_named ? "temp_dir" : "the temporary directory",
           server->temp_dir, strerror(problem),
           "name a directory that this user can write to");
  if (server->temp_named) {
    errno = problem;
    return FCGI_ERR_SYSTEM;
  }
  fcgi__server_log(server, FCGI_LOG_WARNING, "%s", server->message);
  server->message[0] = '\0';
  return 0;
}

void fcgi__server_log(fcgi_server *server, fcgi_log_level level,
                      const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fcgi__logs_vlog(server->observer.logs, level, format, arguments);
  va_end(arguments);
}

int fcgi_server_log(fcgi_server *server, fcgi_log_level level, const char *text,
                    size_t len) {
  return fcgi__logs_tell(server->observer.logs, level, text, len);
}

void fcgi_server_reopen_logs(fcgi_server *server) {
  if (!fcgi_server_forked(server))
    fcgi__logs_reopen(server->observer.logs);
}

/* "" is nothing. */
static const char *chosen(const char *given) {
  return given && *given ? given : NULL;
}

int fcgi__server_logs_new(fcgi_server *server) {
  fcgi__observer *observer = &server->observer;
  fcgi_server_config *config = &server->config;
  const char *errors = chosen(config->error_logfile);
  const char *access = chosen(config->access_logfile);
  const char *format = chosen(config->access_logformat);
  const fcgi__log_sink sink = {.log = config->log,
                               .data = config->log_data,
                               .levels = config->log_levels,
                               .process = &server->process,
                               .slot = &observer->slot};
  int error;
  config->error_logfile = config->access_logfile = config->access_logformat =
      NULL;
  observer->allocator = server->allocator;
  observer->logs = fcgi__logs_make(&server->allocator, &sink);
  if (!observer->logs)
    return FCGI_ERR_NOMEM;
  error = fcgi__logs_set(observer->logs, FCGI__LOG_ERRORS, errors,
                         config->log_queue);
  if (!error)
    error = fcgi__logs_set(observer->logs, FCGI__LOG_ACCESS, access,
                           config->log_queue);
  if (!error && access)
    error = fcgi__access_new(&observer->access, &server->allocator, format);
  return error;
}

int fcgi__server_logs_open(fcgi_server *server) {
  fcgi__observer *observer = &server->observer;
  int error = fcgi__access_check(observer->access, server->message,
                                 sizeof server->message);
  return error ? error
               : fcgi__logs_open(observer->logs, server->message,
                                 sizeof server->message);
}
