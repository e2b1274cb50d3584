/* SPDX-License-Identifier: MIT */
#include "os/users.h"
#include "base/alloc.h"
#include "base/number.h"
#include <fastcgi/error.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { DATABASE_LINE = 16384, NAME = 256 };
#define MOST_ID ((uint64_t)UINT32_MAX - 1) /* The next one is (uid_t)-1. */

static int refuse(char *why, size_t why_len, const char *name,
                  const char *what) {
  snprintf(why, why_len, "\"%.64s\" %s", name, what);
  return FCGI_ERR_INVALID;
}

static int find(const char *name, uid_t *id, char *why, size_t why_len) {
  char line[DATABASE_LINE];
  struct passwd entry, *found = NULL;
  uint64_t number;
  if (fcgi__number_is(name)) {
    if (fcgi__number_parse(name, 0, MOST_ID, &number))
      return refuse(why, why_len, name,
                    "is the number of no user; they end at 4294967294");
    *id = (uid_t)number;
    return 0;
  }
  getpwnam_r(name, &entry, line, sizeof line, &found);
  if (!found)
    return refuse(why, why_len, name, "is no user of this machine");
  *id = found->pw_uid;
  return 0;
}

/* The word at `text` without the blanks around it, in `name`. */
static int take_word(const char *text, char *name, char *why, size_t why_len) {
  size_t start = strspn(text, " \t");
  size_t len = strcspn(text + start, ",");
  while (len > 0 && strchr(" \t", text[start + len - 1]))
    len--;
  if (len == 0 || len >= NAME)
    return refuse(why, why_len, text, "has no user between its commas");
  memcpy(name, text + start, len);
  name[len] = '\0';
  return 0;
}

static size_t count_words(const char *text) {
  size_t count = 1;
  for (; *text; text++)
    count += *text == ',';
  return count;
}

int fcgi__users_parse(fcgi__users *out, const fcgi_allocator *allocator,
                      const char *text, char *why, size_t why_len) {
  size_t count = count_words(text);
  int error = 0;
  *out = (fcgi__users){
      .ids = fcgi__realloc(allocator, NULL, count * sizeof *out->ids)};
  if (!out->ids)
    return FCGI_ERR_NOMEM;
  while (!error && out->count < count) {
    char name[NAME];
    error = take_word(text, name, why, why_len);
    if (!error)
      error = find(name, &out->ids[out->count++], why, why_len);
    text += strcspn(text, ",");
    text += *text == ',';
  }
  if (error)
    fcgi__users_clear(out, allocator);
  return error;
}

int fcgi__users_has(const fcgi__users *users, uid_t id) {
  for (size_t i = 0; i < users->count; i++)
    if (users->ids[i] == id)
      return 1;
  return 0;
}

void fcgi__users_clear(fcgi__users *users, const fcgi_allocator *allocator) {
  fcgi__free(allocator, users->ids);
  *users = (fcgi__users){0};
}
