/* SPDX-License-Identifier: MIT */
/* The server's logs, and what others do wrong, which is counted as well. */
#include "server/server.h"
#include <fastcgi/error.h>
#include <limits.h>
#include <stdio.h>

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

void fcgi__server_trouble(fcgi_server *server, fcgi__trouble_kind kind,
                          const char *cause, fcgi_log_level level,
                          const char *format, ...) {
  long long due;
  va_list arguments;
  va_start(arguments, format);
  due = fcgi__trouble_vnote(&server->observer, kind, cause, level, format,
                            arguments);
  va_end(arguments);
  if (due != LLONG_MAX)
    fcgi__server_deadline(server, due);
}

/* Bytes are told only where the peer began with them: later ones are a
   client's. The cause leaves them out, for others may come each time. */
void fcgi__connection_tell_broken(const fcgi__connection *connection,
                                  int error) {
  char cause[FCGI__CAUSE_NAME];
  fcgi__stranger came;
  fcgi__peer who;
  fcgi__stranger_find(&came,
                      connection->life.fresh ? connection->life.fed : NULL,
                      connection->life.fed_len, error);
  fcgi__peer_of(connection->fd, &who);
  snprintf(cause, sizeof cause, "%s from %s", came.sort, who.place);
  fcgi__server_trouble(connection->server, FCGI__TROUBLE_PROTOCOL, cause,
                       FCGI_LOG_WARNING,
                       "closed the connection of %s, from which came %s%s",
                       who.name, came.what, came.advice);
}
