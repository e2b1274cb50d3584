/* SPDX-License-Identifier: MIT */
#include "talk.h"
#include "broken.h"
#include "words.h"
#include <fastcgi/pairs.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 60 }; /* Bytes of a stream in a message. */

static const char *const status_names[] = {"complete", "cant_mpx", "overloaded",
                                           "unknown_role"};

static void exchange_free(exchange *e) {
  bytes_free(&e->out);
  bytes_free(&e->err);
}

void talk_free(talk *t) {
  for (size_t i = 0; i < t->count; i++)
    exchange_free(&t->at[i]);
  for (size_t i = 0; i < t->values_count; i++)
    bytes_free(&t->values[i]);
  free(t->at);
  free(t->values);
  bytes_free(&t->unknown);
  bytes_free(&t->problem);
  *t = (talk){.count = 0};
}

static exchange *open_exchange(talk *t, uint16_t id) {
  exchange *grown;
  for (size_t i = t->count; i-- > 0;)
    if (t->at[i].id == id && !t->at[i].ended)
      return &t->at[i];
  grown = realloc(t->at, (t->count + 1) * sizeof *grown);
  if (!grown)
    spec_broken("out of memory");
  t->at = grown;
  t->at[t->count] = (exchange){.id = id};
  return &t->at[t->count++];
}

exchange *talk_find(const talk *t, uint16_t id, size_t index) {
  for (size_t i = 0; i < t->count; i++)
    if (t->at[i].id == id && index-- == 0)
      return &t->at[i];
  return NULL;
}

static bytes *add_values(talk *t) {
  bytes *grown = realloc(t->values, (t->values_count + 1) * sizeof *grown);
  if (!grown)
    spec_broken("out of memory");
  t->values = grown;
  t->values[t->values_count] = (bytes){.len = 0};
  return &t->values[t->values_count++];
}

/* --- As it came --------------------------------------------------------- */

static void broken_rule(talk *t, const char *rule, const fcgi_record *r) {
  if (t->problem.len == 0)
    bytes_format(&t->problem, "%s (type %u, request %u, %u bytes)", rule,
                 r->type, r->id, r->content_len);
}

static void stream(talk *t, const fcgi_record *r, const uint8_t *content) {
  exchange *e = open_exchange(t, r->id);
  int out = r->type == FCGI_RECORD_STDOUT;
  int *closed = out ? &e->out_closed : &e->err_closed;
  if (*closed)
    broken_rule(t, "a record of a stream that was closed", r);
  if (r->content_len == 0)
    *closed = 1;
  bytes_add(out ? &e->out : &e->err, content, r->content_len);
}

static void end(talk *t, const fcgi_record *r, const uint8_t *content) {
  exchange *e = open_exchange(t, r->id);
  e->ended = 1;
  if (r->content_len != 8) {
    broken_rule(t, "an END_REQUEST whose body is not 8 bytes long", r);
    return;
  }
  e->app_status = (uint32_t)content[0] << 24 | (uint32_t)content[1] << 16 |
                  (uint32_t)content[2] << 8 | content[3];
  e->status = content[4];
  if (e->status > FCGI_END_UNKNOWN_ROLE)
    broken_rule(t, "an END_REQUEST with an unknown protocolStatus", r);
}

static void values(talk *t, const fcgi_record *r, const uint8_t *content) {
  bytes *to = add_values(t);
  fcgi_pairs pairs = {0};
  const uint8_t *part;
  size_t len = r->content_len, part_len;
  fcgi_pairs_part found;
  int in_value = 0;
  while ((found = fcgi_pairs_next(&pairs, &content, &len, &part, &part_len)) !=
         FCGI_PAIRS_MORE) {
    if (found == FCGI_PAIRS_NAME)
      bytes_add(to, part, part_len);
    else if (found == FCGI_PAIRS_VALUE && !in_value++)
      bytes_text(to, "=");
    if (found == FCGI_PAIRS_VALUE)
      bytes_add(to, part, part_len);
    else if (found == FCGI_PAIRS_END)
      bytes_text(to, in_value ? "\n" : "=\n");
    if (found == FCGI_PAIRS_END)
      in_value = 0;
  }
  if (!fcgi_pairs_complete(&pairs))
    broken_rule(t, "a GET_VALUES_RESULT that ends inside a pair", r);
}

static void unknown(talk *t, const fcgi_record *r, const uint8_t *content) {
  if (r->content_len == 8)
    bytes_add(&t->unknown, content, 1);
  else
    broken_rule(t, "an UNKNOWN_TYPE whose body is not 8 bytes long", r);
}

static const struct {
  uint8_t type;   /* What an application sends. */
  int management; /* 1: with id 0; otherwise with the request's. */
  void (*take)(talk *, const fcgi_record *, const uint8_t *);
} takers[] = {
    {FCGI_RECORD_STDOUT, 0, stream},
    {FCGI_RECORD_STDERR, 0, stream},
    {FCGI_RECORD_END_REQUEST, 0, end},
    {FCGI_RECORD_GET_VALUES_RESULT, 1, values},
    {FCGI_RECORD_UNKNOWN_TYPE, 1, unknown},
};

