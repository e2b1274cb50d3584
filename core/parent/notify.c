/* SPDX-License-Identifier: MIT */
#include "parent/notify.h"
#include "base/number.h"
#include "os/clock.h"
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

int fcgi__notify_send(const char *name, const char *text) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  const struct timeval patience = {.tv_sec = 1};
  size_t len = strlen(name);
  int fd, saved;
  ssize_t sent;
  if (len < 2 || len >= sizeof to.sun_path || (*name != '/' && *name != '@')) {
    errno = EINVAL;
    return -1;
  }
  fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return -1;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  memcpy(to.sun_path, name, len);
  if (*name == '@')
    to.sun_path[0] = '\0';
  sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
  saved = errno;
  close(fd);
  errno = saved;
  return sent < 0 ? -1 : 0;
}

static long long number_from(const char *variable) {
  const char *text = getenv(variable);
  uint64_t number;
  return text && fcgi__number_parse(text, 1, LLONG_MAX, &number) == 0
             ? (long long)number
             : 0;
}

int fcgi__notify_interval(void) {
  long long usec = number_from("WATCHDOG_USEC"), half = usec / 2000;
  const char *pid = getenv("WATCHDOG_PID");
  if (usec == 0 || (pid && number_from("WATCHDOG_PID") != (long long)getpid()))
    return 0;
  return half < 1 ? 1 : half > INT_MAX ? INT_MAX : (int)half;
}

void fcgi__notify_begin(fcgi__notify *notify, int every_ms) {
  atomic_store(&notify->alive_due, fcgi__now());
  atomic_store(&notify->every_ms, every_ms);
}

long long fcgi__notify_alive(fcgi__notify *notify, const char *name) {
  int every = atomic_load_explicit(&notify->every_ms, memory_order_relaxed);
  long long due, now;
  if (every == 0)
    return LLONG_MAX;
  now = fcgi__now();
  due = atomic_load(&notify->alive_due);
  if (due > now)
    return due;
  if (atomic_compare_exchange_strong(&notify->alive_due, &due, now + every))
    fcgi__notify_send(name, "WATCHDOG=1");
  return now + every;
}
