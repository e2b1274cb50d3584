/* SPDX-License-Identifier: MIT */
#include "script.h"
#include "broken.h"
#include "compose.h"
#include "words.h"
#include <fastcgi/record.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  ID_COUNT = 65536, /* Ids there are. */
  ID_FRESH = 1,     /* Begun, and no PARAMS sent yet. */
  ID_OPEN = 2,      /* Begun, and its end not awaited. */
  ID_ABORTED = 4,   /* ABORT_REQUEST was sent. */
  ID_CLOSED = 8     /* Measuring: its STDIN has ended. */
};

static bytes *add_step(script *s, step_kind kind) {
  script_step *grown = realloc(s->at, (s->count + 1) * sizeof *grown);
  if (!grown)
    spec_broken("out of memory");
  s->at = grown;
  s->at[s->count] = (script_step){.kind = kind};
  return &s->at[s->count++].data;
}

static bytes *to_send(script *s) {
  if (s->count > 0 && s->at[s->count - 1].kind == STEP_SEND)
    return &s->at[s->count - 1].data;
  return add_step(s, STEP_SEND);
}

/* Only a BEGIN_REQUEST that is whole begins a request. */
static int begins(const words *w, uint16_t *id) {
  size_t at = 1;
  if (words_is(w, 0, "record") && words_is(w, 1, "1")) {
    size_t len = 0;
    for (size_t i = 3; i < w->count; i++)
      len += words_at(w, i)[0] == '+' ? 0 : w->length[i];
    if (len < 8)
      return 0;
    at = 2;
  } else if (!words_is(w, 0, "begin")) {
    return 0;
  }
  *id = (uint16_t)words_number(w, at);
  return 1;
}

static void note_begin(script *s, uint16_t id) {
  if (!(s->ids[id] & ID_OPEN) && ++s->open > 1)
    s->multiplexes = 1;
  s->ids[id] |= ID_OPEN | ID_FRESH;
}

/* Before its first PARAMS, which may be cut anywhere, a request gets a record
   with ours. */
static void put_params(script *s, uint16_t id) {
  if (!(s->ids[id] & ID_FRESH))
    return;
  s->ids[id] &= (uint8_t)~ID_FRESH;
  compose_params(to_send(s), id, s->params, s->param_count);
  if (s->lengths && s->lengths[id] > 0) {
    char value[24];
    fcgi_param length = {.name = "CONTENT_LENGTH", .name_len = 14};
    length.value = value;
    length.value_len =
        (size_t)snprintf(value, sizeof value, "%ld", s->lengths[id]);
    compose_params(to_send(s), id, &length, 1);
  }
}

/* "get" as the lines it stands for. */
static void send_get(script *s, const words *w, const char *line) {
  uint16_t id = (uint16_t)words_number(w, 1);
  bytes part = {.len = 0};
  note_begin(s, id);
  bytes_format(&part, "begin %u responder keep", id);
  compose(to_send(s), bytes_string(&part));
  put_params(s, id);
  if (w->count > 2) {
    part.len = 0;
    bytes_format(&part, "params %s", line + strlen("get "));
    compose(to_send(s), bytes_string(&part));
  }
  part.len = 0;
  bytes_format(&part, "params %u", id);
  compose(to_send(s), bytes_string(&part));
  part.len = 0;
  bytes_format(&part, "stdin %u", id);
  compose(to_send(s), bytes_string(&part));
  bytes_free(&part);
}

static void send_line(const char *line, void *data) {
  script *s = data;
  words w = {.count = 0};
  uint16_t id;
  words_split(&w, line);
  if (words_is(&w, 0, "get")) {
    send_get(s, &w, line);
  } else {
    if (begins(&w, &id))
      note_begin(s, id);
    else if (words_is(&w, 0, "params"))
      put_params(s, (uint16_t)words_number(&w, 1));
    else if (words_is(&w, 0, "abort"))
      s->ids[words_number(&w, 1) % ID_COUNT] |= ID_ABORTED;
    compose(to_send(s), line);
  }
  words_free(&w);
}

static void await(script *s, const char *line) {
  words w = {.count = 0};
  words_split(&w, line);
  bytes_text(add_step(s, STEP_AWAIT), line);
  if (words_is(&w, 0, "end")) {
    uint8_t *flags = &s->ids[words_number(&w, 1) % ID_COUNT];
    s->open -= (*flags & ID_OPEN) != 0;
    *flags &= (uint8_t)~ID_OPEN;
  } else if (strncmp(line, "std", 3) == 0) {
    s->awaits_output = 1;
  }
  words_free(&w);
}

