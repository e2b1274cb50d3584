/* SPDX-License-Identifier: MIT */
#include "options/table.h"
#include "options/map.h"
#include <limits.h>
#include <string.h>

/* The words of the map, as parts of a row. */
#define TEXT(value_, unset_)                                                   \
  .option.kind = FCGI_OPTION_TEXT, .option.value = value_,                     \
  .option.unset = unset_
#define USERS(value_, unset_)                                                  \
  .option.kind = FCGI_OPTION_USERS, .option.value = value_,                    \
  .option.unset = unset_
#define NAMED_SIZE(value_, unset_)                                             \
  .option.kind = FCGI_OPTION_NAMED_SIZE, .option.value = value_,               \
  .option.unset = unset_
#define URL_PATH(unset_)                                                       \
  .option.kind = FCGI_OPTION_PATH, .option.value = "PATH",                     \
  .option.unset = unset_, .option.may_be_empty = 1
#define FLAG .option.kind = FCGI_OPTION_FLAG, .option.most = 1
#define NUMBER(kind_, value_, standard_, least_, most_)                        \
  .option.kind = kind_, .option.value = value_, .option.standard = standard_,  \
  .option.least = least_, .option.most = (int64_t)(most_)
#define COUNT(value_, standard_, least_, most_)                                \
  NUMBER(FCGI_OPTION_COUNT, value_, standard_, least_, most_)
#define COUNT_OR_AUTO(value_, unset_, least_, most_)                           \
  NUMBER(FCGI_OPTION_PROCESSES, value_, NULL, least_, most_),                  \
      .option.unset = unset_
#define BYTES(value_, standard_, least_, most_)                                \
  NUMBER(FCGI_OPTION_BYTES, value_, standard_, least_, most_)
#define SECONDS(value_, standard_, least_, most_)                              \
  NUMBER(FCGI_OPTION_SECONDS, value_, standard_, least_, most_)
#define MODE(standard_, least_)                                                \
  NUMBER(FCGI_OPTION_MODE, "MODE", standard_, least_, 0777)
#define CHOICE(value_, standard_, words_)                                      \
  NUMBER(FCGI_OPTION_CHOICE, value_, standard_, 0, CHAR_MAX),                  \
      .option.words = words_
#define UNSET(unset_)       .option.unset = unset_
#define STANDARD(standard_) .option.standard = standard_

#define SERVER    .option.scope = FCGI_OPTION_FOR_SERVER
#define WORKER    .option.scope = FCGI_OPTION_FOR_WORKER
#define PROCESSES .option.scope = FCGI_OPTION_FOR_PROCESSES
#define COMMAND   .option.scope = FCGI_OPTION_FOR_COMMAND

#define PYTHON .option.launchers = 1u << FCGI_LAUNCHER_PYTHON
#define RUN    .option.launchers = 1u << FCGI_LAUNCHER_RUN
#define APPS                                                                   \
  .option.launchers = 1u << FCGI_LAUNCHER_PYTHON | 1u << FCGI_LAUNCHER_LUA
#define EVERYWHERE                                                             \
  .option.launchers = 1u << FCGI_LAUNCHER_PYTHON | 1u << FCGI_LAUNCHER_LUA |   \
                      1u << FCGI_LAUNCHER_RUN

#define PLACE(config, field)                                                   \
  { offsetof(config, field), sizeof(((config *)NULL)->field) }
#define IN_SERVER(type, field) .server = PLACE(fcgi_server_config, field)
#define IN_SUPERVISOR(type, field)                                             \
  .supervisor = PLACE(fcgi_supervisor_config, field)

#define LETTER(letter_)  .option.letter = letter_
#define REPEATED         .option.repeatable = 1
#define POSITIONAL       .option.positional = 1
#define COMMAS           .option.is_list = 1
#define LEVELS           .levels = 1
#define OR_NONE(none_)   .option.may_be_none = 1, .option.none = none_
#define OR_NEVER         OR_NONE("never"), .option.by_word = 1
#define EXAMPLE(text_)   .option.example = text_
#define OR_EMPTY         .option.may_be_empty = 1
#define FIXED            .option.is_fixed = 1
#define RUN_FROM(least_) .run_least = least_
#define GUNICORN         .option.in_gunicorn = 1
#define HELP(help_)      .option.help = help_
#define IN_PYTHON(form)  .forms[FCGI_LAUNCHER_PYTHON] = form
#define IN_LUA(form)     .forms[FCGI_LAUNCHER_LUA] = form

#define MOST      (INT64_MAX / 4)
#define MOST_SIZE (SIZE_MAX / 2 < MOST ? SIZE_MAX / 2 : MOST)
#define MOST_TIME (INT64_C(100000000000) * 1000) /* Some 3,000 years. */

#define ROW(name_, ...)   {.option.name = #name_, __VA_ARGS__},
#define GROUP(title, map) map(ROW)

static const fcgi__option_row rows[] = {FCGI_OPTION_GROUPS(GROUP)};

enum { ROWS = sizeof rows / sizeof *rows };

size_t fcgi__option_count(void) {
  return ROWS;
}

const fcgi__option_row *fcgi__option_row_at(size_t index) {
  return &rows[index];
}

const fcgi_option *fcgi_option_at(size_t index) {
  return index < ROWS ? &rows[index].option : NULL;
}

size_t fcgi__option_index(const fcgi_option *option) {
  return (size_t)((const fcgi__option_row *)(const void *)option - rows);
}

void fcgi__option_key(const char *name, size_t name_len, char *out) {
  size_t len = 0;
  for (; len < name_len && len + 1 < FCGI__OPTION_NUMBER; len++)
    out[len] = name[len] == '-' ? '_' : name[len];
  out[len] = '\0';
}

const fcgi_option *fcgi_option_find(const char *name) {
  char key[FCGI__OPTION_NUMBER];
  fcgi__option_key(name, strlen(name), key);
  for (size_t i = 0; i < ROWS; i++)
    if (strcmp(rows[i].option.name, key) == 0)
      return &rows[i].option;
  return NULL;
}

void fcgi__option_variable(const fcgi_option *option, char *out) {
  size_t len = sizeof "FASTCGI_" - 1;
  memcpy(out, "FASTCGI_", len);
  for (const char *c = option->name; *c && len + 1 < FCGI__OPTION_PATH; c++)
    out[len++] = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
  out[len] = '\0';
}

/* The title of the group that row `index` is in. */
const char *fcgi__option_group(size_t index) {
#define ONE(name_, ...)  +1
#define SIZE(title, map) {title, 0 map(ONE)},
  static const struct {
    const char *title; /* Of the group. */
    size_t count;      /* Options in it. */
  } groups[] = {FCGI_OPTION_GROUPS(SIZE)};
  size_t group = 0;
  for (; index >= groups[group].count; group++)
    index -= groups[group].count;
  return groups[group].title;
}
