/* SPDX-License-Identifier: MIT */
#include "parent/starter.h"
#include "base/number.h"
#include "os/sealed.h"
#include "parent/notify.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void hear(char *out, size_t size, const char *name) {
  const char *text = getenv(name);
  if (text && *text)
    snprintf(out, size, "%s", text);
}

/* Programs that a handler starts do not get the memory of the workers, which a
   handler may open at any time. */
static void keep_quota(void) {
  const char *text = getenv("FASTCGI_QUOTA");
  int said[2]; /* Our process id, and the descriptor. */
  if (text && fcgi__number_list(text, said, 2) == 0 && said[0] == getpid() &&
      said[1] > 0)
    fcntl(said[1], F_SETFD, FD_CLOEXEC);
}

static void keep_dictionaries(void) {
  const char *text = getenv("FASTCGI_SHARED_MEMORY");
  int said[3]; /* Our process id, the first descriptor, their number. */
  if (!text || fcgi__number_list(text, said, 3) < 0 || said[0] != getpid())
    return;
  for (int i = 0; i < said[2] && i < 16 && said[1] <= INT_MAX - i; i++)
    if (fcgi__sealed_is_one(said[1] + i))
      fcntl(said[1] + i, F_SETFD, FD_CLOEXEC);
}

void fcgi__starter_hear(fcgi__starter *starter) {
  int alive_ms = fcgi__notify_interval();
  hear(starter->notify, sizeof starter->notify, "NOTIFY_SOCKET");
  hear(starter->supervisor, sizeof starter->supervisor, "FASTCGI_SUPERVISOR");
  hear(starter->board, sizeof starter->board, "FASTCGI_SCOREBOARD");
  if (alive_ms > 0)
    starter->alive_ms = alive_ms;
  keep_dictionaries();
  keep_quota();
}

void fcgi__starter_forget(void) {
  static const char *const names[] = {
      "LISTEN_PID",           "LISTEN_FDS",         "LISTEN_FDNAMES",
      "NOTIFY_SOCKET",        "WATCHDOG_PID",       "WATCHDOG_USEC",
      "FASTCGI_HANDOVER",     "FASTCGI_UPGRADE",    "FASTCGI_UPGRADE_NOTIFY",
      "FASTCGI_SCOREBOARD",   "FASTCGI_SUPERVISOR", "FASTCGI_BASE_DIR",
      "FASTCGI_FILE_OPTIONS", "FASTCGI_SHARE"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (getenv(names[i]))
      unsetenv(names[i]);
}
