/* SPDX-License-Identifier: MIT */
#include "supervisor/settings.h"
#include "base/config.h"
#include "options/config.h"
#include "supervisor/dictionaries.h"
#include "supervisor/limits.h"
#include "supervisor/spawn.h"
#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
  LEVELS = 1u << FCGI_LOG_ERROR | 1u << FCGI_LOG_WARNING | 1u << FCGI_LOG_INFO
};

/* What may have no limit has a number for it that the supervisor knows. */
static void set_limits(fcgi_supervisor_config *c) {
  int *const waits[] = {&c->start_timeout_ms, &c->graceful_timeout_ms};
  int64_t *const ages[] = {&c->max_worker_age_ms, &c->max_worker_age_jitter_ms};
  uint64_t *const counts[] = {&c->max_worker_rss, &c->max_requests,
                              &c->max_requests_jitter};
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++)
    if (*waits[i] < 0)
      *waits[i] = INT_MAX;
  for (size_t i = 0; i < sizeof ages / sizeof *ages; i++)
    if (*ages[i] < 0)
      *ages[i] = 0;
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    if (*counts[i] == UINT64_MAX)
      *counts[i] = 0;
  if (c->timeout_ms < 0)
    c->timeout_ms = 0;
}

static void fill(fcgi_supervisor_config *c) {
  fcgi__supervisor_config_fill(c);
  set_limits(c);
  if (!c->log_levels)
    c->log_levels = LEVELS;
  if (!c->log_name)
    c->log_name = "fastcgi";
  if (!c->workers)
    c->workers = 1;
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
  const fcgi_option *wrong;
  char wanted[160];
  if (!c->command || !c->command[0])
    return refuse(why, why_len, "no command to run as a worker");
  wrong = fcgi__supervisor_config_wrong(c);
  if (wrong) {
    fcgi__option_wanted_field(wrong, wanted, sizeof wanted);
    snprintf(why, why_len, "%s must be %s", wrong->name, wanted);
    return -1;
  }
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
  if (fcgi__dictionaries_check(c, why, why_len))
    return -1;
  return check_descriptors(why, why_len);
}

int fcgi__settings_take(fcgi_supervisor_config *out,
                        const fcgi_supervisor_config *given, char *why,
                        size_t why_len) {
  *out = (fcgi_supervisor_config){.size = sizeof *out};
  fill(out);
  if (!given || fcgi__config_copy(out, sizeof *out, 0, given))
    return refuse(why, why_len, "a configuration of another version");
  fill(out);
  return check(out, why, why_len);
}
