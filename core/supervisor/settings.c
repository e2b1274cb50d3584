/* SPDX-License-Identifier: MIT */
#include "supervisor/settings.h"
#include "supervisor/limits.h"
#include "supervisor/spawn.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DEFAULT(field, value) ((field) = (field) ? (field) : (value))

enum {
  LEVELS = 1u << FCGI_LOG_ERROR | 1u << FCGI_LOG_WARNING | 1u << FCGI_LOG_INFO
};

static void fill(fcgi_supervisor_config *c) {
  DEFAULT(c->log_levels, LEVELS);
  DEFAULT(c->log_name, "fastcgi");
  DEFAULT(c->workers, 1);
  DEFAULT(c->backlog, 4096);
  DEFAULT(c->socket_mode, 0660);
  DEFAULT(c->start_timeout_ms, 60000);
  DEFAULT(c->graceful_timeout_ms, 30000);
  if (!c->ready_after_ms)
    c->ready_after_ms =
        c->start_timeout_ms > 10000 ? 10000 : c->start_timeout_ms / 2;
}

static int refuse(char *why, size_t why_len, const char *line) {
  snprintf(why, why_len, "%s", line);
  return -1;
}

/* Those of ours lie above those that children get. */
static int check_descriptors(char *why, size_t why_len) {
  const rlim_t needed = FCGI__PASSED_FLOOR + FCGI__OWN_DESCRIPTORS;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
    return 0;
  snprintf(
      why, why_len,
      "the limit of open files is %llu, and a supervisor needs %llu; raise "
      "it (ulimit -n, LimitNOFILE=)",
      (unsigned long long)limit.rlim_cur, (unsigned long long)needed);
  return -1;
}

static int check(const fcgi_supervisor_config *c, char *why, size_t why_len) {
  if (!c->command || !c->command[0])
    return refuse(why, why_len, "no command to run as a worker");
  if (c->workers > FCGI__WORKERS)
    return refuse(why, why_len, "more than 4096 workers");
  if (c->ready_after_ms >= c->start_timeout_ms)
    return refuse(why, why_len,
                  "a worker that tells nothing would be late before it counts "
                  "as ready; make the start timeout longer than the time "
                  "after which it is ready");
  if (c->max_worker_age_jitter_ms > 0 &&
      c->max_worker_age_jitter_ms >= c->max_worker_age_ms)
    return refuse(why, why_len,
                  "the jitter of a worker's age is not below the age itself");
  if (c->max_worker_rss > 0 && fcgi__limits_rss(getpid()) < 0)
    return refuse(why, why_len,
                  "there is no /proc here to read a worker's memory from; "
                  "leave out the limit of memory");
  return check_descriptors(why, why_len);
}

int fcgi__settings_take(fcgi_supervisor_config *out,
                        const fcgi_supervisor_config *given, char *why,
                        size_t why_len) {
  *out = (fcgi_supervisor_config){.size = sizeof *out};
  fill(out);
  if (!given || given->size > sizeof *out || given->size < sizeof(size_t))
    return refuse(why, why_len, "a configuration of another version");
  memcpy(out, given, given->size);
  out->size = sizeof *out;
  fill(out);
  return check(out, why, why_len);
}
