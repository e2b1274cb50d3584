/* SPDX-License-Identifier: MIT */
#include "server/retire.h"
#include "base/number.h"
#include "os/clock.h"
#include "server/server.h"
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* A number of requests; `given` where the program has said something. */
static uint64_t count_from(fcgi_server *server, const char *name,
                           uint64_t given) {
  const char *text = given == 0 ? getenv(name) : NULL;
  uint64_t number;
  if (!text || !*text)
    return given > LLONG_MAX / 2 ? LLONG_MAX / 2 : given;
  if (fcgi__number_parse(text, 0, LLONG_MAX / 2, &number) == 0)
    return number;
  fcgi__server_log(server, FCGI_LOG_WARNING,
                   "%s=\"%.64s\" is ignored: it must be a number of requests",
                   name, text);
  return 0;
}

/* Processes that were started together shall not end together. The numbers are
   spread, not secret. */
static uint64_t spread(uint64_t jitter) {
  uint64_t seed = (uint64_t)fcgi__now() << 22 ^ (uint64_t)getpid();
  for (int i = 0; i < 2; i++) {
    seed = (seed ^ (seed >> 31)) * UINT64_C(0x9e3779b97f4a7c15);
    seed ^= seed >> 29;
  }
  return seed % (jitter + 1);
}

void fcgi__retire_fill(fcgi_server *server) {
  const fcgi_server_config *config = &server->config;
  uint64_t after =
      count_from(server, "FASTCGI_MAX_REQUESTS", config->max_requests);
  uint64_t jitter = count_from(server, "FASTCGI_MAX_REQUESTS_JITTER",
                               config->max_requests_jitter);
  server->retire.on = after > 0;
  atomic_init(&server->retire.left, (long long)(after + spread(jitter)));
}

/* A supervisor of ours starts another process first and then stops this one.
   Any other sees it end, and starts it again. */
static void retire(fcgi_server *server) {
  if (server->listener_count == 0)
    return;
  if (atomic_load(&server->handover.out) >= 0 &&
      fcgi__server_tell(server, "FASTCGI=RETIRE") == 0)
    return;
  fcgi__server_log(server, FCGI_LOG_INFO,
                   "as many requests as a process may serve; stopping");
  fcgi_server_stop(server, FCGI_STOP_GRACEFUL);
}

void fcgi__retire_count(fcgi_server *server) {
  if (server->retire.on && atomic_fetch_sub(&server->retire.left, 1) == 1)
    retire(server);
}
