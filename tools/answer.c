/* SPDX-License-Identifier: MIT */
#include "answer.h"
#include "tool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 256 * 1024 }; /* Longer than any web server takes. */

static void print(const tool_answer *answer, const char *data, size_t len) {
  if (len > 0 && !answer->quiet)
    fwrite(data, 1, len, stdout);
}

/* Bytes up to the end of the empty line, or 0 while that has not come. Lines
   end in LF or CR LF. */
static size_t head_end(const char *head, size_t len) {
  size_t start = 0;
  for (size_t i = 0; i < len; i++) {
    if (head[i] != '\n')
      continue;
    if (i == start || (i == start + 1 && head[start] == '\r'))
      return i + 1;
    start = i + 1;
  }
  return 0;
}

/* The number after `name` in the line at `line`, or -1. */
static int number_of(const char *line, const char *name) {
  size_t len = strlen(name);
  return strncasecmp(line, name, len) == 0 ? atoi(line + len) : -1;
}

/* Location without Status is a redirection (RFC 3875, 6.2.4). */
static int find_status(const char *head) {
  int status = 200;
  for (const char *line = head; line; line = strchr(line, '\n')) {
    int number;
    line += *line == '\n';
    number = number_of(line, "Status:");
    if (number >= 0)
      return number;
    if (strncasecmp(line, "Location:", 9) == 0)
      status = 302;
  }
  return status;
}

static void finish_head(tool_answer *answer, size_t end) {
  answer->in_body = 1;
  if (answer->show_head)
    print(answer, answer->head, end);
  print(answer, answer->head + end, answer->head_len - end);
  answer->head[end - 1] = '\0';
  answer->status = find_status(answer->head);
}

void tool_answer_feed(tool_answer *answer, const void *data, size_t len) {
  size_t end;
  if (answer->in_body || answer->head_len > HEAD_MAX) {
    print(answer, data, len);
    return;
  }
  answer->head = tool_realloc(answer->head, answer->head_len + len + 1);
  memcpy(answer->head + answer->head_len, data, len);
  answer->head_len += len;
  end = head_end(answer->head, answer->head_len);
  if (end > 0)
    finish_head(answer, end);
  else if (answer->head_len > HEAD_MAX)
    print(answer, answer->head, answer->head_len);
}

int tool_answer_end(tool_answer *answer) {
  if (answer->in_body)
    return 0;
  if (answer->head_len <= HEAD_MAX)
    print(answer, answer->head, answer->head_len);
  return -1;
}
