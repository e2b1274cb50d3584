/* SPDX-License-Identifier: MIT */
#include "conformance/case_file.h"

#include "conformance/expect.h"
#include "spec/broken.h"
#include "spec/case_text.h"
#include "spec/compose.h"
#include "support/unit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_step(case_file *c, case_action action) {
  assert_true(c->step_count < CASE_STEPS);
  c->steps[c->step_count++] = (case_step){.action = action};
}

/* What exactly is awaited matters on sockets only. */
static void send_line(case_file *c, const char *line) {
  static const char *const actions[] = {"", "close", "half_close", "silence",
                                        "timeout"};
  bytes sent = {.len = 0};
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
  compose(&sent, line);
  records_raw(&c->steps[c->step_count - 1].bytes, sent.data, sent.len);
  bytes_free(&sent);
}

static void set_limit(fcgi_session_config *config, char *word) {
  char *equals = strchr(word, '=');
  unsigned long value;
  assert_non_null(equals);
  *equals = '\0';
  value = strtoul(equals + 1, NULL, 10);
  if (strcmp(word, "limit_params_size") == 0)
    config->limit_params_size = value;
  else if (strcmp(word, "limit_params") == 0)
    config->limit_params = (uint32_t)value;
  else if (strcmp(word, "max_multiplexed") == 0)
    config->max_multiplexed = (uint32_t)value;
  else if (strcmp(word, "limit_connections") == 0)
    config->report_conns = (uint32_t)value;
  else if (strcmp(word, "header_timeout") != 0) /* A server's. */
    fail_msg("unknown limit '%s'", word);
}

static void set_limits(case_file *c, const char *value) {
  char *copy = strdup(value), *rest = NULL;
  assert_non_null(copy);
  for (char *word = strtok_r(copy, " ", &rest); word;
       word = strtok_r(NULL, " ", &rest))
    set_limit(&c->config, word);
  free(copy);
}

static char *whole_file(const char *path) {
  char *text = NULL;
  size_t room = 0;
  FILE *file = fopen(path, "r");
  if (!file || getdelim(&text, &room, '\0', file) < 0)
    fail_msg("cannot read %s", path);
  fclose(file);
  return text;
}

void case_file_read(case_file *c, const char *path) {
  char *text = whole_file(path);
  case_text from;
  case_text_read(&from, text);
  *c = (case_file){.config = {.size = sizeof c->config},
                   .open = from.open,
                   .closed = from.closed};
  snprintf(c->handler, sizeof c->handler, "%s", from.handler);
  set_limits(c, from.limits);
  for (size_t i = 0; i < from.lines[CASE_SEND].count; i++)
    send_line(c, from.lines[CASE_SEND].at[i]);
  for (size_t i = 0; i < from.lines[CASE_EVENTS].count; i++)
    expect_line(&c->events, from.lines[CASE_EVENTS].at[i]);
  for (size_t i = 0; i < from.lines[CASE_ANSWER].count; i++)
    expect_line(&c->answer, from.lines[CASE_ANSWER].at[i]);
  case_text_free(&from);
  free(text);
}

void spec_broken(const char *format, ...) {
  char message[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  fail_msg("%s", message);
  abort(); /* Not reached: a failed test does not go on. */
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
