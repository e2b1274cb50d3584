/* SPDX-License-Identifier: MIT */
/* The web server's side: what it says reaches a session, what a session says
   reaches it, for every split of the bytes. */
#include "support/dialogue.h"
#include "support/peering.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_peer_sends_a_request(void **state) {
  peering *p = *state;
  records expected = {0};
  peering_get(p, 1);
  peering_send(p);
  records_begin(&expected, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_put(&expected, FCGI_RECORD_PARAMS, 1, "\1\1Ab", 4, 4);
  memset(expected.data + expected.len - 4, 0, 4);
  records_params_end(&expected, 1);
  records_stdin_end(&expected, 1);
  assert_int_equal(p->wire.len, expected.len);
  assert_memory_equal(p->wire.data, expected.data, expected.len);
  records_free(&expected);
}

/* Everything that a web server can say. */
static void say_everything(fcgi_peer *peer, const char *value, size_t len) {
  fcgi_peer_get_values(peer, NULL, 0);
  fcgi_peer_begin(peer, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  fcgi_peer_param(peer, 1, "A", 1, "b", 1);
  fcgi_peer_begin(peer, 258, FCGI_ROLE_FILTER, FCGI_BEGIN_KEEP);
  fcgi_peer_param(peer, 1, "LONG", 4, value, len);
  fcgi_peer_param(peer, 1, "", 0, "", 0);
  fcgi_peer_params_end(peer, 1);
  fcgi_peer_write(peer, 1, FCGI_STREAM_STDIN, "abc", 3);
  fcgi_peer_write(peer, 1, FCGI_STREAM_STDIN, "def", 3);
  fcgi_peer_params_end(peer, 258);
  fcgi_peer_write(peer, 258, FCGI_STREAM_STDIN, "file name", 9);
  fcgi_peer_write(peer, 1, FCGI_STREAM_STDIN, "gh", 2);
  fcgi_peer_write_end(peer, 258, FCGI_STREAM_STDIN);
  fcgi_peer_write(peer, 258, FCGI_STREAM_DATA, "data", 4);
  fcgi_peer_raw(peer, "\1\115\0\0\0\0\0\0", 8);
  fcgi_peer_write_end(peer, 1, FCGI_STREAM_STDIN);
  fcgi_peer_write_end(peer, 258, FCGI_STREAM_DATA);
  fcgi_peer_abort(peer, 258);
}

static void expect_everything(dialogue *d, const char *value) {
  char expected[600];
  snprintf(expected, sizeof expected,
           "request 1 role=1 keep=1 length=-1 A=b LONG=%s =\n"
           "stdin 1 abcdef\n"
           "request 258 role=3 keep=1 length=-1\n"
           "stdin 258 file name\n"
           "stdin 1 gh\n"
           "stdin_end 258\n"
           "data 258 data\n"
           "stdin_end 1\n"
           "data_end 258\n"
           "abort 258 reason=1\n",
           value);
  dialogue_expect_events(d, expected);
}

/* What the application answers to that. */
static void answer_everything(fcgi_session *session) {
  fcgi_session_write(session, 1, FCGI_STREAM_STDOUT, "head ", 5);
  fcgi_session_lend(session, 1, "body", 4);
  fcgi_session_write(session, 258, FCGI_STREAM_STDERR, "note", 4);
  fcgi_session_end(session, 1, 7, FCGI_END_COMPLETE);
  fcgi_session_end(session, 258, 4294967295u, FCGI_END_COMPLETE);
}

static void expect_answers(peering *p) {
  peering_expect(p, "values FCGI_MAX_CONNS=1024 FCGI_MAX_REQS=1048576 "
                    "FCGI_MPXS_CONNS=1\n"
                    "unknown_type 77\n"
                    "stdout 1 head \n"
                    "stderr 258 note\n"
                    "stderr_end 258\n"
                    "stdout_end 258\n"
                    "end 258 app=4294967295 status=0\n"
                    "stdout 1 body\n"
                    "stdout_end 1\n"
                    "end 1 app=7 status=0\n");
}

/* One whole conversation; both directions cut as told. */
static void converse(peering *p, dialogue *d, const char *value, size_t chunk,
                     size_t back) {
  peering_restart(p, NULL);
  dialogue_restart(d, NULL);
  say_everything(p->peer, value, strlen(value));
  peering_send(p);
  records_raw(&d->sent, p->wire.data, p->wire.len);
  assert_int_equal(dialogue_feed_by(d, chunk), 0);
  expect_everything(d, value);
  answer_everything(d->session);
  dialogue_send(d);
  records_raw(&p->sent, d->wire.data, d->wire.len);
  d->wire.len = 0;
  assert_int_equal(peering_feed_by(p, back), 0);
  expect_answers(p);
  assert_int_equal(fcgi_peer_flags(p->peer), 0);
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 258\nclose 1\n");
}

static void test_peer_and_session_agree_for_every_chunk(void **state) {
  peering *p = *state;
  void *other = NULL;
  char value[201];
  memset(value, 'v', 200);
  value[200] = '\0';
  dialogue_set_up(&other);
  for (size_t chunk = 1; chunk < 600; chunk++)
    converse(p, other, value, chunk, 601 - chunk);
  dialogue_tear_down(&other);
}

/* Feed the application's bytes in two parts, cut at every place. */
static void test_peer_events_are_the_same_at_every_split(void **state) {
  peering *p = *state;
  void *other = NULL;
  dialogue_set_up(&other);
  dialogue *d = other;
  say_everything(p->peer, "x", 1);
  peering_send(p);
  records_raw(&d->sent, p->wire.data, p->wire.len);
  assert_int_equal(dialogue_feed(d), 0);
  answer_everything(d->session);
  dialogue_send(d);
  for (size_t split = 0; split <= d->wire.len; split++) {
    peering_restart(p, NULL);
    say_everything(p->peer, "x", 1);
    records_raw(&p->sent, d->wire.data, split);
    assert_int_equal(peering_feed(p), 0);
    records_raw(&p->sent, d->wire.data + split, d->wire.len - split);
    assert_int_equal(peering_feed(p), 0);
    expect_answers(p);
  }
  dialogue_tear_down(&other);
}

/* A name and a value longer than a record, and a body of many. */
static void test_peer_splits_what_is_long(void **state) {
  enum { BIG = 200000 };
  peering *p = *state;
  const fcgi_session_config config = {.size = sizeof config,
                                      .limit_params_size = 1000000};
  const fcgi_event *event;
  fcgi_session *session = NULL;
  char *big = malloc(BIG);
  uint64_t body = 0;
  memset(big, 'n', BIG);
  fcgi_peer_begin(p->peer, 9, FCGI_ROLE_RESPONDER, 0);
  assert_int_equal(fcgi_peer_param(p->peer, 9, big, BIG, big, BIG - 1), 0);
  fcgi_peer_params_end(p->peer, 9);
  assert_int_equal(fcgi_peer_write(p->peer, 9, FCGI_STREAM_STDIN, big, BIG), 0);
  fcgi_peer_write_end(p->peer, 9, FCGI_STREAM_STDIN);
  peering_send(p);
  assert_int_equal(fcgi_session_new(&session, &config), 0);
  fcgi_session_feed(session, p->wire.data, p->wire.len);
  while (fcgi_session_next(session, &event) == 1) {
    fcgi_param param;
    if (event->type == FCGI_EVENT_STDIN)
      body += event->len;
    if (event->type != FCGI_EVENT_REQUEST)
      continue;
    assert_int_equal(fcgi_params_at(event->params, 0, &param), 0);
    assert_int_equal(param.name_len, BIG);
    assert_int_equal(param.value_len, BIG - 1);
    assert_memory_equal(param.value, big, BIG - 1);
  }
  assert_int_equal(body, BIG);
  fcgi_session_free(session);
  free(big);
}

static void test_peer_allows_only_what_is_in_turn(void **state) {
  fcgi_peer *peer = ((peering *)*state)->peer;
  const fcgi_stream in = FCGI_STREAM_STDIN;
  assert_int_equal(fcgi_peer_begin(peer, 0, 1, 0), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_peer_param(peer, 1, "A", 1, "", 0), FCGI_ERR_STATE);
  assert_int_equal(fcgi_peer_params_end(peer, 1), FCGI_ERR_STATE);
  assert_int_equal(fcgi_peer_abort(peer, 1), FCGI_ERR_STATE);
  assert_int_equal(fcgi_peer_set_user_data(peer, 1, peer), FCGI_ERR_STATE);
  assert_int_equal(fcgi_peer_begin(peer, 1, 1, 0), 0);
  assert_int_equal(fcgi_peer_begin(peer, 1, 1, 0), FCGI_ERR_STATE);
  assert_int_equal(fcgi_peer_write(peer, 1, in, "x", 1), FCGI_ERR_STATE);
  assert_int_equal(fcgi_peer_params_end(peer, 1), 0);
  assert_int_equal(fcgi_peer_param(peer, 1, "A", 1, "", 0), FCGI_ERR_STATE);
  assert_int_equal(fcgi_peer_write(peer, 1, FCGI_STREAM_STDOUT, "x", 1),
                   FCGI_ERR_INVALID);
  assert_int_equal(fcgi_peer_write_end(peer, 1, in), 0);
  assert_int_equal(fcgi_peer_write_end(peer, 1, in), FCGI_ERR_STATE);
  assert_int_equal(fcgi_peer_write(peer, 1, in, "x", 1), FCGI_ERR_STATE);
}

static void test_peer_keeps_to_its_limits(void **state) {
  peering *p = *state;
  static const char big[5000];
  const char *const long_names[] = {big, big};
  const fcgi_peer_config config = {
      .size = sizeof config, .max_multiplexed = 1, .output_bytes = 1000};
  peering_restart(p, &config);
  assert_int_equal(fcgi_peer_begin(p->peer, 1, 1, 0), 0);
  assert_int_equal(fcgi_peer_begin(p->peer, 2, 1, 0), FCGI_ERR_LIMIT);
  assert_int_equal(fcgi_peer_param(p->peer, 1, "A", 1, big, sizeof big),
                   FCGI_ERR_LIMIT);
  assert_int_equal(fcgi_peer_queued(p->peer), 16);
  peering_send(p);
  assert_int_equal(p->wire.len, 16);
  assert_int_equal(fcgi_peer_get_values(p->peer, long_names, 2), 0);
  assert_int_equal(fcgi_peer_param(p->peer, 1, "A", 1, big, SIZE_MAX / 2),
                   FCGI_ERR_INVALID);
  assert_int_equal(fcgi_peer_raw(p->peer, big, SIZE_MAX), FCGI_ERR_LIMIT);
}

static void test_peer_refuses_more_names_than_a_record_holds(void **state) {
  peering *p = *state;
  char *name = malloc(65530);
  const char *names[1] = {name};
  memset(name, 'n', 65530);
  name[65529] = '\0';
  assert_int_equal(fcgi_peer_get_values(p->peer, names, 1), 0);
  assert_int_equal(fcgi_peer_flags(p->peer) & FCGI_PEER_VALUES,
                   FCGI_PEER_VALUES);
  const char *three[3] = {name, "x", name};
  assert_int_equal(fcgi_peer_get_values(p->peer, three, 2), FCGI_ERR_LIMIT);
  assert_int_equal(fcgi_peer_get_values(p->peer, three, 3), FCGI_ERR_LIMIT);
  free(name);
}

/* Each answer is held to the limits by itself, and what the one had twice is
   nothing to the next. */
static void test_peer_asks_again_and_again(void **state) {
  peering *p = *state;
  for (int i = 0; i < 30000; i++) {
    assert_int_equal(fcgi_peer_get_values(p->peer, NULL, 0), 0);
    peering_send(p);
    records_put(&p->sent, FCGI_RECORD_GET_VALUES_RESULT, 0, "\1\1A1\1\1A2",
                i % 2 ? 8 : 4, 0);
    assert_int_equal(peering_feed(p), 0);
    peering_expect(p, i % 2 ? "values A=1 A=2\n" : "values A=1\n");
    records_put(&p->sent, FCGI_RECORD_GET_VALUES_RESULT, 0, NULL, 0, 0);
    assert_int_equal(fcgi_peer_get_values(p->peer, NULL, 0), 0);
    assert_int_equal(peering_feed(p), 0);
    peering_expect(p, "values\n");
  }
}

static void test_peer_closes_what_is_open(void **state) {
  peering *p = *state;
  int data;
  const fcgi_peer_event *event;
  peering_get(p, 7);
  peering_get(p, 300);
  fcgi_peer_set_user_data(p->peer, 7, &data);
  assert_true(fcgi_peer_is_open(p->peer, 7));
  fcgi_peer_close(p->peer);
  fcgi_peer_close(p->peer);
  assert_int_equal(fcgi_peer_queued(p->peer), 0);
  assert_int_equal(fcgi_peer_next(p->peer, &event), 1);
  assert_int_equal(event->type, FCGI_PEER_EVENT_CLOSE);
  assert_ptr_equal(event->user_data, &data);
  assert_int_equal(peering_take(p), 0);
  peering_expect(p, "close 300\n");
  assert_false(fcgi_peer_is_open(p->peer, 7));
  assert_int_equal(fcgi_peer_begin(p->peer, 1, 1, 0), FCGI_ERR_CLOSED);
  assert_int_equal(fcgi_peer_feed(p->peer, "x", 1), FCGI_ERR_STATE);
  assert_string_equal(fcgi_peer_reason(p->peer), "");
}

static void test_peer_flags_follow_a_request(void **state) {
  peering *p = *state;
  fcgi_peer_begin(p->peer, 1, FCGI_ROLE_RESPONDER, 0);
  assert_int_equal(fcgi_peer_flags(p->peer),
                   FCGI_PEER_ACTIVE | FCGI_PEER_OUTPUT);
  peering_send(p);
  records_raw(&p->sent, "\1\3\0\1", 4);
  assert_int_equal(peering_feed(p), 0);
  assert_int_equal(fcgi_peer_flags(p->peer),
                   FCGI_PEER_ACTIVE | FCGI_PEER_PARTIAL);
  records_raw(&p->sent, "\0\10\0\0\0\0\0\0\3\0\0\0", 12);
  assert_int_equal(peering_feed(p), 0);
  peering_expect(p, "end 1 app=0 status=3\n");
  assert_int_equal(fcgi_peer_flags(p->peer), FCGI_PEER_CLOSE);
}

/* Queueing between output and output_done leaves the record that was opened
   where it can still grow. */
static void test_peer_queues_while_output_is_lent(void **state) {
  peering *p = *state;
  struct iovec iov;
  peering_get(p, 1);
  assert_int_equal(fcgi_peer_output(p->peer, &iov, 1), 1);
  fcgi_peer_begin(p->peer, 2, FCGI_ROLE_RESPONDER, 0);
  fcgi_peer_param(p->peer, 2, "A", 1, "b", 1);
  fcgi_peer_output_done(p->peer, iov.iov_len);
  fcgi_peer_param(p->peer, 2, "C", 1, "d", 1);
  peering_send(p);
  assert_int_equal(p->wire.len, 16 + 16);
  assert_memory_equal(p->wire.data + 16, "\1\4\0\2\0\10\0\0\1\1Ab\1\1Cd", 16);
}

static void test_peer_of_a_later_version_is_refused(void **state) {
  const fcgi_peer_config later = {.size = 0};
  fcgi_peer *peer = NULL;
  (void)state;
  assert_int_equal(fcgi_peer_new(&peer, &later), FCGI_ERR_INVALID);
  assert_null(peer);
  fcgi_peer_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PEERING_TEST(test_peer_sends_a_request),
      PEERING_TEST(test_peer_and_session_agree_for_every_chunk),
      PEERING_TEST(test_peer_events_are_the_same_at_every_split),
      PEERING_TEST(test_peer_splits_what_is_long),
      PEERING_TEST(test_peer_allows_only_what_is_in_turn),
      PEERING_TEST(test_peer_keeps_to_its_limits),
      PEERING_TEST(test_peer_refuses_more_names_than_a_record_holds),
      PEERING_TEST(test_peer_asks_again_and_again),
      PEERING_TEST(test_peer_closes_what_is_open),
      PEERING_TEST(test_peer_flags_follow_a_request),
      cmocka_unit_test(test_peer_of_a_later_version_is_refused),
      PEERING_TEST(test_peer_queues_while_output_is_lent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
