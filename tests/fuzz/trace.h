/* SPDX-License-Identifier: MIT */
/* What a session or a peer said: a hash over its events, and its output as
   bytes. */
#ifndef FUZZ_TRACE_H
#define FUZZ_TRACE_H

#include <fastcgi/event.h>
#include <fastcgi/peer.h>

enum { TRACE_IDS = 2048 }; /* More than an input can begin. */

/* Zero-initialised is empty. */
typedef struct trace {
  struct {
    uint64_t hash; /* Over its events so far; 0 marks a free place. */
    uint16_t id;   /* The request. */
  } ids[TRACE_IDS];
} trace;

/* Slices of a stream count as their bytes, however they are cut. */
void trace_event(trace *t, const fcgi_event *event);

/* One number for all requests, whatever their order. */
uint64_t trace_sum(const trace *t);

/* A peer's events in their order. Zero-initialised is empty. */
typedef struct sequence {
  uint64_t hash; /* Over the events so far. */
  int stream;    /* Key of the stream that the last one was of, else 0. */
} sequence;

/* Slices of a stream that follow each other count as their bytes. */
void sequence_add(sequence *s, const fcgi_peer_event *event);

/* Growable bytes. Zero-initialised is empty; output_free it. */
typedef struct output {
  uint8_t *data; /* The bytes. */
  size_t len;    /* Number of bytes of the trace. */
  size_t cap;    /* How many there is room for. */
} output;

void output_add(output *out, const void *data, size_t len);
void output_free(output *out);

/* Abort unless it is whole records of the kinds that an application sends,
   each on an 8-byte boundary. */
void output_check(const output *out);

/* The same for a web server's; `may_be_cut` 1 lets the last record be short. */
void output_check_peer(const output *out, int may_be_cut);

#endif
