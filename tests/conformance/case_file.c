/* SPDX-License-Identifier: MIT */
#include "conformance/case_file.h"

#include "conformance/compose.h"
#include "conformance/expect.h"
#include "support/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEND = 1, EVENTS = 2, ANSWER = 3 };

static void add_step(case_file *c, case_action action) {
  assert_true(c->step_count < CASE_STEPS);
  c->steps[c->step_count++] = (case_step){.action = action};
}

/* What exactly is awaited matters on sockets only. */
static void send_line(case_file *c, const char *line) {
  static const char *const actions[] = {"", "close", "half_close", "silence",
                                        "timeout"};
  if (strncmp(line, "await ", 6) == 0) {
    add_step(c, CASE_AWAIT);
    return;
  }
  if (strcmp(line, "reset") == 0) {
    add_step(c, CASE_CLOSE);
    return;
  }
  for (int i = CASE_CLOSE; i <= CASE_TIMEOUT; i++) {
    if (strcmp(line, actions[i]) == 0) {
      add_step(c, (case_action)i);
      return;
    }
  }
  if (c->step_count == 0 || c->steps[c->step_count - 1].action != CASE_BYTES)
    add_step(c, CASE_BYTES);
  compose(&c->steps[c->step_count - 1].bytes, line);
}

static void answer_line(case_file *c, const char *line) {
  if (strcmp(line, "open") == 0)
    c->open = 1;
  else if (strcmp(line, "closed") == 0)
    c->closed = 1;
  else
    expect_line(&c->answer, line);
}

static void section_line(case_file *c, const char *line) {
  line += strspn(line, " ");
  if (*line == '#')
    return;
  if (c->section == SEND)
    send_line(c, line);
  else if (c->section == EVENTS)
    expect_line(&c->events, line);
  else if (c->section == ANSWER)
    answer_line(c, line);
  else
    fail_msg("'%s' is in no section", line);
}

static void set_limit(fcgi_session_config *config, char *word) {
  char *equals = strchr(word, '=');
  unsigned long value;
  assert_non_null(equals);
  *equals = '\0';
  value = strtoul(equals + 1, NULL, 10);
  if (strcmp(word, "params_bytes") == 0)
    config->params_bytes = value;
  else if (strcmp(word, "params_pairs") == 0)
    config->params_pairs = (uint32_t)value;
  else if (strcmp(word, "max_requests") == 0)
    config->max_requests = (uint32_t)value;
  else if (strcmp(word, "max_connections") == 0)
    config->report_conns = (uint32_t)value;
  else if (strcmp(word, "header_timeout_ms") != 0) /* A server's. */
    fail_msg("unknown limit '%s'", word);
}

static void set_limits(case_file *c, char *value) {
  char *rest = NULL;
  for (char *word = strtok_r(value, " ", &rest); word;
       word = strtok_r(NULL, " ", &rest))
    set_limit(&c->config, word);
}

/* The other fields are for people and for the table of statements. */
static void field(case_file *c, char *line, char *colon) {
  char *value = colon + 1;
  value += strspn(value, " ");
  *colon = '\0';
  if (strcmp(line, "handler") == 0)
    snprintf(c->handler, sizeof c->handler, "%s", value);
  else if (strcmp(line, "limits") == 0)
    set_limits(c, value);
}

static void top_line(case_file *c, char *line) {
  char *colon = strchr(line, ':');
  if (strcmp(line, "send") == 0)
    c->section = SEND;
  else if (strcmp(line, "events") == 0)
    c->section = EVENTS;
  else if (strcmp(line, "answer") == 0)
    c->section = ANSWER;
  else if (colon)
    field(c, line, colon);
  else
    fail_msg("'%s' is neither a field nor a section", line);
}

void case_file_read(case_file *c, const char *path) {
  char *line = NULL;
  size_t room = 0;
  FILE *file = fopen(path, "r");
  if (!file)
    fail_msg("cannot read %s", path);
  *c = (case_file){.config = {.size = sizeof c->config}, .handler = "echo"};
  while (getline(&line, &room, file) >= 0) {
    line[strcspn(line, "\n")] = '\0';
    if (*line == ' ')
      section_line(c, line);
    else if (*line != '\0' && *line != '#')
      top_line(c, line);
  }
  free(line);
  fclose(file);
  assert_true(c->step_count > 0);
}

void case_file_free(case_file *c) {
  for (size_t i = 0; i < c->step_count; i++)
    records_free(&c->steps[i].bytes);
  records_free(&c->events);
  records_free(&c->answer);
}

size_t case_file_size(const case_file *c) {
  size_t size = 0;
  for (size_t i = 0; i < c->step_count; i++)
    size += c->steps[i].bytes.len;
  return size;
}
