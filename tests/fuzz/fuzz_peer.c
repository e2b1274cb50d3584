/* SPDX-License-Identifier: MIT */
/* The web server's side: calls in any order, and any bytes from the
   application between them, are refused or work and never crash; its events
   and its output do not depend on how those bytes are cut; its output is whole
   records that a web server may send; memory stays within the limits and comes
   back. Two bytes say how to run, the others are a script. */
#include "fuzz/counting.h"
#include "fuzz/fuzz.h"
#include "fuzz/script.h"
#include "fuzz/trace.h"

#include <fastcgi/error.h>

enum {
  OPTIONS = 2,        /* Bytes before the script. */
  MOST_OPEN = 3,      /* Requests open. */
  MOST_OUT = 100000,  /* Bytes queued. */
  MOST_VALUES = 20,   /* Pairs of a GET_VALUES_RESULT. */
  MOST_NAMES = 8,     /* Names asked for at once. */
  MOST_FAILURES = 100 /* Of the second option. */
};

/* One run of the script. */
typedef struct run {
  fcgi_peer *peer;  /* Under test. */
  counting memory;  /* What it allocates. */
  sequence events;  /* What it heard. */
  output out;       /* What it said. */
  script todo;      /* What is left of the script. */
  size_t chunk;     /* Bytes fed at once. */
  int result;       /* What next returned last. */
  int closed;       /* 1: the connection was closed. */
  int raw;          /* 1: bytes were queued as they are. */
  uint16_t highest; /* Id begun. */
  long open;        /* Requests begun less those over. */
} run;

static const char page[SCRIPT_LONGEST];

/* A call returns 0 or a code of the list; nothing is queued any more once the
   peer has failed or was closed. */
static void queued(const run *r, int error) {
  fuzz_require(error <= 0 && strcmp(fcgi_error_name(error), "UNKNOWN") != 0);
  fuzz_require(error != 0 || (r->result == 0 && !r->closed));
}

static void take(run *r) {
  const fcgi_peer_event *event = NULL;
  while ((r->result = fcgi_peer_next(r->peer, &event)) == 1) {
    sequence_add(&r->events, event);
    fuzz_require(!event->user_data || event->user_data == r);
    r->open -= event->type == FCGI_PEER_EVENT_END ||
               event->type == FCGI_PEER_EVENT_CLOSE;
    fuzz_require(r->open >= 0);
  }
  fuzz_require((r->result < 0) == (*fcgi_peer_reason(r->peer) != '\0'));
}

static void begin(run *r) {
  uint16_t id = script_id(&r->todo);
  unsigned how = script_byte(&r->todo);
  int error = fcgi_peer_begin(r->peer, id, (uint16_t)(how >> 1), how & 1);
  queued(r, error);
  r->open += error == 0;
  if (id > r->highest)
    r->highest = id;
  fuzz_require(error || fcgi_peer_is_open(r->peer, id));
}

static void param(run *r) {
  uint16_t id = script_id(&r->todo);
  size_t name_len = script_size(&r->todo), len = script_size(&r->todo);
  queued(r, fcgi_peer_param(r->peer, id, page, name_len, page, len));
}

static void params_end(run *r) {
  queued(r, fcgi_peer_params_end(r->peer, script_id(&r->todo)));
}

static void write_stream(run *r) {
  uint16_t id = script_id(&r->todo);
  fcgi_stream stream = (fcgi_stream)(script_byte(&r->todo) % 10);
  size_t len = script_size(&r->todo);
  queued(r, fcgi_peer_write(r->peer, id, stream, page, len));
}

static void write_end(run *r) {
  uint16_t id = script_id(&r->todo);
  fcgi_stream stream = (fcgi_stream)(script_byte(&r->todo) % 10);
  queued(r, fcgi_peer_write_end(r->peer, id, stream));
}

static void abort_it(run *r) {
  queued(r, fcgi_peer_abort(r->peer, script_id(&r->todo)));
}

static void get_values(run *r) {
  char texts[MOST_NAMES][256];
  const char *names[MOST_NAMES];
  size_t count = script_byte(&r->todo) % (MOST_NAMES + 1);
  for (size_t i = 0; i < count; i++) {
    size_t len = script_byte(&r->todo);
    const uint8_t *name = script_take(&r->todo, &len);
    memcpy(texts[i], name, len);
    texts[i][len] = '\0';
    names[i] = texts[i];
  }
  queued(r, fcgi_peer_get_values(r->peer, count ? names : NULL, count));
}

/* Whether the peer answers for them is not known any more. */
static void raw(run *r) {
  size_t len = script_byte(&r->todo);
  const uint8_t *bytes = script_take(&r->todo, &len);
  int error = fcgi_peer_raw(r->peer, bytes, len);
  queued(r, error);
  r->raw |= error == 0;
}

static void set_user_data(run *r) {
  uint16_t id = script_id(&r->todo);
  int error = fcgi_peer_set_user_data(r->peer, id, r);
  fuzz_require((error == 0) == fcgi_peer_is_open(r->peer, id));
}

