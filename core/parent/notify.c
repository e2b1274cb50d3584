/* SPDX-License-Identifier: MIT */
#include "parent/notify.h"
#include "base/number.h"
#include "os/clock.h"
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* By bits of what is told. */
static const char *const words[] = {"FASTCGI=STOP_BY_PIPE", "READY=1",
                                    "FASTCGI=RETIRE", "STOPPING=1"};

int fcgi__notify_send(const char *name, const char *text) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
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
  memcpy(to.sun_path, name, len);
  if (*name == '@')
    to.sun_path[0] = '\0';
  sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                (struct sockaddr *)&to,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
  saved = errno;
  close(fd);
  errno = saved;
  return sent < 0 ? -1 : 0;
}

int fcgi__notify_is_passing(int error) {
  return error == EAGAIN || error == EINTR || error == ENOBUFS ||
         error == ENOMEM || error == EMFILE || error == ENFILE;
}

static int send_words(const char *name, unsigned what) {
  char text[128];
  size_t len = 0;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (what & 1U << i)
      len += (size_t)snprintf(text + len, sizeof text - len, "%s%s",
                              len ? "\n" : "", words[i]);
  return len ? fcgi__notify_send(name, text) : 0;
}

/* One thread at a time, so that nothing overtakes what was said before. What
   others owe meanwhile that thread sends, too: the process may end soon. */
static int pay(fcgi__notify *notify, const char *name) {
  int result = 0, full = 0;
  while (!full && atomic_load(&notify->owed) &&
         !atomic_exchange(&notify->telling, 1)) {
    unsigned what = atomic_exchange(&notify->owed, 0);
    result = what ? send_words(name, what) : 0;
    full = result < 0 && fcgi__notify_is_passing(errno);
    if (full)
      atomic_fetch_or(&notify->owed, what);
    atomic_store(&notify->telling, 0);
  }
  return full ? 0 : result;
}

int fcgi__notify_tell(fcgi__notify *notify, const char *name, unsigned what) {
  if (!*name)
    return -1;
  atomic_fetch_or(&notify->owed, what);
  return pay(notify, name);
}

long long fcgi__notify_again(fcgi__notify *notify, const char *name,
                             long long now) {
  if (atomic_load(&notify->owed) == 0)
    return LLONG_MAX;
  pay(notify, name);
  return atomic_load(&notify->owed) ? now + FCGI__NOTIFY_AGAIN_MS : LLONG_MAX;
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

/* What finds no room is due again soon: half of the time that the listener
   allows has passed already. */
long long fcgi__notify_alive(fcgi__notify *notify, const char *name) {
  int every = atomic_load_explicit(&notify->every_ms, memory_order_relaxed);
  long long due, now, next;
  if (every == 0)
    return LLONG_MAX;
  now = fcgi__now();
  due = atomic_load(&notify->alive_due);
  if (due > now)
    return due;
  next = now + every;
  if (!atomic_compare_exchange_strong(&notify->alive_due, &due, next) ||
      fcgi__notify_send(name, "WATCHDOG=1") == 0 ||
      !fcgi__notify_is_passing(errno) || every <= FCGI__NOTIFY_AGAIN_MS)
    return next;
  due = now + FCGI__NOTIFY_AGAIN_MS;
  atomic_compare_exchange_strong(&notify->alive_due, &next, due);
  return due;
}
