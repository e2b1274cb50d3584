/* SPDX-License-Identifier: MIT */
/* Every allocation of a session fails once: nothing crashes, nothing leaks,
   and what happened is told. */
#include "support/dialogue.h"
#include "support/failing.h"

#include <fastcgi/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Take the events; an answer of every kind for each request that comes. */
static int serve(fcgi_session *session) {
  static const char big[40000];
  const fcgi_event *event = NULL;
  int result;
  while ((result = fcgi_session_next(session, &event)) == 1) {
    uint16_t id = event->id;
    if (event->type == FCGI_EVENT_ABORT)
      fcgi_session_end(session, id, 1, FCGI_END_COMPLETE);
    if (event->type != FCGI_EVENT_REQUEST)
      continue;
    fcgi_session_write(session, id, FCGI_STREAM_STDOUT, "head", 4);
    fcgi_session_write(session, id, FCGI_STREAM_STDERR, "note", 4);
    fcgi_session_lend(session, id, big, sizeof big);
    fcgi_session_keep(session, id);
    fcgi_session_write(session, id, FCGI_STREAM_STDOUT, big, sizeof big);
    fcgi_session_write_file(session, id, 0, 0, 1000);
    fcgi_session_end(session, id, 0, FCGI_END_COMPLETE);
  }
  return result;
}

static void send_all(fcgi_session *session) {
  struct iovec iov[16];
  uint64_t offset;
  size_t len;
  int fd, count;
  for (;;) {
    if (fcgi_session_output_file(session, &fd, &offset, &len)) {
      fcgi_session_output_done(session, len);
      continue;
    }
    count = fcgi_session_output(session, iov, 16);
    if (count == 0)
      return;
    for (int i = 0; i < count; i++)
      fcgi_session_output_done(session, iov[i].iov_len);
  }
}

