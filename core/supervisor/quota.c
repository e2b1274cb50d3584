/* SPDX-License-Identifier: MIT */
#include "supervisor/quota.h"
#include "base/number.h"
#include "resource/quota.h"
#include "supervisor/spawn.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* From the supervisor that is replaced, or -1. */
static int inherit(const fcgi__supervisor *s) {
  const char *text = getenv(FCGI__QUOTA_VARIABLE);
  fcgi__quota_table *table;
  int said[2], fd; /* Our process id, and the descriptor. */
  if (!text || fcgi__number_list(text, said, 2) < 0 || said[0] != getpid())
    return -1;
  fd = fcgi__spawn_lift(said[1]);
  if (fd >= 0 && fcgi__quota_map(fd, &table) == 0) {
    fcgi__quota_unmap(table);
    return fd;
  }
  if (fd >= 0)
    close(fd);
  fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                       "limit_total begins anew: the old supervisor is of "
                       "another version");
  return -1;
}

void fcgi__supervisor_quota_open(fcgi__supervisor *s) {
  s->quota = inherit(s);
  if (s->quota >= 0)
    return;
  s->quota = fcgi__quota_make();
  if (s->quota >= 0)
    s->quota = fcgi__spawn_lift(s->quota);
  if (s->quota < 0)
    fcgi__supervisor_log(s, FCGI_LOG_WARNING,
                         "no memory for limit_total, which no resource can "
                         "have: %s",
                         strerror(errno));
}

size_t fcgi__supervisor_quota_pass(const fcgi__supervisor *s, int *passed) {
  passed[0] = s->quota;
  return s->quota >= 0;
}

int fcgi__supervisor_quota_describe(const fcgi__supervisor *s,
                                    fcgi__environment *environment, int fd) {
  char rest[16];
  snprintf(rest, sizeof rest, ":%d", s->quota >= 0 ? fd : 0);
  return fcgi__environment_set_pid(environment, FCGI__QUOTA_VARIABLE, rest);
}

void fcgi__supervisor_quota_close(fcgi__supervisor *s) {
  if (s->quota >= 0)
    close(s->quota);
  s->quota = -1;
}
