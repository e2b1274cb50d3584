/* SPDX-License-Identifier: MIT */
/* The rules an application can break, and what the peer says about it; and
   memory that runs out. */
#include "support/failing.h"
#include "support/peering.h"

#include <fastcgi/error.h>
#include <stdlib.h>
#include <string.h>

#define OUT         "\1\6\0\1\0\1\0\0x"
#define OUT_END     "\1\6\0\1\0\0\0\0"
#define ERR_END     "\1\7\0\1\0\0\0\0"
#define END         "\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0"
#define BYTES(text) text, sizeof text - 1

/* Request 1 is open and GET_VALUES was asked once. */
static const struct {
  const char *bytes;  /* From the application. */
  size_t len;         /* Number of bytes. */
  const char *reason; /* What the peer says. */
  const char *events; /* What it heard before. */
} broken[] = {
    {BYTES("HTTP/1.1"),
     "it answers with HTTP; ask a FastCGI application, not a web server", ""},
    {BYTES("\2\6\0\1\0\0\0\0"), "a record of another version than 1", ""},
    {BYTES("\1\6\0\2\0\1\0\0x"), "a record for a request that is not open", ""},
    {BYTES("\1\6\0\0\0\1\0\0x"), "an application record with request id 0", ""},
    {BYTES("\1\12\0\1\0\0\0\0"), "a management record with a request id", ""},
    {BYTES("\1\5\0\1\0\0\0\0"), "a record type that only a web server sends",
     ""},
    {BYTES("\1\11\0\0\0\0\0\0"), "a record type that only a web server sends",
     ""},
    {BYTES("\1\14\0\0\0\0\0\0"), "a record of an unknown type", ""},
    {BYTES("\1\0\0\1\0\0\0\0"), "a record of an unknown type", ""},
    {BYTES(OUT OUT_END OUT), "STDOUT after its end",
     "stdout 1 x\nstdout_end 1\n"},
    {BYTES(ERR_END ERR_END), "STDERR after its end", "stderr_end 1\n"},
    {BYTES(END OUT), "a record for a request that is not open",
     "end 1 app=0 status=0\n"},
    {BYTES(END END), "a record for a request that is not open",
     "end 1 app=0 status=0\n"},
    {BYTES("\1\3\0\1\0\7\1\0\0\0\0\0\0\0\0\0"),
     "an END_REQUEST whose content is not 8 bytes", ""},
    {BYTES("\1\3\0\1\0\0\0\0"), "an END_REQUEST whose content is not 8 bytes",
     ""},
    {BYTES("\1\3\0\1\0\10\0\0\0\0\0\0\4\0\0\0"),
     "an END_REQUEST with an unknown protocol status", ""},
    {BYTES("\1\13\0\0\0\1\0\0x"),
     "an UNKNOWN_TYPE whose content is not 8 bytes", ""},
    {BYTES("\1\12\0\0\0\0\0\0\1\12\0\0\0\0\0\0"),
     "a GET_VALUES_RESULT nobody asked for", "values\n"},
    {BYTES("\1\12\0\0\0\4\0\0\1\1A\0"),
     "a GET_VALUES_RESULT with a NUL in a name or value", ""},
    {BYTES("\1\12\0\0\0\3\0\0\1\1A"),
     "a GET_VALUES_RESULT that ends inside a pair", ""},
    {BYTES("\1\12\0\0\0\10\0\0\377\377\377\377\377\377\377\377"),
     "a GET_VALUES_RESULT with a pair longer than its record", ""},
};

static void expect_broken(peering *p, size_t at, size_t chunk) {
  char events[128];
  peering_restart(p, NULL);
  peering_get(p, 1);
  fcgi_peer_get_values(p->peer, NULL, 0);
  records_raw(&p->sent, broken[at].bytes, broken[at].len);
  assert_int_equal(peering_feed_by(p, chunk), FCGI_ERR_PROTOCOL);
  assert_string_equal(fcgi_peer_reason(p->peer), broken[at].reason);
  strcpy(events, broken[at].events);
  if (!strstr(events, "end 1 app"))
    strcat(events, "close 1\n");
  peering_expect(p, events);
  assert_int_equal(peering_take(p), FCGI_ERR_PROTOCOL);
  assert_int_equal(fcgi_peer_feed(p->peer, "x", 1), FCGI_ERR_PROTOCOL);
  assert_int_equal(fcgi_peer_begin(p->peer, 5, 1, 0), FCGI_ERR_CLOSED);
}

static void test_judge_names_the_rule_that_was_broken(void **state) {
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
    for (size_t chunk = 1; chunk < 30; chunk++)
      expect_broken(*state, i, chunk);
}

