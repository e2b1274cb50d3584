/* SPDX-License-Identifier: MIT */
/* Pairs that lie whole in the input, in one copy of it. A session spends most
   of its time here, so one loop has the usual pair alone, whose lengths have a
   byte each and whose name is the one that came there before: it calls no
   function. What may be wrong is left to the decoder of params_feed.c, which
   takes any bytes: pairs that are cut, names without a byte, what may break a
   limit, NULs in texts, more entries than `last` can tell. */
#include "session/names_find.h"
#include "session/params.h"
#include <fastcgi/error.h>

/* Sixteen bytes at once; every compiler in use has such, with or without help
   of the processor. */
typedef uint8_t lanes __attribute__((vector_size(16)));

enum { LONG = 0x80 }; /* A length from here on has four bytes. */

/* A lane counts to 255. */
enum { LANES = sizeof(lanes), FOUR = 4 * LANES, MOST_COUNTED = 63 * FOUR };

/* All bits set in each lane that is NUL. */
static inline lanes zero_lanes(const uint8_t *from) {
  lanes of;
  memcpy(&of, from, sizeof of);
  return (lanes)(of == 0);
}

/* Two lanes fit into sixteen bits, and so do all. */
static size_t sum_of(lanes counts) {
  const uint64_t odd = 0x00ff00ff00ff00ffu;
  uint64_t word[2];
  memcpy(word, &counts, sizeof word);
  word[0] = (word[0] & odd) + (word[0] >> 8 & odd);
  word[1] = (word[1] & odd) + (word[1] >> 8 & odd);
  return (size_t)((word[0] + word[1]) * 0x0001000100010001u >> 48);
}

static size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

/* The NULs among so many times FOUR bytes. */
static size_t count_zeros(const uint8_t *data, size_t len) {
  size_t zeros = 0;
  while (len > 0) {
    size_t part = smaller(len, MOST_COUNTED);
    lanes found = {0};
    for (size_t at = 0; at < part; at += FOUR)
      found -= zero_lanes(data + at) + zero_lanes(data + at + LANES) +
               zero_lanes(data + at + 2 * LANES) +
               zero_lanes(data + at + 3 * LANES);
    zeros += sum_of(found);
    data += part;
    len -= part;
  }
  return zeros;
}

/* A run over the pairs of a record. */
typedef struct run {
  fcgi_params *params;               /* Where they go. */
  const fcgi__params_limits *limits; /* As configured. */
  fcgi__name_order *order;           /* What is guessed. */
  size_t at;                         /* Where in the bytes the next pair is. */
  size_t end;                        /* Where they end. */
  size_t count;                      /* Entries that there are. */
  size_t most;                       /* Entries that there is room for. */
  size_t number;                     /* Of the known name that came last. */
  size_t lengths;                    /* Bytes of lengths in what was taken. */
  size_t zeros;                      /* NULs that were written over them. */
} run;

/* The first byte of a pair ends the value before, once its lengths are known.
   The others become what is no NUL, so that any but these is one in a text. */
static inline void end_value_before(uint8_t *pair, size_t lengths) {
  *pair = 0;
  memset(pair + 1, 1, lengths - 1);
}

/* Take pairs as long as they are usual, which nothing behind the record is, and
   there is room. A function of its own keeps what the loop needs in registers,
   and a wrong guess out of its way. */
__attribute__((noinline)) static void take_usual(run *r) {
  uint8_t *const bytes = r->params->bytes.data, *const last = r->params->last;
  uint8_t *const after = r->order->after;
  const uint8_t *const end = bytes + r->end;
  const size_t most = r->most;
  fcgi__entry *entry = fcgi__entries(&r->params->entries) + r->count;
  uint8_t *at = bytes + r->at, *guess = &after[r->number];
  size_t count = r->count;
  do {
    size_t number = *guess, name_len = at[0], value_len = at[1];
    const fcgi__name *known = &fcgi__names[number];
    uint8_t *value = at + 2 + name_len, *next = value + value_len;
    *entry = (fcgi__entry){known->place,
                           {(uint32_t)(value - bytes), (uint32_t)value_len}};
    if (value_len >= LONG || next > end)
      break;
    if (!fcgi__name_is(known, at + 2, name_len)) {
      number = fcgi__name_find(at + 2, name_len);
      if (!number)
        break;
      *guess = (uint8_t)number;
      entry->name = fcgi__names[number].place;
    }
    if (last[number])
      break;
    last[number] = (uint8_t)++count;
    guess = &after[number];
    end_value_before(at, 2);
    at = next;
    entry++;
  } while (count < most);
  r->number = (size_t)(guess - after);
  r->lengths += 2 * (count - r->count);
  r->zeros += count - r->count;
  r->at = (size_t)(at - bytes);
  r->count = count;
}

/* A name that nobody knows moves one byte to the left, over a length, which
   makes room for its NUL. */
