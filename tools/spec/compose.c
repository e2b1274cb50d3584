/* SPDX-License-Identifier: MIT */
#include "compose.h"

#include "broken.h"
#include "words.h"

#include <fastcgi/pairs.h>
#include <fastcgi/protocol.h>
#include <stdlib.h>
#include <string.h>

/* One record: what its header says, and its content. */
typedef struct draft {
  uint8_t type;     /* A fcgi_record_type, or any other number. */
  uint16_t id;      /* The request id. */
  uint8_t pad;      /* Bytes of padding. */
  uint8_t version;  /* 1 in every right record. */
  uint8_t reserved; /* 0 in most. */
  long length;      /* The content length it claims; -1 tells the truth. */
  long chop;        /* Content bytes of one record; 0 takes all in one. */
  bytes content;    /* The content. */
} draft;

typedef struct kind {
  const char *name;                        /* The first word of a line. */
  uint8_t type;                            /* The record type. */
  int has_id;                              /* 1: an id follows. */
  void (*fill)(const words *w, draft *to); /* From word 1 or 2 on. */
} kind;

unsigned long compose_role(const char *name) {
  static const char *const names[] = {"", "responder", "authorizer", "filter"};
  for (unsigned long i = 1; i < 4; i++)
    if (strcmp(name, names[i]) == 0)
      return i;
  return strtoul(name, NULL, 0);
}

static void fill_begin(const words *w, draft *to) {
  unsigned long role = compose_role(words_at(w, 2)), flags = 0;
  if (words_is(w, 3, "keep"))
    flags = FCGI_BEGIN_KEEP;
  else if (w->count > 3)
    flags = words_number(w, 3);
  const uint8_t body[8] = {(uint8_t)(role >> 8), (uint8_t)role, (uint8_t)flags};
  bytes_add(&to->content, body, sizeof body);
}

static void put_pair(bytes *out, const char *name, size_t name_len,
                     const char *value, size_t value_len) {
  size_t size = fcgi_pair_size(name_len, value_len);
  uint8_t *pair = size > 0 ? malloc(size) : NULL;
  if (!pair)
    spec_broken(size > 0 ? "out of memory" : "a pair is too long");
  bytes_add(out, pair,
            fcgi_pair_encode(pair, name, name_len, value, value_len));
  free(pair);
}

static void add_pair(bytes *out, const char *word, size_t len) {
  const char *equals = memchr(word, '=', len);
  size_t name_len = equals ? (size_t)(equals - word) : len;
  size_t value_len = equals ? len - name_len - 1 : 0;
  put_pair(out, word, name_len, word + len - value_len, value_len);
}

static void fill_pairs_from(const words *w, size_t from, draft *to) {
  if (words_is(w, from, "raw")) {
    words_join(w, from + 1, &to->content);
    return;
  }
  for (size_t i = from; i < w->count; i++)
    add_pair(&to->content, words_at(w, i), w->length[i]);
}

static void fill_params(const words *w, draft *to) {
  fill_pairs_from(w, 2, to);
}

static void fill_values(const words *w, draft *to) {
  fill_pairs_from(w, 1, to);
}

static void fill_text(const words *w, draft *to) {
  words_join(w, 2, &to->content);
}

static void fill_record(const words *w, draft *to) {
  to->type = (uint8_t)words_number(w, 1);
  to->id = (uint16_t)words_number(w, 2);
  words_join(w, 3, &to->content);
}

static const kind kinds[] = {
    {"begin", FCGI_RECORD_BEGIN_REQUEST, 1, fill_begin},
    {"params", FCGI_RECORD_PARAMS, 1, fill_params},
    {"stdin", FCGI_RECORD_STDIN, 1, fill_text},
    {"data", FCGI_RECORD_DATA, 1, fill_text},
    {"abort", FCGI_RECORD_ABORT_REQUEST, 1, fill_text},
    {"get_values", FCGI_RECORD_GET_VALUES, 0, fill_values},
    {"record", 0, 0, fill_record},
};

