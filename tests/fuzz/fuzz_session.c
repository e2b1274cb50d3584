/* SPDX-License-Identifier: MIT */
/* The session: any bytes give the same events and the same output however they
   are cut; the output is whole records that an application may send; memory
   stays within the limits and comes back. Three bytes say how to run. */
#include "fuzz/counting.h"
#include "fuzz/fuzz.h"
#include "fuzz/trace.h"

#include <fastcgi/session.h>

enum {
  OPTIONS = 3,        /* Bytes before those of the web server. */
  MOST_PARAMS = 2000, /* Bytes of parameters in a request. */
  MOST_PAIRS = 20,    /* Parameters in a request. */
  MOST_OPEN = 8,      /* Requests open. */
  MOST_FAILURES = 200
};

/* Bits of the first option. */
enum {
  ANSWER_EARLY = 1,   /* Answer at REQUEST, otherwise when input ends. */
  HOLD = 2,           /* Answer at ABORT only. */
  LEND = 4,           /* Lend the bytes of the answer. */
  USE_STDERR = 8,     /* Write to STDERR too. */
  LOSE = 16,          /* The connection is lost at the end. */
  STOP_DRAINING = 32, /* The web server is silent at the end. */
  LARGE = 64          /* Answer with more than a record takes. */
};

/* One run over the same bytes. */
typedef struct run {
  fcgi_session *session; /* Under test. */
  counting memory;       /* What it allocates. */
  trace events;          /* A hash over each request's events. */
  output out;            /* What it sent. */
  unsigned options;      /* The first byte. */
  int result;            /* What next returned last. */
} run;

static const char page[70000];

static void drain(run *r) {
  struct iovec iov[4];
  int count;
  while ((count = fcgi_session_output(r->session, iov, 4)) > 0) {
    size_t sent = 0;
    for (int i = 0; i < count; i++) {
      output_add(&r->out, iov[i].iov_base, iov[i].iov_len);
      sent += iov[i].iov_len;
    }
    fcgi_session_output_done(r->session, sent);
  }
}

static void answer(run *r, uint16_t id) {
  size_t len = r->options & LARGE ? sizeof page : 40;
  if (r->options & USE_STDERR)
    fcgi_session_write(r->session, id, FCGI_STREAM_STDERR, page, 3);
  if (r->options & LEND)
    fcgi_session_lend(r->session, id, page, len);
  else
    fcgi_session_write(r->session, id, FCGI_STREAM_STDOUT, page, len);
  fcgi_session_end(r->session, id, id, FCGI_END_COMPLETE);
}

static void react(run *r, const fcgi_event *event) {
  int ends = (event->type == FCGI_EVENT_STDIN_END && event->role != 3) ||
             event->type == FCGI_EVENT_DATA_END;
  int starts = event->type == FCGI_EVENT_REQUEST;
  if (event->type == FCGI_EVENT_ABORT)
    answer(r, event->id);
  else if (r->options & HOLD)
    return;
  else if (r->options & ANSWER_EARLY ? starts
                                     : ends || (starts && event->role == 2))
    answer(r, event->id);
}

/* Output leaves at events only, for those come at the same bytes however the
   input is cut. */
static void take(run *r) {
  const fcgi_event *event;
  while ((r->result = fcgi_session_next(r->session, &event)) == 1) {
    trace_event(&r->events, event);
    react(r, event);
    drain(r);
  }
}

static void feed(run *r, const uint8_t *data, size_t size, size_t chunk) {
  for (size_t at = 0; at < size && r->result >= 0; at += chunk) {
    size_t len = size - at < chunk ? size - at : chunk;
    uint8_t *piece = fuzz_copy(data + at, len);
    r->result = fcgi_session_feed(r->session, piece, len);
    if (r->result == 0)
      take(r);
    free(piece);
  }
}

static void finish(run *r) {
  drain(r);
  take(r);
  if (r->options & STOP_DRAINING) {
    fcgi_session_stop_draining(r->session);
    drain(r);
    take(r);
  }
  if (r->options & LOSE) {
    fcgi_session_abort(r->session, FCGI_ABORT_CONNECTION);
    take(r);
    fuzz_require(!(fcgi_session_flags(r->session) & FCGI_SESSION_ACTIVE));
  }
  fcgi_session_free(r->session);
  fuzz_require(r->memory.blocks == 0);
}

/* The parameters of requests that may hold some, a table of ids, management
   answers; an open id costs less than 1,200 bytes beside. */
static size_t memory_allowed(const run *r, size_t size) {
  size_t ids = size / 16 + 1;
  size_t out = r->options & LARGE ? sizeof page + 40000 : 2000;
  return 100000 + (size_t)MOST_OPEN * 6 * (MOST_PARAMS + 2000) + ids * 1300 +
         out;
}

static void run_all(run *r, const uint8_t *data, size_t size, size_t chunk) {
  const fcgi_session_config config = {.size = sizeof config,
                                      .allocator =
                                          counting_allocator(&r->memory),
                                      .limit_params_size = MOST_PARAMS,
                                      .limit_params = MOST_PAIRS,
                                      .max_multiplexed = MOST_OPEN};
  if (fcgi_session_new(&r->session, &config)) {
    fuzz_require(r->memory.until_failure == 0 && r->memory.blocks == 0);
    return;
  }
  feed(r, data, size, chunk);
  finish(r);
  output_check(&r->out);
  fuzz_require(r->memory.peak <= memory_allowed(r, size));
}

static void require_same(const run *a, const run *b) {
  fuzz_require(trace_sum(&a->events) == trace_sum(&b->events));
  fuzz_require(a->out.len == b->out.len);
  if (a->out.len > 0)
    fuzz_require(memcmp(a->out.data, b->out.data, a->out.len) == 0);
  fuzz_require(a->result == b->result);
}

static run *one_run(const uint8_t *options, const uint8_t *data, size_t size,
                    size_t chunk, long until_failure) {
  run *r = calloc(1, sizeof *r);
  fuzz_require(r != NULL);
  r->options = options[0];
  r->memory.until_failure = until_failure;
  run_all(r, data, size, chunk);
  return r;
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
  run *whole = one_run(data, bytes, size, size + 1, -1);
  run *bytewise = one_run(data, bytes, size, 1, -1);
  run *cut = one_run(data, bytes, size, data[1] + 2u, -1);
  require_same(whole, bytewise);
  require_same(whole, cut);
  forget(whole);
  forget(bytewise);
  forget(cut);
  forget(one_run(data, bytes, size, size + 1, data[2] % MOST_FAILURES));
  return 0;
}