static fcgi__place move_name(run *r, size_t name, size_t len) {
  uint8_t *text = r->params->bytes.data + name;
  memmove(text - 1, text, len);
  text[len - 1] = 0;
  r->zeros++;
  r->params->unknown++;
  return (fcgi__place){(uint32_t)name - 1, (uint32_t)len};
}

/* The name is not the one guessed. */
static fcgi__place tell_name(run *r, size_t name, size_t len) {
  fcgi_params *params = r->params;
  unsigned number = fcgi__name_find(params->bytes.data + name, len);
  if (!number)
    return move_name(r, name, len);
  r->order->after[r->number] = (uint8_t)number;
  r->number = number;
  params->repeated |= params->last[number] > 0;
  params->last[number] = (uint8_t)(r->count + 1);
  return fcgi__names[number].place;
}

/* Take a pair of any lengths and any name; 0 when it is not whole. */
static int take_other(run *r) {
  fcgi_params *params = r->params;
  uint8_t *pair = params->bytes.data + r->at;
  fcgi__entry *entry = fcgi__entries(&params->entries) + r->count;
  fcgi__pair_lengths len;
  size_t size = fcgi__pair_peek(pair, r->end - r->at, &len);
  size_t name = r->at + size, value = name + len.name;
  if (size == 0 || len.name == 0)
    return 0;
  end_value_before(pair, size);
  r->zeros++;
  r->lengths += size;
  r->at = value + len.value;
  if (fcgi__params_drop(r->limits, params->bytes.data + name, len.name))
    return 1;
  entry->name = tell_name(r, name, len.name);
  entry->value = (fcgi__place){(uint32_t)value, len.value};
  r->count++;
  return 1;
}

/* Take all for which there is room, or can be made. */
static int take_all(run *r, const fcgi_allocator *allocator) {
  const size_t most = smaller(r->limits->pairs, FCGI__MAPPED);
  fcgi__buffer *entries = &r->params->entries;
  do {
    entries->len = r->count * sizeof(fcgi__entry);
    if (r->count == r->most) {
      if (r->count >= most)
        break;
      if (fcgi__params_reserve(r->params, allocator))
        return FCGI_ERR_NOMEM;
      r->most = smaller(entries->cap / sizeof(fcgi__entry), most);
    }
    take_usual(r);
  } while (r->at < r->end && (r->count == r->most || take_other(r)));
  entries->len = r->count * sizeof(fcgi__entry);
  return 0;
}

/* As it was with `count` entries: something is wrong with one behind them, and
   params_feed.c finds out what. */
static void undo(fcgi_params *params, size_t count) {
  const fcgi__entry *entries = fcgi__entries(&params->entries);
  params->entries.len = count * sizeof *entries;
  params->repeated = 0;
  params->unknown = 0;
  memset(params->last, 0, sizeof params->last);
  for (size_t i = 0; i < count; i++) {
    unsigned number = fcgi__entry_number(&entries[i]);
    params->unknown += number == 0;
    params->repeated |= number && params->last[number];
    params->last[number] = (uint8_t)(number ? i + 1 : 0);
  }
}

/* No byte of a text is NUL, and something was taken. What follows that is taken
   from the record again, so its copy may be written over. */
static int is_good(const run *r, size_t start) {
  uint8_t *bytes = r->params->bytes.data;
  size_t len = (r->at - start + FOUR - 1) / FOUR * FOUR;
  memset(bytes + r->at, 1, FOUR);
  return r->at > start && count_zeros(bytes + start, len) == r->zeros;
}

static void keep(const run *r, size_t start) {
  fcgi__buffer *bytes = &r->params->bytes;
  bytes->data[r->at] = 0;
  bytes->len = r->at + 1;
  r->params->total += r->at - start - r->lengths;
}

int fcgi__params_run(fcgi_params *params, const fcgi_allocator *allocator,
                     const fcgi__params_limits *limits, fcgi__name_order *order,
                     const uint8_t **data, size_t *len) {
  const size_t start = params->bytes.len;
  const size_t count = fcgi__entry_count(&params->entries);
  run r = {params, limits, order, start, start + *len, count, count, 0, 0, 0};
  if (*len > limits->bytes - params->total || count >= FCGI__MAPPED)
    return 0;
  if (fcgi__buffer_reserve(&params->bytes, allocator, *len + FOUR))
    return FCGI_ERR_NOMEM;
  memcpy(params->bytes.data + start, *data, *len);
  memset(params->bytes.data + r.end, LONG, 2);
  if (count > 0)
    r.number = fcgi__entry_number(fcgi__entries(&params->entries) + count - 1);
  if (take_all(&r, allocator))
    return FCGI_ERR_NOMEM;
  if (!is_good(&r, start)) {
    undo(params, count);
    return 0;
  }
  keep(&r, start);
  *data += r.at - start;
  *len -= r.at - start;
  return 0;
}
