/* SPDX-License-Identifier: MIT */
#include "case_text.h"
#include "broken.h"
#include <stdlib.h>
#include <string.h>

static const char *const section_names[CASE_SECTIONS] = {"send", "events",
                                                         "answer"};

static void add_line(case_lines *lines, const char *line) {
  const char **grown =
      realloc(lines->at, (lines->count + 1) * sizeof *lines->at);
  if (!grown)
    spec_broken("out of memory");
  lines->at = grown;
  lines->at[lines->count++] = line;
}

/* The last line of an answer says what becomes of the connection. */
static void section_line(case_text *c, int section, const char *line) {
  line += strspn(line, " ");
  if (*line == '#')
    return;
  if (section == CASE_SECTIONS)
    spec_broken("'%s' is in no section", line);
  if (section == CASE_ANSWER && strcmp(line, "open") == 0)
    c->open = 1;
  else if (section == CASE_ANSWER && strcmp(line, "closed") == 0)
    c->closed = 1;
  else
    add_line(&c->lines[section], line);
}

/* Fields not named here are for the tables of statements and inputs. */
static void field(case_text *c, const char *name, const char *value) {
  const struct {
    const char *name;  /* As the file has it. */
    const char **into; /* Where its value goes. */
  } fields[] = {{"title", &c->title},
                {"kind", &c->kind},
                {"statements", &c->statements},
                {"handler", &c->handler},
                {"limits", &c->limits}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (strcmp(fields[i].name, name) == 0)
      *fields[i].into = value;
}

/* A field, or the name of the section that begins. */
static int top_line(case_text *c, char *line) {
  char *colon = strchr(line, ':');
  for (int i = 0; i < CASE_SECTIONS; i++)
    if (strcmp(line, section_names[i]) == 0)
      return i;
  if (!colon)
    spec_broken("'%s' is neither a field nor a section", line);
  *colon = '\0';
  field(c, line, colon + 1 + strspn(colon + 1, " "));
  return CASE_SECTIONS;
}

void case_text_read(case_text *c, const char *text) {
  int section = CASE_SECTIONS;
  char *rest = NULL;
  *c = (case_text){.title = "",
                   .kind = "",
                   .statements = "",
                   .handler = "echo",
                   .limits = "",
                   .copy = strdup(text)};
  if (!c->copy)
    spec_broken("out of memory");
  for (char *line = strtok_r(c->copy, "\n", &rest); line;
       line = strtok_r(NULL, "\n", &rest)) {
    if (*line == ' ')
      section_line(c, section, line);
    else if (*line != '#')
      section = top_line(c, line);
  }
  if (c->lines[CASE_SEND].count == 0)
    spec_broken("'%s' sends nothing", c->title);
}

void case_text_free(case_text *c) {
  for (int i = 0; i < CASE_SECTIONS; i++)
    free(c->lines[i].at);
  free(c->copy);
}
