/* SPDX-License-Identifier: MIT */
#include "server/retire.h"
#include "os/clock.h"
#include "server/server.h"
#include <limits.h>
#include <unistd.h>

/* What is larger says "never", and "none". */
#define MOST ((uint64_t)LLONG_MAX / 2)

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
  uint64_t after = config->max_requests, jitter = config->max_requests_jitter;
  server->retire.on = after > 0 && after <= MOST;
  if (server->retire.on)
    atomic_init(&server->retire.left,
                (long long)(after + spread(jitter <= MOST ? jitter : 0)));
}

/* A supervisor of ours starts another process first and then stops this one.
   Any other sees it end, and starts it again. */
static void retire(fcgi_server *server) {
  if (server->listener_count == 0)
    return;
  if (atomic_load(&server->handover.out) >= 0 &&
      fcgi__server_tell(server, FCGI__NOTIFY_RETIRE) == 0)
    return;
  fcgi__server_log(server, FCGI_LOG_INFO,
                   "as many requests as a process may serve; stopping");
  fcgi_server_stop(server, FCGI_STOP_GRACEFUL);
}

void fcgi__retire_count(fcgi_server *server) {
  if (server->retire.on && atomic_fetch_sub(&server->retire.left, 1) == 1)
    retire(server);
}
