/* SPDX-License-Identifier: MIT */
/* A client chooses the names of its headers: none may cost more than others. */
#include "support/records.h"
#include "support/unit.h"

#include <fastcgi/session.h>
#include <stdio.h>
#include <time.h>

enum { NAMES = 1000, TURNS = 20, MOST_TIMES = 20 };

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Processor time for a request with so many names that begin and end so. */
static double cost_of(const char *before, const char *after) {
  records r = {0};
  char name[64];
  double best = 1e9;
  records_begin(&r, 1, FCGI_ROLE_RESPONDER, FCGI_BEGIN_KEEP);
  for (int i = 0; i < NAMES; i++) {
    snprintf(name, sizeof name, "%s%04d%s", before, i, after);
    records_param(&r, 1, name, "v");
  }
  records_params_end(&r, 1);
  for (int i = 0; i < TURNS; i++) {
    const fcgi_session_config config = {.size = sizeof config};
    const fcgi_event *event;
    fcgi_session *session;
    assert_int_equal(fcgi_session_new(&session, &config), 0);
    double begun = now_us();
    assert_int_equal(fcgi_session_feed(session, r.data, r.len), 0);
    assert_int_equal(fcgi_session_next(session, &event), 1);
    best = now_us() - begun < best ? now_us() - begun : best;
    fcgi_session_free(session);
  }
  records_free(&r);
  return best;
}

/* What differs is in the middle, at the start or at the end. */
static void test_names_alike_cost_what_others_do(void **state) {
  double usual = cost_of("HTTP_X_NAME_OF_USUAL_", "");
  (void)state;
  assert_true(cost_of("HTTP_X_SAME_", "_SAME_SAME") < MOST_TIMES * usual);
  assert_true(cost_of("", "_HTTP_X_SAME_SAME_SAME") < MOST_TIMES * usual);
  assert_true(cost_of("HTTP_X_A_SAME_SAME_", "_S") < MOST_TIMES * usual);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_alike_cost_what_others_do),
  };
  return cmocka_run_group_tests_name("params_cost", tests, NULL, NULL);
}
