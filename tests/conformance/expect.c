/* SPDX-License-Identifier: MIT */
#include "conformance/expect.h"

#include "spec/compose.h"
#include "spec/words.h"
#include "support/unit.h"

#include <fastcgi/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(records *text, const char *what) {
  records_raw(text, what, strlen(what));
}

/* The words from `from` to the last, a space between two, and a newline. */
static void say_words(records *text, const words *w, size_t from) {
  for (size_t i = from; i < w->count; i++) {
    if (i > from)
      say(text, " ");
    records_raw(text, words_at(w, i), w->length[i]);
  }
  say(text, "\n");
}

static void request(records *text, const words *w) {
  char head[120];
  const char *length = "-1";
  size_t at = 3;
  int keep = words_is(w, at, "keep");
  at += (size_t)keep;
  if (strncmp(words_at(w, at), "length=", 7) == 0)
    length = words_at(w, at++) + 7;
  snprintf(head, sizeof head, "request %s role=%lu keep=%d length=%s",
           words_at(w, 1), compose_role(words_at(w, 2)), keep, length);
  say(text, head);
  if (at < w->count)
    say(text, " ");
  say_words(text, w, at);
}

static void stream(records *text, const words *w) {
  say(text, words_at(w, 0));
  say(text, " ");
  say(text, words_at(w, 1));
  say(text, " ");
  for (size_t i = 2; i < w->count; i++)
    records_raw(text, words_at(w, i), w->length[i]);
  say(text, "\n");
}

static unsigned index_of(const char *name, const char *const *names,
                         unsigned count) {
  for (unsigned i = 0; i < count; i++)
    if (strcmp(name, names[i]) == 0)
      return i;
  fail_msg("'%s' is none of those known", name);
  return 0;
}

static void aborted(records *text, const words *w) {
  static const char *const reasons[] = {"none",     "record",  "connection",
                                        "protocol", "timeout", "stop",
                                        "deadline"};
  char line[60];
  snprintf(line, sizeof line, "abort %s reason=%u\n", words_at(w, 1),
           index_of(words_at(w, 2), reasons, 7));
  say(text, line);
}

static void say_end(records *text, const char *id, const char *app,
                    unsigned status) {
  char line[60];
  snprintf(line, sizeof line, "end %s app=%s status=%u\n", id, app, status);
  say(text, line);
}

static void end(records *text, const words *w) {
  static const char *const statuses[] = {"complete", "cant_mpx", "overloaded",
                                         "unknown_role"};
  say_end(text, words_at(w, 1), words_at(w, 2),
          index_of(words_at(w, 3), statuses, 4));
}

static const char *reason_of(unsigned status) {
  switch (status) {
  case 400:
    return "400 Bad Request";
  case 403:
    return "403 Forbidden";
  case 431:
    return "431 Request Header Fields Too Large";
  default:
    return "503 Service Unavailable";
  }
}

void expect_http(records *text, unsigned status, const void *body, size_t len) {
  char head[200];
  const char *reason = reason_of(status);
  if (status == 200) {
    say(text, "Content-Type: text/plain\r\n\r\n");
    records_raw(text, body, len);
    return;
  }
  snprintf(head, sizeof head,
           "Content-Type: text/plain\r\nContent-Length: %zu\r\n"
           "Status: %s\r\n\r\n%s\n",
           strlen(reason) + 1, reason, reason);
  say(text, head);
}

static void http(records *text, const words *w) {
  bytes body = {.len = 0};
  words_join(w, 3, &body);
  say(text, "stdout ");
  say(text, words_at(w, 1));
  say(text, " ");
  expect_http(text, (unsigned)words_number(w, 2), body.data, body.len);
  say(text, "\n");
  bytes_free(&body);
}

static void reply(records *text, const words *w) {
  http(text, w);
  say(text, "stdout_end ");
  say(text, words_at(w, 1));
  say(text, "\n");
  say_end(text, words_at(w, 1), "0", 0);
}

static void plain(records *text, const words *w) {
  say_words(text, w, 0);
}

static const struct {
  const char *name;                        /* The first word. */
  void (*print)(records *, const words *); /* What it stands for. */
} lines[] = {
    {"request", request}, {"stdin", stream},     {"stdin_end", plain},
    {"data", stream},     {"data_end", plain},   {"abort", aborted},
    {"close", plain},     {"error", plain},      {"http", http},
    {"reply", reply},     {"stdout", stream},    {"stdout_end", plain},
    {"stderr", stream},   {"stderr_end", plain}, {"end", end},
    {"values", plain},    {"unknown", plain},
};

static void expect_one(const char *line, void *text) {
  words w = {.count = 0};
  size_t i = 0;
  words_split(&w, line);
  while (i < sizeof lines / sizeof *lines && !words_is(&w, 0, lines[i].name))
    i++;
  if (i == sizeof lines / sizeof *lines)
    fail_msg("nobody can expect '%s'", line);
  lines[i].print(text, &w);
  words_free(&w);
}

void expect_line(records *text, const char *line) {
  words_times(line, expect_one, text);
}
