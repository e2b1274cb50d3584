/* SPDX-License-Identifier: MIT */
#include "support/lateness.h"
#include "os/clock.h"
#include "support/unit.h"

#include <unistd.h>

enum { STEPS = 20, NAP_US = 1000 };

static void *sleep_on(void *data) {
  lateness *l = data;
  while (!atomic_load(&l->over)) {
    uint64_t began = fcgi__now_us();
    usleep(NAP_US);
    long long late = (long long)(fcgi__now_us() - began) - NAP_US;
    if (late > atomic_load(&l->worst))
      atomic_store(&l->worst, late);
  }
  return NULL;
}

void lateness_begin(lateness *l) {
  *l = (lateness){.began = fcgi__now()};
  assert_int_equal(pthread_create(&l->thread, NULL, sleep_on, l), 0);
}

void lateness_expect(lateness *l, long long ms) {
  long long took = fcgi__now() - l->began, late;
  atomic_store(&l->over, 1);
  pthread_join(l->thread, NULL);
  late = STEPS * (atomic_load(&l->worst) / 1000 + 1);
  if (took > ms + late)
    fail_msg("%lld ms, where %lld and %lld for a busy machine are the most",
             took, ms, late);
}