static void feed(run *r) {
  size_t size = script_byte(&r->todo);
  const uint8_t *data = script_take(&r->todo, &size);
  int error = 0;
  for (size_t at = 0; at < size && !error && !r->closed; at += r->chunk) {
    size_t len = size - at < r->chunk ? size - at : r->chunk;
    uint8_t *piece = fuzz_copy(data + at, len);
    error = fcgi_peer_feed(r->peer, piece, len);
    fuzz_require(error == r->result);
    if (!error)
      fuzz_require(fcgi_peer_feed(r->peer, piece, len) == FCGI_ERR_STATE);
    take(r);
    free(piece);
  }
}

static void send_part(run *r, size_t most) {
  struct iovec iov[2];
  size_t before = fcgi_peer_queued(r->peer), part;
  fuzz_require(fcgi_peer_output(r->peer, iov, 0) == 0);
  if (fcgi_peer_output(r->peer, iov, 2) == 0) {
    fuzz_require(before == 0);
    return;
  }
  part = iov[0].iov_len < most ? iov[0].iov_len : most;
  output_add(&r->out, iov[0].iov_base, part);
  fcgi_peer_output_done(r->peer, part);
}

static void send_some(run *r) {
  send_part(r, script_size(&r->todo));
}

/* More than there is counts as all. */
static void send_all(run *r) {
  send_part(r, SIZE_MAX);
  fcgi_peer_output_done(r->peer, SIZE_MAX);
  fuzz_require(fcgi_peer_queued(r->peer) == 0);
}

static void close_it(run *r) {
  fcgi_peer_close(r->peer);
  r->closed = 1;
  take(r);
}

static void look(run *r) {
  unsigned flags = fcgi_peer_flags(r->peer);
  fuzz_require(!(flags & FCGI_PEER_OUTPUT) == !fcgi_peer_queued(r->peer));
  fuzz_require(!(flags & FCGI_PEER_ACTIVE) == !r->open);
  fuzz_require(fcgi_peer_queued(r->peer) <= MOST_OUT);
  fuzz_require(r->open <= MOST_OPEN);
}

/* What a byte of the script stands for; those most needed stand twice. */
static void (*const calls[])(run *r) = {
    begin,    params_end, feed, write_stream,  send_some, write_end,
    param,    abort_it,   raw,  set_user_data, send_all,  get_values,
    close_it, begin,      feed, params_end,
};

static void start(run *r) {
  const fcgi_peer_config config = {.size = sizeof config,
                                   .allocator = counting_allocator(&r->memory),
                                   .max_multiplexed = MOST_OPEN,
                                   .output_bytes = MOST_OUT,
                                   .values_pairs = MOST_VALUES};
  int error = fcgi_peer_new(&r->peer, &config);
  fuzz_require(!error || r->memory.until_failure == 0);
}

/* Every request that was begun is over once. */
static void finish(run *r) {
  if (r->result == 0 && !r->closed)
    send_all(r);
  int cut = r->result < 0 || r->closed;
  close_it(r);
  fuzz_require(r->open == 0 && fcgi_peer_queued(r->peer) == 0);
  fuzz_require(!(fcgi_peer_flags(r->peer) & FCGI_PEER_ACTIVE));
  fcgi_peer_free(r->peer);
  fuzz_require(r->memory.blocks == 0);
  if (!r->raw)
    output_check_peer(&r->out, cut);
}

/* Output is moved only when that pays; a table of ids doubles; one
   GET_VALUES_RESULT, and the names asked for, come from the script. */
static size_t memory_allowed(const run *r, size_t size) {
  return 5000 + ((size_t)r->highest + 17) * 32 + (size_t)MOST_OUT * 3 +
         4 * size;
}

static run *one_run(const uint8_t *data, size_t size, size_t chunk,
                    long until_failure) {
  run *r = calloc(1, sizeof *r);
  fuzz_require(r != NULL);
  r->todo = (script){data, size};
  r->chunk = chunk;
  r->memory.until_failure = until_failure;
  start(r);
  while (r->peer && r->todo.left > 0) {
    calls[script_byte(&r->todo) % (sizeof calls / sizeof *calls)](r);
    look(r);
  }
  if (r->peer)
    finish(r);
  fuzz_require(r->memory.peak <= memory_allowed(r, size));
  return r;
}

static void require_same(const run *a, const run *b) {
  fuzz_require(a->events.hash == b->events.hash && a->result == b->result);
  fuzz_require(a->out.len == b->out.len);
  if (a->out.len > 0)
    fuzz_require(memcmp(a->out.data, b->out.data, a->out.len) == 0);
}

static void forget(run *r) {
  output_free(&r->out);
  free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < OPTIONS || size > 16384)
    return 0;
  const uint8_t *bytes = data + OPTIONS;
  size -= OPTIONS;
  run *whole = one_run(bytes, size, SIZE_MAX, -1);
  run *bytewise = one_run(bytes, size, 1, -1);
  run *cut = one_run(bytes, size, data[0] + 2u, -1);
  require_same(whole, bytewise);
  require_same(whole, cut);
  forget(whole);
  forget(bytewise);
  forget(cut);
  forget(one_run(bytes, size, SIZE_MAX, data[1] % MOST_FAILURES));
  return 0;
}