void talk_record(talk *t, const fcgi_record *record, const uint8_t *content) {
  if (record->version != FCGI_WIRE_VERSION) {
    broken_rule(t, "a record whose version is not 1", record);
    return;
  }
  for (size_t i = 0; i < sizeof takers / sizeof *takers; i++) {
    if (takers[i].type != record->type)
      continue;
    if (takers[i].management != (record->id == 0))
      broken_rule(t, "a record with an id that its type cannot have", record);
    else
      takers[i].take(t, record, content);
    return;
  }
  broken_rule(t, "a record of a type that applications do not send", record);
}

/* --- As it is wanted ---------------------------------------------------- */

static exchange *wanted(talk *t, const words *w) {
  return open_exchange(t, (uint16_t)words_number(w, 1));
}

static void want_stream(talk *t, const words *w) {
  exchange *e = wanted(t, w);
  words_join(w, 2, words_is(w, 0, "stdout") ? &e->out : &e->err);
}

static void want_stream_end(talk *t, const words *w) {
  exchange *e = wanted(t, w);
  *(words_is(w, 0, "stdout_end") ? &e->out_closed : &e->err_closed) = 1;
}

static void want_end(talk *t, const words *w) {
  exchange *e = wanted(t, w);
  e->ended = 1;
  e->app_status = (uint32_t)words_number(w, 2);
  while (e->status < 4 && !words_is(w, 3, status_names[e->status]))
    e->status++;
  if (e->status == 4)
    spec_broken("'%s' is no protocolStatus", words_at(w, 3));
}

static void want_http(talk *t, const words *w) {
  exchange *e = wanted(t, w);
  e->http = (int)words_number(w, 2);
  words_join(w, 3, &e->out);
}

static void want_reply(talk *t, const words *w) {
  exchange *e = wanted(t, w);
  want_http(t, w);
  e->out_closed = e->ended = 1;
}

static void want_values(talk *t, const words *w) {
  bytes *to = add_values(t);
  for (size_t i = 1; i < w->count; i++) {
    bytes_add(to, words_at(w, i), w->length[i]);
    bytes_text(to, "\n");
  }
}

static void want_unknown(talk *t, const words *w) {
  uint8_t type = (uint8_t)words_number(w, 1);
  bytes_add(&t->unknown, &type, 1);
}

static void want_one(const char *line, void *data) {
  static const struct {
    const char *name; /* The first word. */
    void (*want)(talk *, const words *);
  } wants[] = {
      {"stdout", want_stream},
      {"stderr", want_stream},
      {"stdout_end", want_stream_end},
      {"stderr_end", want_stream_end},
      {"end", want_end},
      {"http", want_http},
      {"reply", want_reply},
      {"values", want_values},
      {"unknown", want_unknown},
  };
  words w = {.count = 0};
  size_t i = 0;
  words_split(&w, line);
  while (i < sizeof wants / sizeof *wants && !words_is(&w, 0, wants[i].name))
    i++;
  if (i == sizeof wants / sizeof *wants)
    spec_broken("nobody can want '%s'", line);
  wants[i].want(data, &w);
  words_free(&w);
}

void talk_want(talk *t, const char *line) {
  words_times(line, want_one, t);
}

/* --- Both --------------------------------------------------------------- */

static int is_said(const exchange *e, const words *w) {
  if (words_is(w, 0, "end"))
    return e->ended;
  if (words_is(w, 0, "stdout_end"))
    return e->out_closed;
  return words_is(w, 0, "stdout") && e->out.len > 0;
}

size_t talk_count(const talk *t, const char *line) {
  words w = {.count = 0};
  size_t count = 0;
  words_split(&w, line);
  if (words_is(&w, 0, "values"))
    count = t->values_count;
  else if (words_is(&w, 0, "unknown"))
    count = t->unknown.len;
  else
    for (size_t i = 0; i < t->count; i++)
      count +=
          t->at[i].id == words_number(&w, 1) && is_said(&t->at[i], &w) != 0;
  words_free(&w);
  return count;
}

void talk_describe(bytes *out, const exchange *e) {
  bytes_format(out, "request %u: ", e->id);
  if (e->http)
    bytes_format(out, "status %d, body ", e->http);
  else
    bytes_text(out, "STDOUT ");
  bytes_quoted(out, e->out.data, e->out.len, SHOWN);
  bytes_text(out, e->out_closed ? " closed" : " not closed");
  if (e->err.len > 0 || e->err_closed) {
    bytes_text(out, ", STDERR ");
    bytes_quoted(out, e->err.data, e->err.len, SHOWN);
    bytes_text(out, e->err_closed ? " closed" : " not closed");
  }
  if (e->ended && e->status < 4)
    bytes_format(out, ", END_REQUEST %s with appStatus %lu",
                 status_names[e->status], (unsigned long)e->app_status);
  else if (!e->ended)
    bytes_text(out, ", no END_REQUEST");
}
