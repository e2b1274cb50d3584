/* SPDX-License-Identifier: MIT */
#include "words.h"

#include "broken.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void words_free(words *w) {
  bytes_free(&w->text);
  *w = (words){.count = 0};
}

const char *words_at(const words *w, size_t index) {
  if (index >= w->count)
    return "";
  return (const char *)w->text.data + w->start[index];
}

int words_is(const words *w, size_t index, const char *text) {
  return index < w->count && strcmp(words_at(w, index), text) == 0;
}

unsigned long words_number(const words *w, size_t index) {
  char *end;
  const char *text = words_at(w, index);
  unsigned long number = strtoul(text, &end, 0);
  if (end == text || *end)
    spec_broken("'%s' is not a number", text);
  return number;
}

void words_remove(words *w, size_t index) {
  w->count--;
  for (size_t i = index; i < w->count; i++) {
    w->start[i] = w->start[i + 1];
    w->length[i] = w->length[i + 1];
  }
}

void words_join(const words *w, size_t index, bytes *out) {
  for (size_t i = index; i < w->count; i++)
    bytes_add(out, words_at(w, i), w->length[i]);
}

/* The byte after a backslash; `*at` moves past it. */
static char escaped(const char **at) {
  static const char names[] = "nrt0\\\"", meant[] = "\n\r\t\0\\\"";
  char digits[3] = "";
  const char *name = strchr(names, **at);
  if (**at == 'x' && isxdigit((unsigned char)(*at)[1]) &&
      isxdigit((unsigned char)(*at)[2])) {
    memcpy(digits, *at + 1, 2);
    *at += 3;
    return (char)strtoul(digits, NULL, 16);
  }
  if (**at == '\0' || !name)
    spec_broken("unknown escape at '%s'", *at);
  *at += 1;
  return meant[name - names];
}

static void quoted(const char **at, bytes *out) {
  for (*at += 1; **at != '"';) {
    char byte = *(*at)++;
    if (byte == '\0')
      spec_broken("a quote is not closed");
    if (byte == '\\')
      byte = escaped(at);
    bytes_add(out, &byte, 1);
  }
  *at += 1;
}

/* One quoted text or one bare byte, as often as an "N*" before it says. */
static void atom(const char **at, bytes *out) {
  char *end;
  bytes once = {0};
  unsigned long count = 1;
  if (isdigit((unsigned char)**at)) {
    unsigned long number = strtoul(*at, &end, 10);
    if (*end == '*') {
      count = number;
      *at = end + 1;
    }
  }
  if (**at == '"')
    quoted(at, &once);
  else
    bytes_add(&once, (*at)++, 1);
  while (count-- > 0)
    bytes_add(out, once.data, once.len);
  bytes_free(&once);
}

void words_split(words *w, const char *line) {
  w->text.len = w->count = 0;
  for (;;) {
    line += strspn(line, " ");
    if (*line == '\0' || *line == '#')
      return;
    if (w->count == WORDS_MOST)
      spec_broken("more than %d words", WORDS_MOST);
    w->start[w->count] = w->text.len;
    while (*line != '\0' && *line != ' ')
      atom(&line, &w->text);
    w->length[w->count] = w->text.len - w->start[w->count];
    w->count++;
    bytes_add(&w->text, "", 1);
  }
}

static char *replaced(const char *line, unsigned long n) {
  size_t room = strlen(line) * 11 + 1, len = 0;
  char *out = malloc(room);
  if (!out)
    spec_broken("out of memory");
  for (; *line; line++) {
    if (line[0] == '$' && line[1] == 'n') {
      len += (size_t)snprintf(out + len, room - len, "%lu", n);
      line++;
    } else {
      out[len++] = *line;
    }
  }
  out[len] = '\0';
  return out;
}

void words_times(const char *line, void (*use)(const char *line, void *data),
                 void *data) {
  char *rest;
  unsigned long count;
  if (strncmp(line, "times ", 6) != 0) {
    use(line, data);
    return;
  }
  count = strtoul(line + 6, &rest, 10);
  rest += strspn(rest, " ");
  for (unsigned long n = 1; n <= count; n++) {
    char *one = replaced(rest, n);
    use(one, data);
    free(one);
  }
}
