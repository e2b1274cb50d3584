/* SPDX-License-Identifier: MIT */
/* A session and what it said, as text that a test can compare. */
#ifndef UNIT_SUPPORT_DIALOGUE_H
#define UNIT_SUPPORT_DIALOGUE_H

#include "support/records.h"
#include "support/unit.h"

#include <fastcgi/session.h>

/* Slices of one stream that follow each other show as one line, so that every
   split of the same bytes gives the same text. */
typedef struct dialogue {
  fcgi_session *session; /* The one under test. */
  records sent;          /* What is to be fed next; filled by the test. */
  records events;        /* Lines: the events so far. */
  records wire;          /* The output not yet decoded. */
  records answer;        /* Lines: the records of the output so far. */
  int event_line;        /* Key of the stream line at the end of `events`. */
  int answer_line;       /* Key of the stream line at the end of `answer`. */
  void (*on_event)(struct dialogue *d, const fcgi_event *event,
                   void *data); /* Called for each event, if set. */
  void *on_event_data;          /* Handed to that. */
} dialogue;

/* cmocka's fixture: a session with every default. */
int dialogue_set_up(void **state);
int dialogue_tear_down(void **state);
#define DIALOGUE_TEST(name)                                                    \
  cmocka_unit_test_setup_teardown(name, dialogue_set_up, dialogue_tear_down)

/* Make the session anew, with `config`. */
void dialogue_restart(dialogue *d, const fcgi_session_config *config);

/* Feed `sent`, at most `chunk` bytes at once, each piece in a heap block of
   its size, take all events, and empty `sent`. Returns 0 or the error. */
int dialogue_feed_by(dialogue *d, size_t chunk);
int dialogue_feed(dialogue *d);

/* Take the events that are due without bytes: 0 or the error. */
int dialogue_take(dialogue *d);

/* Send all output, with a few slices and odd counts of bytes at once. */
void dialogue_send(dialogue *d);

/* Both texts so far, then forget them. The events are, a line each:
   "request 1 role=1 keep=1 length=-1 A=b C=d", "stdin 1 bytes",
   "stdin_end 1 truncated excess", "data 1 bytes", and data_end likewise,
   "abort 1 reason=2", "close 1 refused=431". */
void dialogue_expect_events(dialogue *d, const char *expected);

/* Sends first. "stdout 1 bytes", "stdout_end 1", "stderr 1 bytes",
   "end 1 app=0 status=0", "values NAME=value", "unknown 77". */
void dialogue_expect_answer(dialogue *d, const char *expected);

/* The same texts, to be compared by the caller; the second sends first. */
records *dialogue_events(dialogue *d);
records *dialogue_answer(dialogue *d);

/* The same for bytes that came from elsewhere: a server's. */
void dialogue_expect_bytes(dialogue *d, const void *data, size_t len,
                           const char *expected);

#endif
