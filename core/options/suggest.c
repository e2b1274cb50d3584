/* SPDX-License-Identifier: MIT */
/* What somebody meant who wrote an option that is not there. */
#include "options/map.h"
#include "options/table.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define INSTEAD(name_, instead_) {name_, instead_},

static const struct {
  const char *name;    /* Of an option of gunicorn's. */
  const char *instead; /* What there is here. */
} elsewhere[] = {FCGI_OPTION_ELSEWHERE(INSTEAD)};

static const char *const launchers[] = {[FCGI_LAUNCHER_PYTHON] =
                                            "python -m fastcgi",
                                        [FCGI_LAUNCHER_LUA] = "fcgi-lua",
                                        [FCGI_LAUNCHER_RUN] = "fcgi run"};

static int least(int a, int b, int c) {
  int two = a < b ? a : b;
  return two < c ? two : c;
}

/* How many letters must change to turn `a` into `b` (Levenshtein). */
static int distance(const char *a, const char *b) {
  int row[FCGI__OPTION_NUMBER];
  int width = (int)strlen(b);
  if (width >= FCGI__OPTION_NUMBER)
    return INT_MAX;
  for (int j = 0; j <= width; j++)
    row[j] = j;
  for (int i = 1; a[i - 1]; i++) {
    int corner = row[0];
    row[0] = i;
    for (int j = 1; j <= width; j++) {
      int above = row[j];
      int change = corner + (a[i - 1] != b[j - 1]);
      row[j] = least(above + 1, row[j - 1] + 1, change);
      corner = above;
    }
  }
  return row[width];
}

/* Who errs in a letter seldom errs in the first. */
static const fcgi_option *nearest(fcgi_launcher launcher, const char *key) {
  const fcgi_option *best = NULL, *option;
  int best_distance = (int)strlen(key) / 3 + 2;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    int changes = distance(key, option->name);
    if ((option->launchers & 1u << launcher) && option->name[0] == key[0] &&
        changes < best_distance) {
      best = option;
      best_distance = changes;
    }
  }
  return best;
}

static const char *first_launcher(const fcgi_option *option) {
  int i = 0;
  while (!(option->launchers & 1u << i))
    i++;
  return launchers[i];
}

/* What there is of an option that only others have. */
static void tell_whose(fcgi_launcher launcher, const fcgi_option *option,
                       char *out, size_t len) {
  if (launcher != FCGI_LAUNCHER_RUN)
    snprintf(out, len, "; %s has it", first_launcher(option));
  else if (option->scope == FCGI_OPTION_FOR_WORKER)
    snprintf(out, len, ": it is the program's own, behind --");
  else
    snprintf(out, len, ": SIGHUP replaces the workers");
}

static const char *find_elsewhere(const char *key) {
  for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
    if (strcmp(elsewhere[i].name, key) == 0)
      return elsewhere[i].instead;
  return NULL;
}

/* Most of a name. */
static int begins(const char *key, const char *name) {
  size_t len = strlen(key);
  return strncmp(name, key, len) == 0 && 3 * len >= 2 * strlen(name);
}

static int begins_one(const char *key) {
  const fcgi_option *option;
  int count = 0;
  for (size_t i = 0; (option = fcgi_option_at(i)); i++)
    count += begins(key, option->name);
  return count == 1;
}

/* Fewer changes than for a word of a command line, which is meant for us. The
   beginning of a name will do, if it is that of no other. */
static int is_near(const char *key, const char *name) {
  if (begins(key, name) && begins_one(key))
    return 1;
  return *name == *key && 3 * (size_t)distance(key, name) <= strlen(key);
}

int fcgi__option_resembles(const char *key, char *out, size_t len) {
  const char *instead = find_elsewhere(key);
  const fcgi_option *option = fcgi_option_find(key);
  char name[FCGI__OPTION_PATH];
  if (option && option->scope == FCGI_OPTION_FOR_COMMAND) {
    snprintf(out, len, ", but of the command line alone");
    return 1;
  }
  if (instead) {
    snprintf(out, len, ": %s", instead);
    return 1;
  }
  for (size_t i = 0; (option = fcgi_option_at(i)); i++)
    if (option->scope != FCGI_OPTION_FOR_COMMAND &&
        is_near(key, option->name)) {
      fcgi__option_variable(option, name);
      snprintf(out, len, "; did you mean %s?", name);
      return 1;
    }
  return 0;
}

void fcgi__option_suggest(fcgi_launcher launcher, const char *name,
                          const char *before, char *out, size_t len) {
  char key[FCGI__OPTION_NUMBER], shown[FCGI__OPTION_NUMBER];
  const fcgi_option *option = fcgi_option_find(name);
  const char *instead;
  *out = '\0';
  fcgi__option_key(name, strlen(name), key);
  instead = find_elsewhere(key);
  if (option && !(option->launchers & 1u << launcher)) {
    tell_whose(launcher, option, out, len);
  } else if (instead) {
    snprintf(out, len, ": %s", instead);
  } else if ((option = nearest(launcher, key))) {
    snprintf(shown, sizeof shown, "%s", option->name);
    for (char *c = shown; *before && *c; c++)
      *c = *c == '_' ? '-' : *c;
    snprintf(out, len, "; did you mean %s%s%s?", *before ? before : "'", shown,
             *before ? "" : "'");
  }
}