/* Requests of all kinds, in `r`. */
static void fill(records *r) {
  char value[3000];
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = '\0';
  records_put(r, FCGI_RECORD_GET_VALUES, 0, "\17\0FCGI_MPXS_CONNS", 17, 7);
  records_put(r, 99, 0, NULL, 0, 0);
  for (uint16_t id = 1; id <= 12; id++) {
    records_begin(r, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
    records_param(r, id, "HTTP_A", "one");
    records_param(r, id, "HTTP_A", value);
    records_param(r, id, "CONTENT_LENGTH", id == 7 ? "bad" : "4");
  }
  records_begin(r, 20, 99, FCGI_BEGIN_KEEP);
  records_begin(r, 21, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_abort(r, 21);
  for (uint16_t id = 1; id <= 12; id++)
    records_params_end(r, id);
  for (uint16_t id = 1; id <= 12; id++) {
    records_stdin(r, id, "body");
    if (id % 3 != 0)
      records_stdin_end(r, id);
  }
}

/* Run the whole scenario where allocation `n` and all later ones fail, or
   only that one: 1 when one failed. */
static int run(const records *input, long n, size_t chunk, int only_one) {
  failing memory = {.until_failure = n};
  const fcgi_session_config config = {.size = sizeof config,
                                      .allocator = failing_allocator(&memory)};
  fcgi_session *session = NULL;
  int result = fcgi_session_new(&session, &config);
  for (size_t at = 0; at < input->len && result == 0; at += chunk) {
    size_t len = input->len - at < chunk ? input->len - at : chunk;
    result = fcgi_session_feed(session, input->data + at, len);
    if (result == 0)
      result = serve(session);
    if (memory.failures > 0 && only_one)
      memory.until_failure = -1;
    if (at % 5 == 0)
      send_all(session);
  }
  if (session != NULL) {
    fcgi_session_stop_draining(session);
    send_all(session);
    serve(session);
  }
  assert_true(result == 0 || result == FCGI_ERR_NOMEM);
  assert_true(result == 0 || memory.failures > 0);
  fcgi_session_free(session);
  assert_int_equal(memory.live, 0);
  return memory.failures > 0;
}

static void sweep(size_t chunk, int only_one) {
  records input = {0};
  long n = 0;
  fill(&input);
  while (run(&input, n, chunk, only_one))
    n++;
  assert_in_range(n, 20, 100000);
  records_free(&input);
}

static void test_memory_may_run_out_for_good(void **state) {
  (void)state;
  sweep(1000000, 0);
}

static void test_memory_may_run_out_for_good_in_small_pieces(void **state) {
  (void)state;
  sweep(97, 0);
}

static void test_memory_may_run_out_for_a_while(void **state) {
  (void)state;
  sweep(1000, 1);
}

/* A request with `count` parameters, of which those from `failing_from` on, or
   their end, find no memory. */
static void assert_503(dialogue *d, int count, int failing_from) {
  failing memory = {.until_failure = -1};
  const fcgi_session_config config = {.size = sizeof config,
                                      .allocator = failing_allocator(&memory)};
  char name[sizeof "NAME_-2147483648"];
  dialogue_restart(d, &config);
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  for (int i = 0; i <= count; i++) {
    if (i == failing_from) {
      assert_int_equal(dialogue_feed(d), 0);
      memory.until_failure = 0;
    }
    snprintf(name, sizeof name, "NAME_%d", i);
    if (i < count)
      records_param(&d->sent, 1, name, "b");
    else
      records_params_end(&d->sent, 1);
  }
  assert_int_equal(dialogue_feed(d), 0);
  memory.until_failure = -1;
  records_stdin_end(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_send(d);
  assert_non_null(memmem(d->wire.data, d->wire.len, "Status: 503 ", 12));
  assert_int_equal(dialogue_take(d), 0);
  dialogue_expect_events(d, "close 1 refused=503\n");
  dialogue_restart(d, NULL);
}

static void test_memory_missing_for_params_is_answered_503(void **state) {
  assert_503(*state, 1, 0);
}

static void test_memory_missing_for_finding_duplicates_too(void **state) {
  assert_503(*state, 200, 200);
}

/* The older request is still in PARAMS, the newer one drains with its small
   storage still on the wire, so that its END_REQUEST needs an allocation. */
static void test_memory_missing_while_draining_stops(void **state) {
  dialogue *d = *state;
  struct iovec iov[4];
  failing memory = {.until_failure = -1};
  const fcgi_session_config config = {.size = sizeof config,
                                      .allocator = failing_allocator(&memory)};
  dialogue_restart(d, &config);
  records_begin(&d->sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  records_open(&d->sent, 2);
  assert_int_equal(dialogue_feed(d), 0);
  fcgi_session_write(d->session, 2, FCGI_STREAM_STDOUT, "x", 1);
  fcgi_session_end(d->session, 2, 0, FCGI_END_COMPLETE);
  assert_int_equal(fcgi_session_output(d->session, iov, 4), 1);
  memory.until_failure = 0;
  fcgi_session_stop_draining(d->session);
  assert_int_equal(memory.failures, 1);
  assert_int_equal(dialogue_take(d), FCGI_ERR_NOMEM);
  dialogue_expect_events(d, "request 2 role=1 keep=1 length=-1 A=b\nclose 2\n");
  dialogue_restart(d, NULL);
  assert_int_equal(memory.live, 0);
}

static void open_failing(dialogue *d, failing *memory) {
  const fcgi_session_config config = {.size = sizeof config,
                                      .allocator = failing_allocator(memory)};
  dialogue_restart(d, &config);
  records_get(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n"
                            "stdin_end 1\n");
}

/* A write that fails has written nothing, so another answer may follow. */
static void test_failed_write_leaves_nothing(void **state) {
  static const char big[100000];
  dialogue *d = *state;
  for (long n = 0; n < 5; n++) {
    failing memory = {.until_failure = -1};
    open_failing(d, &memory);
    fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "head", 4);
    size_t queued = fcgi_session_queued(d->session, 1);
    memory.until_failure = n;
    assert_int_equal(
        fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, big, sizeof big),
        FCGI_ERR_NOMEM);
    memory.until_failure = n % 2;
    assert_int_equal(fcgi_session_write_file(d->session, 1, 0, 0, sizeof big),
                     FCGI_ERR_NOMEM);
    assert_int_equal(fcgi_session_queued(d->session, 1), queued);
    memory.until_failure = -1;
    fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, " tail", 5);
    fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE);
    dialogue_expect_answer(d, "stdout 1 head tail\nstdout_end 1\n"
                              "end 1 app=0 status=0\n");
    dialogue_restart(d, NULL);
    assert_int_equal(memory.live, 0);
  }
}

