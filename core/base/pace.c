/* SPDX-License-Identifier: MIT */
#include "base/pace.h"

unsigned fcgi__pace_take(fcgi__pace *pace, long long now, unsigned wanted) {
  long long rights, earliest = now - pace->step * pace->most;
  if (pace->used_until < earliest)
    pace->used_until = earliest;
  rights = (now - pace->used_until) / pace->step;
  if (rights > wanted)
    rights = wanted;
  if (rights < 0) /* Another thread had a later time. */
    rights = 0;
  pace->used_until += rights * pace->step;
  return (unsigned)rights;
}