static void test_judge_tells_a_connection_cut_in_a_record(void **state) {
  peering *p = *state;
  const char bytes[] = OUT END;
  for (size_t len = 0; len < sizeof bytes; len++) {
    peering_restart(p, NULL);
    peering_get(p, 1);
    records_raw(&p->sent, bytes, len);
    assert_int_equal(peering_feed(p), 0);
    fcgi_peer_close(p->peer);
    int whole = len == 0 || len == 9 || len == sizeof bytes - 1;
    assert_int_equal(peering_take(p), whole ? 0 : FCGI_ERR_PROTOCOL);
    assert_string_equal(fcgi_peer_reason(p->peer),
                        whole ? "" : "the connection ended inside a record");
  }
}

static void test_judge_tells_streams_left_unclosed(void **state) {
  peering *p = *state;
  peering_get(p, 1);
  records_raw(&p->sent, BYTES(OUT END));
  assert_int_equal(peering_feed(p), 0);
  peering_expect(p, "stdout 1 x\nend 1 app=0 status=0 unclosed\n");
  peering_get(p, 1);
  records_raw(&p->sent, BYTES(OUT OUT_END END));
  assert_int_equal(peering_feed(p), 0);
  peering_expect(p, "stdout 1 x\nstdout_end 1\nend 1 app=0 status=0\n");
}

static void test_judge_lets_values_pass_after_raw_bytes(void **state) {
  peering *p = *state;
  fcgi_peer_raw(p->peer, "\1\11\0\0\0\0\0\0", 8);
  records_raw(&p->sent, "\1\12\0\0\0\4\0\0\1\1Ab", 12);
  assert_int_equal(peering_feed(p), 0);
  peering_expect(p, "values A=b\n");
}

static void test_judge_holds_values_to_the_limit(void **state) {
  peering *p = *state;
  const fcgi_peer_config config = {.size = sizeof config, .values_pairs = 1};
  peering_restart(p, &config);
  fcgi_peer_get_values(p->peer, NULL, 0);
  records_raw(&p->sent, "\1\12\0\0\0\10\0\0\1\1Ab\1\1Cd", 16);
  assert_int_equal(peering_feed(p), FCGI_ERR_LIMIT);
  assert_string_equal(fcgi_peer_reason(p->peer),
                      "more values than the limit allows");
}

/* What is queued before the n-th allocation fails comes out whole. */
static int run_short_of_memory(long n) {
  static const char big[70000];
  failing memory = {.until_failure = n};
  const fcgi_peer_config config = {.size = sizeof config,
                                   .allocator = failing_allocator(&memory)};
  const char answer[] = "\1\12\0\0\0\22\0\0\6\1HTTP_Ab"
                        "\6\1HTTP_Ac" OUT END;
  const fcgi_peer_event *event;
  fcgi_peer *peer = NULL;
  struct iovec iov;
  int error = fcgi_peer_new(&peer, &config);
  if (!error) {
    fcgi_peer_get_values(peer, NULL, 0);
    fcgi_peer_begin(peer, 1, 1, 0);
    fcgi_peer_param(peer, 1, "A", 1, big, sizeof big);
    fcgi_peer_params_end(peer, 1);
    fcgi_peer_write(peer, 1, FCGI_STREAM_STDIN, big, sizeof big);
    fcgi_peer_begin(peer, 1000, 1, 0);
    fcgi_peer_raw(peer, big, sizeof big);
    while (fcgi_peer_output(peer, &iov, 1) == 1)
      fcgi_peer_output_done(peer, iov.iov_len);
    error = fcgi_peer_feed(peer, answer, sizeof answer - 1);
    while (!error && (error = fcgi_peer_next(peer, &event)) == 1)
      error = 0;
  }
  /* A request or question that could not be queued is not answered. */
  assert_true(error == 0 || memory.failures > 0);
  fcgi_peer_free(peer);
  assert_int_equal(memory.live, 0);
  return memory.failures > 0;
}

static void test_judge_memory_may_run_out(void **state) {
  long n = 0;
  (void)state;
  while (run_short_of_memory(n))
    n++;
  assert_in_range(n, 6, 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      PEERING_TEST(test_judge_names_the_rule_that_was_broken),
      PEERING_TEST(test_judge_tells_a_connection_cut_in_a_record),
      PEERING_TEST(test_judge_tells_streams_left_unclosed),
      PEERING_TEST(test_judge_lets_values_pass_after_raw_bytes),
      PEERING_TEST(test_judge_holds_values_to_the_limit),
      cmocka_unit_test(test_judge_memory_may_run_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
