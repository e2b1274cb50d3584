/* SPDX-License-Identifier: MIT */
#include "os/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* What /proc says of a process. */
typedef struct proc_stat {
  char state;     /* Its letter, 'Z' for one that waits to be reaped. */
  long threads;   /* Threads that it has. */
  uint32_t began; /* When it began, in ticks, the lower half. */
} proc_stat;

/* The word at `index` behind the name, which may have spaces and parentheses;
   numbers count from 0. */
static const char *word_at(const char *text, unsigned index) {
  const char *at = strrchr(text, ')');
  for (unsigned i = 0; at && i <= index; i++) {
    at = strchr(at, ' ');
    at = at ? at + 1 : NULL;
  }
  return at;
}

static int parse(const char *text, proc_stat *out) {
  const char *state = word_at(text, 0), *threads = word_at(text, 17),
             *began = word_at(text, 19);
  if (!began)
    return -1;
  out->state = *state;
  out->threads = strtol(threads, NULL, 10);
  out->began = (uint32_t)strtoull(began, NULL, 10);
  return 0;
}

static int look_at(const char *path, proc_stat *out) {
  char text[1024];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t len;
  if (fd < 0)
    return -1;
  len = read(fd, text, sizeof text - 1);
  close(fd);
  if (len <= 0)
    return -1;
  text[len] = '\0';
  return parse(text, out);
}

static fcgi__owner look_at_self(void) {
  fcgi__owner self = (uint64_t)getpid();
  proc_stat about;
  if (look_at("/proc/self/stat", &about) == 0)
    self |= (uint64_t)about.began << 32;
  return self;
}

void fcgi__here_init(fcgi__here *here) {
  fcgi__process_init(&here->process);
  here->owner = look_at_self();
  atomic_store(&here->latest, 0);
}

void fcgi__here_clear(fcgi__here *here) {
  fcgi__process_clear(&here->process);
}

fcgi__owner fcgi__owner_child(fcgi__here *here) {
  fcgi__owner latest = atomic_load(&here->latest);
  if ((pid_t)(latest & FCGI__OWNER_PID) != getpid()) {
    latest = look_at_self();
    atomic_store(&here->latest, latest);
  }
  return latest;
}

/* Where /proc hides other processes, kill(2) still tells whether there is one.
   The first thread may have ended while others run: the state is that of the
   first one alone. */
int fcgi__owner_is_dead(fcgi__owner owner) {
  pid_t pid = (pid_t)(owner & FCGI__OWNER_PID);
  uint32_t began = (uint32_t)(owner >> 32);
  char path[48];
  proc_stat about;
  if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH))
    return 1;
  snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
  if (look_at(path, &about) < 0)
    return 0;
  if (began && about.began != began)
    return 1;
  return (about.state == 'Z' || about.state == 'X') && about.threads <= 1;
}

uint64_t fcgi__owner_namespace(void) {
  struct stat about;
  return stat("/proc/self/ns/pid", &about) == 0 ? (uint64_t)about.st_ino : 0;
}
