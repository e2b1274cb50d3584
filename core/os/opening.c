/* SPDX-License-Identifier: MIT */
#include "os/opening.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int fcgi__opening_refuse(const fcgi__opening *o, int code, const char *format,
                         ...) {
  int saved = errno;
  va_list args;
  int used = 0;
  if (o->text != NULL)
    used = snprintf(o->why, o->why_len, "cannot listen on %s: ", o->text);
  if (used >= 0 && (size_t)used < o->why_len) {
    va_start(args, format);
    vsnprintf(o->why + used, o->why_len - (size_t)used, format, args);
    va_end(args);
  }
  errno = saved;
  return code;
}

int fcgi__opening_fail(const fcgi__opening *o, const char *what) {
  return fcgi__opening_refuse(o, FCGI_ERR_SYSTEM, "%s: %s", what,
                              strerror(errno));
}

int fcgi__opening_socket(const fcgi__opening *o, int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd < 0 ? fcgi__opening_fail(o, "no socket") : fd;
}
