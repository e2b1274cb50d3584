/* SPDX-License-Identifier: MIT */
/* A peer and what it heard, as text that a test can compare. */
#ifndef UNIT_SUPPORT_PEERING_H
#define UNIT_SUPPORT_PEERING_H

#include "support/records.h"
#include "support/unit.h"

#include <fastcgi/peer.h>

/* Slices of one stream that follow each other show as one line, so that every
   split of the same bytes gives the same text. */
typedef struct peering {
  fcgi_peer *peer; /* The one under test. */
  records sent;    /* What is to be fed next; filled by the test. */
  records events;  /* Lines: the events so far. */
  records wire;    /* The output so far. */
  int event_line;  /* Key of the stream line at the end of `events`. */
} peering;

/* cmocka's fixture: a peer with every default. */
int peering_set_up(void **state);
int peering_tear_down(void **state);
#define PEERING_TEST(name)                                                     \
  cmocka_unit_test_setup_teardown(name, peering_set_up, peering_tear_down)

/* Make the peer anew, with `config`. */
void peering_restart(peering *p, const fcgi_peer_config *config);

/* Feed `sent`, at most `chunk` bytes at once, each piece in a heap block of
   its size, take all events, and empty `sent`. Returns 0 or the error. */
int peering_feed_by(peering *p, size_t chunk);
int peering_feed(peering *p);

/* Take the events that are due without bytes: 0 or the error. */
int peering_take(peering *p);

/* Move all output to `wire`, odd counts of bytes at once. */
void peering_send(peering *p);

/* The events so far, then forget them; a line each: "stdout 1 bytes",
   "stdout_end 1", "end 1 app=0 status=0 unclosed", "values A=b C=d",
   "unknown_type 77", "close 1". */
void peering_expect(peering *p, const char *expected);

/* A responder with one parameter, and its empty STDIN. */
void peering_get(peering *p, uint16_t id);

#endif
