/* SPDX-License-Identifier: MIT */
/* What others do, and how much of what waits here is for them. */
#include "os/clock.h"
#include "server/server.h"

enum {
  QUICK_MS = 1 /* Handlers that end sooner are quick. */
};

/* What is on its way is counted in the queue, or by who takes it, or twice: the
   queue comes first. Only where some are beyond the limits may it hold some of
   ours. */
fcgi__board_others fcgi__share_count_others(fcgi_server *server) {
  fcgi__share *share = &server->share;
  uint32_t limit = server->config.limit_connections;
  unsigned queued =
      fcgi__share_over(share) > 0 ? fcgi__queue_length(&share->queue) : 0;
  fcgi__board_others others = fcgi__board_count_others(
      &server->observer.board, atomic_load(&server->observer.slot),
      atomic_load(&server->open), limit);
  others.over = others.ready > 0 ? others.over + queued : 0;
  atomic_store(&share->over,
               others.over < limit ? (unsigned)others.over : limit);
  return others;
}

/* How many of `wanted` may be given, or looked for, now: one for each few
   milliseconds. That is often enough for slow handlers, and with quick ones
   costs next to nothing. */
static int take_pace(fcgi__share *share, unsigned wanted) {
  long long now = fcgi__now();
  unsigned rights;
  pthread_mutex_lock(&share->lock);
  rights = fcgi__pace_take(&share->pace, now, wanted);
  pthread_mutex_unlock(&share->lock);
  return (int)rights;
}

/* 1: what waits will not wait for long. */
static int is_quick(fcgi__share *share) {
  long long now = fcgi__now(), before;
  pthread_mutex_lock(&share->lock);
  before = share->turn_at;
  share->turn_at = now;
  pthread_mutex_unlock(&share->lock);
  return now - before <= QUICK_MS;
}

/* Whoever is free for a moment while handlers are quick may have as much to do
   a moment later; then numbers of connections are made equal, one by one. */
static int count_for_threads(fcgi_server *server) {
  fcgi__board_others others;
  int quick = is_quick(&server->share);
  if (take_pace(&server->share, 1) == 0) /* A look takes a while too. */
    return 0;
  others = fcgi__share_count_others(server);
  if (quick)
    return others.poorer;
  return take_pace(&server->share, others.idle);
}

/* A foreign event loop, which never waits inside the poller, runs all of its
   requests at the same time. It keeps no more than the average, and what comes
   while another one has less is not its. */
static int count_for_loop(fcgi_server *server) {
  uint64_t part, own = atomic_load(&server->spare.open) +
                       atomic_load(&server->share.held.count);
  fcgi__board_others others;
  unsigned more;
  if (own < 2 || take_pace(&server->share, 1) == 0)
    return 0;
  others = fcgi__share_count_others(server);
  part = (others.open + own + others.ready) / (others.ready + 1);
  more = own > part ? (unsigned)(own - part) : others.least < own - 1;
  return take_pace(&server->share, more);
}

int fcgi__share_portion(fcgi_server *server) {
  return fcgi__server_is_loop(server) ? count_for_loop(server)
                                      : count_for_threads(server);
}