/* Words like "+pad=7" may stand anywhere in a line. */
static void take_options(words *w, draft *to) {
  for (size_t i = 0; i < w->count;) {
    const char *word = words_at(w, i), *equals = strchr(word, '=');
    if (*word != '+' || !equals) {
      i++;
      continue;
    }
    unsigned long value = strtoul(equals + 1, NULL, 0);
    if (strncmp(word, "+pad=", 5) == 0)
      to->pad = (uint8_t)value;
    else if (strncmp(word, "+version=", 9) == 0)
      to->version = (uint8_t)value;
    else if (strncmp(word, "+reserved=", 10) == 0)
      to->reserved = (uint8_t)value;
    else if (strncmp(word, "+length=", 8) == 0)
      to->length = (long)value;
    else if (strncmp(word, "+chop=", 6) == 0)
      to->chop = (long)value;
    else
      spec_broken("unknown option '%s'", word);
    words_remove(w, i);
  }
}

static void put(bytes *out, const draft *from, const uint8_t *content,
                size_t len) {
  uint8_t padding[255];
  unsigned length = (unsigned)(from->length < 0 ? (long)len : from->length);
  const uint8_t header[FCGI_RECORD_HEADER] = {from->version,
                                              from->type,
                                              (uint8_t)(from->id >> 8),
                                              (uint8_t)from->id,
                                              (uint8_t)(length >> 8),
                                              (uint8_t)length,
                                              from->pad,
                                              from->reserved};
  if (len > FCGI_RECORD_CONTENT)
    spec_broken("%zu bytes do not fit in a record", len);
  memset(padding, 0xee, sizeof padding);
  bytes_add(out, header, sizeof header);
  bytes_add(out, content, len);
  bytes_add(out, padding, from->pad);
}

static void put_all(bytes *out, const draft *from) {
  size_t left = from->content.len;
  size_t most = from->chop > 0 ? (size_t)from->chop : left;
  const uint8_t *at = from->content.data;
  do {
    size_t part = left < most ? left : most;
    put(out, from, at, part);
    at += part;
    left -= part;
  } while (left > 0);
}

static void compose_record(bytes *out, words *w) {
  draft from = {.version = FCGI_WIRE_VERSION, .length = -1};
  size_t i = 0;
  take_options(w, &from);
  while (i < sizeof kinds / sizeof *kinds && !words_is(w, 0, kinds[i].name))
    i++;
  if (i == sizeof kinds / sizeof *kinds)
    spec_broken("unknown record '%s'", words_at(w, 0));
  from.type = kinds[i].type;
  if (kinds[i].has_id)
    from.id = (uint16_t)words_number(w, 1);
  kinds[i].fill(w, &from);
  put_all(out, &from);
  bytes_free(&from.content);
}

/* "get ID NAME=VALUE...": a whole request without a body on a kept
   connection, for what comes before or after the point of a case. */
static void compose_get(bytes *out, const words *w) {
  draft from = {.version = FCGI_WIRE_VERSION, .length = -1};
  const uint8_t body[8] = {0, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP};
  from.id = (uint16_t)words_number(w, 1);
  from.type = FCGI_RECORD_BEGIN_REQUEST;
  put(out, &from, body, sizeof body);
  from.type = FCGI_RECORD_PARAMS;
  fill_params(w, &from);
  if (from.content.len > 0)
    put_all(out, &from);
  put(out, &from, NULL, 0);
  from.type = FCGI_RECORD_STDIN;
  put(out, &from, NULL, 0);
  bytes_free(&from.content);
}

static void compose_one(const char *line, void *out) {
  words w = {.count = 0};
  words_split(&w, line);
  if (words_is(&w, 0, "raw"))
    words_join(&w, 1, out);
  else if (words_is(&w, 0, "get"))
    compose_get(out, &w);
  else
    compose_record(out, &w);
  words_free(&w);
}

void compose(bytes *out, const char *line) {
  words_times(line, compose_one, out);
}

void compose_params(bytes *out, uint16_t id, const fcgi_param *params,
                    size_t count) {
  draft from = {.version = FCGI_WIRE_VERSION, .length = -1};
  from.id = id;
  from.type = FCGI_RECORD_PARAMS;
  for (size_t i = 0; i < count; i++)
    put_pair(&from.content, params[i].name, params[i].name_len, params[i].value,
             params[i].value_len);
  if (count > 0)
    put_all(out, &from);
  bytes_free(&from.content);
}
