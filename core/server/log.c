/* SPDX-License-Identifier: MIT */
/* The server's surroundings: its log and its clock. */
#include "server/server.h"
#include <stdio.h>
#include <time.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

long long fcgi__now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int fcgi__wake_new(void) {
#ifdef __linux__
  return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
#else
  return -1;
#endif
}

void fcgi__server_log(fcgi_server *server, fcgi_log_level level,
                      const char *format, ...) {
  char line[FCGI__MESSAGE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (server->config.log)
    server->config.log(level, line, server->config.log_data);
  else if (level <= FCGI_LOG_WARNING)
    fprintf(stderr, "fastcgi: %s\n", line);
}
