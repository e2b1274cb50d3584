/* SPDX-License-Identifier: MIT */
#include "report.h"
#include "report_data.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const result_names[] = {"pass", "fail", "skip"};
static const char *const colours[] = {"\033[32m", "\033[31m", "\033[33m"};

static void say_result(spec_result result) {
  int coloured = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
  printf("%s%s%s", coloured ? colours[result] : "", result_names[result],
         coloured ? "\033[0m" : "");
}

void report_case(const report *r, const spec_case *c) {
  if (r->form != REPORT_TEXT || (!r->verbose && c->result != SPEC_FAIL))
    return;
  say_result(c->result);
  printf("  %s (%s): %s\n", c->name, c->text.kind, c->text.title);
  if (c->result == SPEC_FAIL)
    printf("      expected: %s\n          came: %s\n",
           bytes_string(&c->expected), bytes_string(&c->came));
  else if (c->result == SPEC_SKIP)
    printf("      %s\n", bytes_string(&c->came));
  fflush(stdout);
}

int report_counts(const spec_case *c, int strict) {
  return c->result == SPEC_FAIL &&
         (strict || strcmp(c->text.kind, "specification") == 0);
}

size_t report_failures(const report *r) {
  size_t count = 0;
  for (size_t i = 0; i < r->count; i++)
    count += report_counts(&r->cases[i], r->strict) != 0;
  return count;
}

tally report_tally(const report *r, const char *section) {
  tally sum = {{0}};
  for (size_t i = 0; i < r->count; i++)
    if (!section || strcmp(r->cases[i].section, section) == 0)
      sum.of[r->cases[i].result]++;
  return sum;
}

/* 1 when the case is the first of its section. */
int report_is_first(const report *r, size_t i) {
  return i == 0 || strcmp(r->cases[i].section, r->cases[i - 1].section) != 0;
}

static void say_row(const char *name, tally sum) {
  printf("%-16s %7zu %7zu %7zu\n", name, sum.of[SPEC_PASS], sum.of[SPEC_FAIL],
         sum.of[SPEC_SKIP]);
}

/* How many cases were skipped for the same reason; 0 when an earlier one
   has told. */
static size_t same_reason(const report *r, size_t i) {
  const char *reason = bytes_string(&r->cases[i].came);
  size_t count = 0;
  for (size_t k = 0; k < r->count; k++) {
    if (r->cases[k].result != SPEC_SKIP ||
        strcmp(bytes_string(&r->cases[k].came), reason) != 0)
      continue;
    if (k < i)
      return 0;
    count++;
  }
  return count;
}

static void say_skipped(const report *r) {
  for (size_t i = 0; i < r->count; i++) {
    size_t count = r->cases[i].result == SPEC_SKIP ? same_reason(r, i) : 0;
    if (count > 0)
      printf("%zu skipped: %s\n", count, bytes_string(&r->cases[i].came));
  }
}

static void say_text(const report *r, double seconds) {
  tally all = report_tally(r, NULL);
  size_t counting = report_failures(r);
  printf("\n%-16s %7s %7s %7s\n", "section", "passed", "failed", "skipped");
  for (size_t i = 0; i < r->count; i++)
    if (report_is_first(r, i))
      say_row(r->cases[i].section, report_tally(r, r->cases[i].section));
  say_row("all", all);
  puts("");
  say_skipped(r);
  if (r->target->unclosed)
    puts("It ends requests without the empty record that closes STDOUT (3.3); "
         "only\nthe cases of appendix-b count that.");
  if (r->target->closes)
    puts("It closes connections that are to be kept (5.1); only the cases of "
         "closing count\nthat.");
  if (all.of[SPEC_FAIL] > counting)
    printf("%zu of the failures are not of the specification and do not count "
           "without --strict\n",
           all.of[SPEC_FAIL] - counting);
  printf("%zu cases in %.1f s: %s\n", r->count, seconds,
         counting ? "failed" : "passed");
}

void report_end(const report *r, double seconds) {
  if (r->form == REPORT_JSON)
    report_json(r, seconds);
  else if (r->form == REPORT_JUNIT)
    report_junit(r, seconds);
  else
    say_text(r, seconds);
}

void report_list(const spec_case *c) {
  printf("%-44s %-14s %s\n", c->name, c->text.kind, c->text.title);
}

static void explain_lines(const char *head, const case_lines *lines) {
  printf("%s\n", head);
  for (size_t i = 0; i < lines->count; i++)
    printf("  %s\n", lines->at[i]);
}

void report_explain(const spec_case *c) {
  printf("%s\n%s.\n\nkind: %s\n", c->name, c->text.title, c->text.kind);
  if (c->text.statements[0])
    printf("statements (docs/conformance.md): %s\n", c->text.statements);
  printf("handler: %s\n", c->text.handler);
  if (c->text.limits[0])
    printf("limits: %s\n", c->text.limits);
  explain_lines("\nsent:", &c->text.lines[CASE_SEND]);
  explain_lines("\nwhat must come back:", &c->text.lines[CASE_ANSWER]);
  if (c->text.open)
    puts("  the connection stays open and usable");
  else if (c->text.closed)
    puts("  the connection is closed");
  else
    puts("  a new connection is answered");
}
