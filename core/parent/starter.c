/* SPDX-License-Identifier: MIT */
#include "parent/starter.h"
#include "parent/notify.h"
#include <stdio.h>
#include <stdlib.h>

static void hear(char *out, size_t size, const char *name) {
  const char *text = getenv(name);
  if (text && *text)
    snprintf(out, size, "%s", text);
}

void fcgi__starter_hear(fcgi__starter *starter) {
  int alive_ms = fcgi__notify_interval();
  hear(starter->notify, sizeof starter->notify, "NOTIFY_SOCKET");
  hear(starter->supervisor, sizeof starter->supervisor, "FASTCGI_SUPERVISOR");
  hear(starter->board, sizeof starter->board, "FASTCGI_SCOREBOARD");
  if (alive_ms > 0)
    starter->alive_ms = alive_ms;
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