/* The caller takes its bytes back: nothing may refer to them any more. */
static void test_lent_bytes_that_cannot_be_kept_are_dropped(void **state) {
  static const char lent[100000];
  dialogue *d = *state;
  struct iovec iov[4];
  failing memory = {.until_failure = -1};
  open_failing(d, &memory);
  assert_int_equal(fcgi_session_lend(d->session, 1, lent, sizeof lent), 0);
  assert_true(fcgi_session_output(d->session, iov, 4) > 0);
  memory.until_failure = 1;
  assert_int_equal(fcgi_session_keep(d->session, 1), FCGI_ERR_NOMEM);
  assert_int_equal(fcgi_session_output(d->session, iov, 4), 0);
  assert_int_equal(dialogue_take(d), FCGI_ERR_NOMEM);
  dialogue_expect_events(d, "abort 1 reason=3\n");
  dialogue_restart(d, NULL);
  assert_int_equal(memory.live, 0);
}

/* The end needs an allocation when the small storage is already full. */
static void test_end_that_cannot_be_queued_fails_the_session(void **state) {
  static const char lent[100];
  dialogue *d = *state;
  failing memory = {.until_failure = -1};
  open_failing(d, &memory);
  fcgi_session_write(d->session, 1, FCGI_STREAM_STDOUT, "x", 1);
  fcgi_session_lend(d->session, 1, lent, sizeof lent);
  memory.until_failure = 0;
  assert_int_equal(fcgi_session_end(d->session, 1, 0, FCGI_END_COMPLETE),
                   FCGI_ERR_NOMEM);
  assert_int_equal(dialogue_take(d), FCGI_ERR_NOMEM);
  dialogue_expect_events(d, "close 1\n");
  dialogue_restart(d, NULL);
  assert_int_equal(memory.live, 0);
}

/* One too many, which has no storage of its own, of a role not served. */
static void test_no_to_an_authorizer_needs_memory(void **state) {
  static const fcgi_role_spec roles[] = {FCGI_ROLE_SPEC_RESPONDER};
  dialogue *d = *state;
  failing memory = {.until_failure = -1};
  const fcgi_session_config config = {.size = sizeof config,
                                      .allocator = failing_allocator(&memory),
                                      .max_multiplexed = 1,
                                      .roles = roles,
                                      .role_count = 1};
  dialogue_restart(d, &config);
  records_open(&d->sent, 1);
  assert_int_equal(dialogue_feed(d), 0);
  records_begin(&d->sent, 2, FCGI_ROLE_AUTHORIZER, FCGI_BEGIN_KEEP);
  memory.until_failure = 1;
  assert_int_equal(dialogue_feed(d), FCGI_ERR_NOMEM);
  dialogue_expect_events(d, "request 1 role=1 keep=1 length=-1 A=b\n"
                            "abort 1 reason=3\n");
  dialogue_restart(d, NULL);
  assert_int_equal(memory.live, 0);
}

static void *measure(void *ptr, size_t size, void *user_data) {
  size_t *bytes = user_data;
  *bytes += size;
  if (size != 0)
    return realloc(ptr, size);
  free(ptr);
  return NULL;
}

/* An id beyond the limit is held until its PARAMS end, in under 320 bytes. */
static void test_refused_requests_take_little_memory(void **state) {
  dialogue *d = *state;
  size_t bytes = 0;
  const fcgi_session_config config = {.size = sizeof config,
                                      .max_multiplexed = 1,
                                      .memory = 1 << 28,
                                      .allocator = {measure, &bytes}};
  dialogue_restart(d, &config);
  for (uint16_t id = 1; id <= 60000; id++)
    records_begin(&d->sent, id, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  assert_int_equal(dialogue_feed(d), 0);
  assert_in_range(bytes / 60000, 1, 320);
  dialogue_restart(d, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      DIALOGUE_TEST(test_refused_requests_take_little_memory),
      DIALOGUE_TEST(test_memory_may_run_out_for_good),
      DIALOGUE_TEST(test_memory_may_run_out_for_good_in_small_pieces),
      DIALOGUE_TEST(test_memory_may_run_out_for_a_while),
      DIALOGUE_TEST(test_memory_missing_for_params_is_answered_503),
      DIALOGUE_TEST(test_memory_missing_for_finding_duplicates_too),
      DIALOGUE_TEST(test_memory_missing_while_draining_stops),
      DIALOGUE_TEST(test_failed_write_leaves_nothing),
      DIALOGUE_TEST(test_lent_bytes_that_cannot_be_kept_are_dropped),
      DIALOGUE_TEST(test_end_that_cannot_be_queued_fails_the_session),
      DIALOGUE_TEST(test_no_to_an_authorizer_needs_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
