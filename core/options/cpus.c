/* SPDX-License-Identifier: MIT */
#include "options/cpus.h"
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 4096, PLACE = 2 * LINE };

static int affinity(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    count = CPU_COUNT(&set);
#endif
  return count < 1 ? 1 : count > INT_MAX ? INT_MAX : (int)count;
}

/* What so much time of each period is worth, or `count` where that is less. */
static int least(int count, long long quota, long long period) {
  long long worth =
      quota > 0 && period > 0 ? (quota + period - 1) / period : count;
  return worth < count ? (int)worth : count;
}

/* The first number of a file, and the second one, which may be missing. */
static void read_numbers(const char *root, const char *group, const char *name,
                         long long *first, long long *second) {
  char path[PLACE];
  FILE *file;
  snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/%s", root, group, name);
  file = fopen(path, "re");
  if (!file)
    return;
  if (fscanf(file, "%18lld %18lld", first, second) < 1)
    *first = -1;
  fclose(file);
}

/* Version 2: each level up to the root counts; a container sees its own group
   as the root. */
static int within(const char *root, char *group, int count) {
  for (;;) {
    long long quota = -1, period = -1;
    char *slash;
    read_numbers(root, group, "cpu.max", &quota, &period);
    count = least(count, quota, period);
    slash = strrchr(group, '/');
    if (!slash)
      return count;
    *slash = '\0';
  }
}

/* Version 1, below the controller's own folder. */
static int within_old(const char *root, const char *group, int count) {
  char place[LINE + 8];
  long long quota = -1, period = -1, none;
  snprintf(place, sizeof place, "/cpu%s", group);
  read_numbers(root, place, "cpu.cfs_quota_us", &quota, &none);
  read_numbers(root, place, "cpu.cfs_period_us", &period, &none);
  return least(count, quota, period);
}

static int has_cpu(const char *controllers) {
  size_t len;
  for (; *controllers && *controllers != ':'; controllers += len) {
    len = strcspn(controllers, ",:");
    if (len == 3 && memcmp(controllers, "cpu", 3) == 0)
      return 1;
    len += controllers[len] == ',';
  }
  return 0;
}

int fcgi__cpus(const char *root) {
  char line[LINE];
  int count = affinity();
  FILE *file;
  snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
  file = fopen(line, "re");
  while (file && fgets(line, sizeof line, file)) {
    const char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
      continue;
    group[1 + strcspn(group + 1, "\n")] = '\0';
    if (controllers + 1 == group)
      count = within(root, group + 1, count);
    else if (has_cpu(controllers + 1))
      count = within_old(root, "", within_old(root, group + 1, count));
  }
  if (file)
    fclose(file);
  return count < 1 ? 1 : count;
}
