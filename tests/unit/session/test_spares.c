/* SPDX-License-Identifier: MIT */
/* Memory of requests that have ended serves those that begin, and nothing of
   what was in it is seen again. */
#include "support/failing.h"
#include "support/records.h"
#include "support/unit.h"

#include <fastcgi/error.h>
#include <fastcgi/session.h>
#include <string.h>

/* Two sessions of one allocator that share one place. */
typedef struct shared {
  failing memory;           /* What they allocate from. */
  fcgi_allocator allocator; /* `memory` as an allocator. */
  fcgi_spares *spares;      /* The place. */
  fcgi_session *one;        /* A session. */
  fcgi_session *other;      /* Another. */
} shared;

static void set_up(shared *s) {
  *s = (shared){.memory = {.until_failure = -1}};
  s->allocator = failing_allocator(&s->memory);
  assert_int_equal(fcgi_spares_new(&s->spares, 1, &s->allocator), 0);
  const fcgi_session_config config = {
      .size = sizeof config, .allocator = s->allocator, .spares = s->spares};
  assert_int_equal(fcgi_session_new(&s->one, &config), 0);
  assert_int_equal(fcgi_session_new(&s->other, &config), 0);
}

static void tear_down(shared *s) {
  fcgi_session_free(s->one);
  fcgi_session_free(s->other);
  fcgi_spares_free(s->spares);
  assert_int_equal(s->memory.live, 0);
}

/* Begin a request with a parameter, or without for NULL; its parameters. */
static const fcgi_params *begin(fcgi_session *session, const char *name,
                                const char *value) {
  const fcgi_event *event = NULL;
  static records sent; /* What was fed stays in place. */
  sent.len = 0;
  records_begin(&sent, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  if (name)
    records_param(&sent, 1, name, value);
  records_params_end(&sent, 1);
  records_stdin_end(&sent, 1);
  assert_int_equal(fcgi_session_feed(session, sent.data, sent.len), 0);
  assert_int_equal(fcgi_session_next(session, &event), 1);
  assert_int_equal(event->type, FCGI_EVENT_REQUEST);
  const fcgi_params *params = event->params;
  assert_int_equal(fcgi_session_next(session, &event), 1);
  assert_int_equal(fcgi_session_next(session, &event), 0);
  return params;
}

static void end(fcgi_session *session) {
  const fcgi_event *event = NULL;
  struct iovec iov[4];
  int count;
  fcgi_session_write(session, 1, FCGI_STREAM_STDOUT, "fine", 4);
  assert_int_equal(fcgi_session_end(session, 1, 0, FCGI_END_COMPLETE), 0);
  while ((count = fcgi_session_output(session, iov, 4)) > 0)
    for (int i = 0; i < count; i++)
      fcgi_session_output_done(session, iov[i].iov_len);
  assert_int_equal(fcgi_session_next(session, &event), 1);
  assert_int_equal(event->type, FCGI_EVENT_CLOSE);
  assert_int_equal(fcgi_session_next(session, &event), 0);
}

static void test_the_next_request_allocates_nothing(void **state) {
  shared s;
  (void)state;
  set_up(&s);
  begin(s.one, "REQUEST_METHOD", "GET");
  end(s.one);
  s.memory.until_failure = 0;
  for (int i = 0; i < 3; i++) {
    begin(s.one, "REQUEST_METHOD", "GET");
    end(s.one);
    begin(s.other, "A", "b");
    end(s.other);
  }
  assert_int_equal(s.memory.failures, 0);
  tear_down(&s);
}

static void test_nothing_is_left_of_the_request_before(void **state) {
  shared s;
  (void)state;
  set_up(&s);
  begin(s.one, "HTTP_COOKIE", "secret");
  end(s.one);
  const fcgi_params *params = begin(s.other, NULL, NULL);
  assert_int_equal(fcgi_params_count(params), 0);
  assert_null(fcgi_params_get(params, "HTTP_COOKIE", 11, NULL));
  end(s.other);
  params = begin(s.one, "REQUEST_METHOD", "HEAD");
  assert_null(fcgi_params_get(params, "HTTP_COOKIE", 11, NULL));
  assert_int_equal(fcgi_params_is_head(params), 1);
  end(s.one);
  assert_int_equal(fcgi_params_is_head(begin(s.one, NULL, NULL)), 0);
  end(s.one);
  assert_int_equal(fcgi_session_held(s.one), 0);
  tear_down(&s);
}

static void test_requests_at_once_have_memory_each(void **state) {
  shared s;
  (void)state;
  set_up(&s);
  const fcgi_params *one = begin(s.one, "A", "one");
  begin(s.other, "A", "other");
  end(s.other);
  assert_string_equal(fcgi_params_get(one, "A", 1, NULL), "one");
  end(s.one);
  tear_down(&s);
}

static void test_kept_parameters_stay(void **state) {
  shared s;
  (void)state;
  set_up(&s);
  const fcgi_params *kept = begin(s.one, "A", "kept");
  assert_int_equal(fcgi_session_keep_params(s.one, 1), 0);
  end(s.one);
  begin(s.one, "A", "next");
  end(s.one);
  assert_string_equal(fcgi_params_get(kept, "A", 1, NULL), "kept");
  fcgi_session_drop_params(kept, &s.allocator);
  tear_down(&s);
}

static void test_much_memory_is_not_kept(void **state) {
  static char value[100000];
  shared s;
  (void)state;
  set_up(&s);
  memset(value, 'v', 60000);
  begin(s.one, "A", value);
  end(s.one);
  fcgi_session_free(s.one);
  s.one = NULL;
  assert_in_range(s.memory.live, 1, 3);
  tear_down(&s);
}

static void test_counts_are_powers_of_two(void **state) {
  fcgi_spares *spares = NULL;
  (void)state;
  assert_int_equal(fcgi_spares_new(&spares, 0, NULL), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_spares_new(&spares, 3, NULL), FCGI_ERR_INVALID);
  assert_int_equal(fcgi_spares_new(&spares, 16, NULL), 0);
  fcgi_spares_free(spares);
  fcgi_spares_free(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_next_request_allocates_nothing),
      cmocka_unit_test(test_nothing_is_left_of_the_request_before),
      cmocka_unit_test(test_requests_at_once_have_memory_each),
      cmocka_unit_test(test_kept_parameters_stay),
      cmocka_unit_test(test_much_memory_is_not_kept),
      cmocka_unit_test(test_counts_are_powers_of_two),
  };
  return cmocka_run_group_tests_name("spares", tests, NULL, NULL);
}
