/* SPDX-License-Identifier: MIT */
#include "cpus.h"
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int affinity(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    count = CPU_COUNT(&set);
#endif
  return count < 1 ? 1 : count > INT_MAX ? INT_MAX : (int)count;
}

/* Our control group of version 2, from its root on. */
static void find_group(char *out, size_t len) {
  char line[PATH_MAX];
  FILE *file = fopen("/proc/self/cgroup", "re");
  *out = '\0';
  while (file && fgets(line, sizeof line, file))
    if (strncmp(line, "0::", 3) == 0)
      snprintf(out, len, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
  if (file)
    fclose(file);
}

/* Processors that the quota of one group is worth, rounded up, or `count`. */
static int within_quota(const char *group, int count) {
  char path[PATH_MAX + 64];
  long long quota, period;
  FILE *file;
  snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
  file = fopen(path, "re");
  if (!file)
    return count;
  if (fscanf(file, "%18lld %18lld", &quota, &period) == 2 && quota > 0 &&
      period > 0 && (quota + period - 1) / period < count)
    count = (int)((quota + period - 1) / period);
  fclose(file);
  return count;
}

int tool_cpus(void) {
  char group[PATH_MAX], *slash;
  int count = affinity();
  find_group(group, sizeof group);
  do {
    count = within_quota(group, count);
    slash = strrchr(group, '/');
    if (slash)
      *slash = '\0';
  } while (slash);
  return count;
}
