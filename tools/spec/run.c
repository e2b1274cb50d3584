/* SPDX-License-Identifier: MIT */
#include "run.h"
#include "../tool.h"
#include "judge.h"
#include "play.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
  HARM_MOST = 5,     /* So many cases may harm the application. */
  REST_MS = 3000,    /* A harmed one has so long to come back. */
  REST_STEP_MS = 100 /* Between two looks. */
};

int spec_fail(spec_case *c, const char *came, const char *expected, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, expected);
  vsnprintf(text, sizeof text, expected, arguments);
  va_end(arguments);
  c->result = SPEC_FAIL;
  c->expected.len = c->came.len = 0;
  bytes_text(&c->expected, text);
  bytes_text(&c->came, came);
  return -1;
}

int spec_skip(spec_case *c, const char *reason, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, reason);
  vsnprintf(text, sizeof text, reason, arguments);
  va_end(arguments);
  c->result = SPEC_SKIP;
  c->came.len = 0;
  bytes_text(&c->came, text);
  return -1;
}

static void rest(void) {
  const struct timespec step = {0, REST_STEP_MS * 1000000L};
  nanosleep(&step, NULL);
}

int run_first(spec_target *target) {
  talk said = {.count = 0};
  bytes problem = {.len = 0};
  const exchange *came;
  int result = play_plain(target, &said, &problem);
  if (result == 0) {
    came = talk_find(&said, 1, 0);
    judge_cgi(&came->out, &target->plain_status);
    target->unclosed = !came->out_closed;
    target->closes = play_closes(target);
    target->multiplexes = play_ask_multiplexing(target);
  } else {
    tool_complain(result, "spec: %s: no answer to a plain request: %s",
                  target->address, bytes_string(&problem));
  }
  talk_free(&said);
  bytes_free(&problem);
  return result;
}

/* 1 when it answers a plain request as it did at the start. */
static int is_well(const spec_target *target, bytes *problem) {
  talk said = {.count = 0};
  int status, well = play_plain(target, &said, problem) == 0;
  if (well) {
    judge_cgi(&talk_find(&said, 1, 0)->out, &status);
    well = status == target->plain_status;
    if (!well)
      bytes_format(problem, "status %d instead of %d", status,
                   target->plain_status);
  }
  talk_free(&said);
  return well;
}

/* 1 when it comes back within the time. */
static int recovers(const spec_target *target) {
  bytes problem = {.len = 0};
  long deadline = wire_now() + REST_MS;
  int well = 0;
  while (!well && wire_now() < deadline) {
    rest();
    problem.len = 0;
    well = is_well(target, &problem);
  }
  bytes_free(&problem);
  return well;
}

/* What the application is like after a case: 0 well, 1 harmed, -1 gone. */
static int look_after(const spec_target *target, spec_case *c) {
  bytes problem = {.len = 0};
  int state = 0;
  if (!is_well(target, &problem)) {
    spec_fail(c, bytes_string(&problem),
              "a new connection whose plain request is answered afterwards");
    state = recovers(target) ? 1 : -1;
  }
  bytes_free(&problem);
  return state;
}

static void skip_rest(report *r, spec_case *cases, size_t from,
                      const char *reason) {
  for (size_t i = from; i < r->count; i++) {
    spec_skip(&cases[i], "%s", reason);
    report_case(r, &cases[i]);
  }
}

/* 0, or an exit status after a complaint. */
static int play_all(const spec_target *target, report *r, spec_case *cases) {
  int harmed = 0;
  for (size_t i = 0; i < r->count; i++) {
    int state = 0;
    play_case(target, &cases[i]);
    if (cases[i].result != SPEC_SKIP)
      state = look_after(target, &cases[i]);
    report_case(r, &cases[i]);
    harmed += state != 0;
    if (state < 0) {
      skip_rest(r, cases, i + 1, "not played: the application is gone");
      return tool_complain(
          TOOL_TRANSPORT,
          "spec: %s: the application has stopped answering after "
          "%s; %zu cases are left",
          target->address, cases[i].name, r->count - i - 1);
    }
    if (harmed == HARM_MOST && i + 1 < r->count) {
      skip_rest(r, cases, i + 1, "not played: earlier cases did harm");
      return tool_complain(TOOL_TRANSPORT,
                           "spec: %s: %d cases have stopped the application "
                           "from answering; %zu are left",
                           target->address, harmed, r->count - i - 1);
    }
  }
  return 0;
}

/* A run in which nothing was played must not look like a good one. */
static int check_played(const report *r) {
  for (size_t i = 0; i < r->count; i++)
    if (r->cases[i].result != SPEC_SKIP)
      return 0;
  return tool_complain(TOOL_USAGE, "spec: no case was played: the first %s",
                       bytes_string(&r->cases[0].came));
}

int run_all(const spec_target *target, report *r, spec_case *cases) {
  long start = wire_now();
  int status = play_all(target, r, cases);
  report_end(r, (double)(wire_now() - start) / 1e3);
  if (fflush(stdout) != 0)
    return tool_complain(TOOL_TRANSPORT, "cannot write the report");
  if (!status)
    status = check_played(r);
  if (status)
    return status;
  return report_failures(r) ? TOOL_ANSWER : TOOL_OK;
}
