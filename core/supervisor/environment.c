/* SPDX-License-Identifier: MIT */
#include "supervisor/environment.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a parent says to one child and the next child must not take for its
   own. NOTIFY_SOCKET is the one of our own parent. */
static const char *const personal[] = {
    "LISTEN_PID",         "LISTEN_FDS",
    "LISTEN_FDNAMES",     "WATCHDOG_PID",
    "WATCHDOG_USEC",      "FASTCGI_HANDOVER",
    "FASTCGI_UPGRADE",    "FASTCGI_UPGRADE_NOTIFY",
    "FASTCGI_WORKER",     "FASTCGI_SCOREBOARD",
    "FASTCGI_SUPERVISOR", "FASTCGI_FILE_OPTIONS",
    "FASTCGI_SHARE",      "FASTCGI_SHARED_MEMORY",
    "FASTCGI_QUOTA",
};

static int is_named(const char *variable, const char *name) {
  size_t len = strlen(name);
  return strncmp(variable, name, len) == 0 && variable[len] == '=';
}

static int is_personal(const char *variable) {
  for (size_t i = 0; i < sizeof personal / sizeof *personal; i++)
    if (is_named(variable, personal[i]))
      return 1;
  return 0;
}

/* Takes `variable` over, in the place of one with the same name. */
static int put(fcgi__environment *e, const char *name, char *variable) {
  size_t at = 0;
  if (!variable)
    return -1;
  while (at < e->count && !is_named(e->list[at], name))
    at++;
  if (at < e->count) {
    free(e->list[at]);
  } else if (e->count + 1 >= e->room) {
    size_t room = e->room ? 2 * e->room : 64;
    char **list = realloc(e->list, room * sizeof *list);
    if (!list) {
      free(variable);
      return -1;
    }
    e->list = list;
    e->room = room;
  }
  e->list[at] = variable;
  if (at == e->count)
    e->list[++e->count] = NULL;
  return 0;
}

int fcgi__environment_copy(fcgi__environment *out) {
  extern char **environ;
  *out = (fcgi__environment){.list = NULL};
  for (char **at = environ; at && *at; at++) {
    char name[256];
    size_t len = strcspn(*at, "=");
    if (is_personal(*at) || len >= sizeof name)
      continue;
    memcpy(name, *at, len);
    name[len] = '\0';
    if (put(out, name, strdup(*at)))
      return -1;
  }
  return 0;
}

int fcgi__environment_set(fcgi__environment *e, const char *name,
                          const char *format, ...) {
  va_list arguments;
  char *value = NULL, *variable = NULL;
  size_t size;
  int len;
  va_start(arguments, format);
  len = vasprintf(&value, format, arguments);
  va_end(arguments);
  if (len < 0)
    return -1;
  size = strlen(name) + (size_t)len + 2;
  variable = malloc(size);
  if (variable)
    snprintf(variable, size, "%s=%s", name, value);
  free(value);
  return put(e, name, variable);
}

int fcgi__environment_set_pid(fcgi__environment *e, const char *name,
                              const char *rest) {
  if (e->place_count == FCGI__PLACES ||
      fcgi__environment_set(e, name, "%0*d%s", FCGI__PID_DIGITS, 0, rest))
    return -1;
  e->places[e->place_count++] = e->list[e->count - 1] + strlen(name) + 1;
  return 0;
}

/* Where nothing follows there are no leading zeros: some readers would take
   the number for an octal one. */
void fcgi__environment_stamp(const fcgi__environment *e, pid_t pid) {
  for (size_t i = 0; i < e->place_count; i++) {
    char *at = e->places[i];
    int skip = at[FCGI__PID_DIGITS] == '\0', used = 0;
    char digits[FCGI__PID_DIGITS];
    long rest = (long)pid;
    for (int j = FCGI__PID_DIGITS - 1; j >= 0; j--, rest /= 10)
      digits[j] = (char)('0' + rest % 10);
    for (int j = 0; j < FCGI__PID_DIGITS; j++)
      if (!skip || used || digits[j] != '0')
        at[used++] = digits[j];
    if (skip)
      at[used] = '\0';
  }
}

void fcgi__environment_free(fcgi__environment *e) {
  for (size_t i = 0; i < e->count; i++)
    free(e->list[i]);
  free(e->list);
  *e = (fcgi__environment){.list = NULL};
}
