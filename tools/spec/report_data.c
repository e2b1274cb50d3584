/* SPDX-License-Identifier: MIT */
#include "report_data.h"
#include <stdio.h>
#include <string.h>

static const char *const result_names[] = {"pass", "fail", "skip"};

/* Texts are UTF-8 and ours, an address apart. */
static void json_text(const char *text) {
  putchar('"');
  for (; *text; text++) {
    unsigned char byte = (unsigned char)*text;
    if (byte == '"' || byte == '\\')
      printf("\\%c", byte);
    else if (byte < 0x20 || byte == 0x7f)
      printf("\\u%04x", byte);
    else
      putchar(byte);
  }
  putchar('"');
}

static void json_field(const char *name, const char *value) {
  printf(", \"%s\": ", name);
  json_text(value);
}

static void json_case(const report *r, const spec_case *c) {
  printf("    {\"name\": ");
  json_text(c->name);
  json_field("section", c->section);
  json_field("kind", c->text.kind);
  json_field("title", c->text.title);
  json_field("result", result_names[c->result]);
  if (c->result == SPEC_FAIL) {
    json_field("expected", bytes_string(&c->expected));
    json_field("came", bytes_string(&c->came));
    printf(", \"counts\": %s", report_counts(c, r->strict) ? "true" : "false");
  } else if (c->result == SPEC_SKIP) {
    json_field("reason", bytes_string(&c->came));
  }
  printf(", \"seconds\": %.3f}", c->seconds);
}

static void json_tally(const char *name, tally sum) {
  json_text(name);
  printf(": {\"passed\": %zu, \"failed\": %zu, \"skipped\": %zu}",
         sum.of[SPEC_PASS], sum.of[SPEC_FAIL], sum.of[SPEC_SKIP]);
}

void report_json(const report *r, double seconds) {
  printf("{\n  \"address\": ");
  json_text(r->target->address);
  printf(",\n  \"contract\": %s,\n  \"strict\": %s,\n  \"seconds\": %.3f,\n"
         "  \"sections\": {",
         r->target->echo ? "true" : "false", r->strict ? "true" : "false",
         seconds);
  for (size_t i = 0; i < r->count; i++) {
    if (!report_is_first(r, i))
      continue;
    printf("%s\n    ", i ? "," : "");
    json_tally(r->cases[i].section, report_tally(r, r->cases[i].section));
  }
  printf("\n  },\n  ");
  json_tally("all", report_tally(r, NULL));
  printf(",\n  \"cases\": [\n");
  for (size_t i = 0; i < r->count; i++) {
    json_case(r, &r->cases[i]);
    puts(i + 1 < r->count ? "," : "");
  }
  puts("  ]\n}");
}

/* XML has no way to write most control characters. */
static void xml_text(const char *text) {
  static const char special[] = "&<>\"";
  static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
  for (; *text; text++) {
    const char *found = strchr(special, *text);
    if (found)
      fputs(names[found - special], stdout);
    else
      putchar((unsigned char)*text < 0x20 ? ' ' : *text);
  }
}

static void junit_case(const spec_case *c) {
  printf("    <testcase classname=\"%s\" name=\"%s\" time=\"%.3f\">\n",
         c->section, c->name, c->seconds);
  if (c->result == SPEC_SKIP) {
    fputs("      <skipped message=\"", stdout);
    xml_text(bytes_string(&c->came));
    puts("\"/>");
  } else if (c->result == SPEC_FAIL) {
    printf("      <failure type=\"%s\" message=\"", c->text.kind);
    xml_text(c->text.title);
    fputs("\">expected: ", stdout);
    xml_text(bytes_string(&c->expected));
    fputs("\ncame: ", stdout);
    xml_text(bytes_string(&c->came));
    puts("</failure>");
  }
  puts("    </testcase>");
}

static void junit_head(const char *tag, const char *name, tally sum) {
  printf("<%s name=\"%s\" tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\"", tag,
         name, sum.of[SPEC_PASS] + sum.of[SPEC_FAIL] + sum.of[SPEC_SKIP],
         sum.of[SPEC_FAIL], sum.of[SPEC_SKIP]);
}

/* A failure that does not count is one here too; its type tells. */
void report_junit(const report *r, double seconds) {
  puts("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
  junit_head("testsuites", "fcgi spec", report_tally(r, NULL));
  printf(" time=\"%.3f\">\n", seconds);
  for (size_t i = 0; i < r->count; i++) {
    const char *section = r->cases[i].section;
    if (report_is_first(r, i)) {
      printf("  ");
      junit_head("testsuite", section, report_tally(r, section));
      puts(">");
    }
    junit_case(&r->cases[i]);
    if (i + 1 == r->count || report_is_first(r, i + 1))
      puts("  </testsuite>");
  }
  puts("</testsuites>");
}
