/* SPDX-License-Identifier: MIT */
#include "supervisor/backoff.h"

int fcgi__backoff_died(fcgi__backoff *b, long long now, long long lived,
                       int clean) {
  int young = clean ? FCGI__BACKOFF_YOUNG_CLEAN_MS : FCGI__BACKOFF_YOUNG_MS;
  int delay = b->delay_ms;
  if (lived >= young)
    return 0;
  b->latest = now;
  b->until = now + delay;
  b->delay_ms = delay ? 2 * delay : FCGI__BACKOFF_FIRST_MS;
  if (b->delay_ms > FCGI__BACKOFF_MOST_MS)
    b->delay_ms = FCGI__BACKOFF_MOST_MS;
  return delay;
}

void fcgi__backoff_lives(fcgi__backoff *b, long long now, long long started) {
  if (started >= b->latest && now - started >= FCGI__BACKOFF_YOUNG_MS)
    b->delay_ms = 0;
}
