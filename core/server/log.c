/* SPDX-License-Identifier: MIT */
/* The server's surroundings: its log, its clock and what it finds at the start.
 */
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

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
  char line[FCGI__MESSAGE], text[FCGI__MESSAGE + 16];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (fcgi__logs_has_errors(server) || server->config.log) {
    fcgi_server_log(server, level, line, strlen(line));
    return;
  }
  snprintf(text, sizeof text, "fastcgi: %s\n", line);
  fcgi_server_log(server, level, text, strlen(text));
}