static void read_line(script *s, const char *line) {
  static const struct {
    const char *line; /* As the case has it. */
    step_kind kind;   /* What it stands for. */
  } actions[] = {{"close", STEP_CLOSE},
                 {"reset", STEP_RESET},
                 {"half_close", STEP_HALF_CLOSE},
                 {"silence", STEP_WAIT},
                 {"timeout", STEP_WAIT}};
  for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
    if (strcmp(line, actions[i].line) == 0) {
      add_step(s, actions[i].kind);
      s->gone |= actions[i].kind == STEP_CLOSE || actions[i].kind == STEP_RESET;
      return;
    }
  }
  if (strncmp(line, "await ", 6) == 0)
    await(s, line + 6);
  else
    words_times(line, send_line, s);
}

/* 1 when a line of the case gives this parameter. */
static int has_param(const case_text *text, const char *name) {
  const case_lines *lines = &text->lines[CASE_SEND];
  size_t len = strlen(name);
  for (size_t i = 0; i < lines->count; i++)
    for (const char *at = lines->at[i]; (at = strstr(at, name)); at += len)
      if (at > lines->at[i] && at[-1] == ' ' && at[len] == '=')
        return 1;
  return 0;
}

static void read_lines(script *s, const case_text *text) {
  const case_lines *lines = &text->lines[CASE_SEND];
  s->ids = calloc(ID_COUNT, 1);
  if (!s->ids)
    spec_broken("out of memory");
  for (size_t i = 0; i < lines->count; i++)
    read_line(s, lines->at[i]);
}

/* An id that is used again has bodies of several lengths: none is told. What
   follows the end of STDIN is none of it. */
static void measure_record(long *lengths, uint8_t *flags,
                           const fcgi_record *record) {
  uint8_t *flag = &flags[record->id];
  if (record->type == FCGI_RECORD_BEGIN_REQUEST) {
    if (*flag & ID_OPEN)
      *flag |= ID_CLOSED;
    lengths[record->id] = 0;
    *flag |= ID_OPEN;
  } else if (record->type == FCGI_RECORD_STDIN && record->content_len == 0) {
    *flag |= ID_CLOSED;
  } else if (record->type == FCGI_RECORD_STDIN && !(*flag & ID_CLOSED)) {
    lengths[record->id] += record->content_len;
  }
}

/* The bytes of STDIN that each id gets in all. */
static long *measure(const script *s) {
  long *lengths = calloc(ID_COUNT, sizeof *lengths);
  uint8_t *flags = calloc(ID_COUNT, 1);
  fcgi_record record;
  if (!lengths || !flags)
    spec_broken("out of memory");
  for (size_t i = 0; i < s->count; i++) {
    const bytes *data = &s->at[i].data;
    if (s->at[i].kind != STEP_SEND)
      continue;
    for (size_t at = 0; at + FCGI_RECORD_HEADER <= data->len;
         at +=
         (size_t)FCGI_RECORD_HEADER + record.content_len + record.padding_len) {
      fcgi_record_decode(&record, data->data + at);
      measure_record(lengths, flags, &record);
    }
  }
  free(flags);
  return lengths;
}

static void drop_steps(script *s) {
  for (size_t i = 0; i < s->count; i++)
    bytes_free(&s->at[i].data);
  free(s->at);
  free(s->ids);
  s->at = NULL;
  s->ids = NULL;
  s->count = s->open = 0;
}

void script_read(script *s, const case_text *text, const fcgi_param *params,
                 size_t count, int measured) {
  *s = (script){.params = calloc(count + 1, sizeof *s->params)};
  if (!s->params)
    spec_broken("out of memory");
  for (size_t i = 0; i < count; i++)
    if (!has_param(text, params[i].name))
      s->params[s->param_count++] = params[i];
  read_lines(s, text);
  if (!measured || has_param(text, "CONTENT_LENGTH"))
    return;
  s->lengths = measure(s);
  drop_steps(s);
  read_lines(s, text);
}

void script_free(script *s) {
  drop_steps(s);
  free(s->lengths);
  free(s->params);
}

int script_aborts(const script *s, uint16_t id) {
  return (s->ids[id] & ID_ABORTED) != 0;
}

int script_posts(const case_text *text) {
  const case_lines *lines = &text->lines[CASE_SEND];
  if (strcmp(text->handler, "early") == 0)
    return 0;
  for (size_t i = 0; i < lines->count; i++) {
    const char *line = lines->at[i];
    const char *id = strncmp(line, "stdin ", 6) == 0 ? line + 6 : NULL;
    if (id && strchr(id, ' '))
      return 1;
  }
  return has_param(text, "CONTENT_LENGTH");
}
