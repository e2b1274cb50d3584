/* SPDX-License-Identifier: MIT */
/* A server whose starter is slow to read what it is told. */
#include "support/mailbox.h"
#include "support/serving.h"

#include <stdlib.h>
#include <string.h>

enum { AGES = 2000 }; /* Turns of 50 ms. */

typedef struct scene {
  serving *f;  /* Its server and client. */
  mailbox box; /* Of the starter. */
} scene;

static int set_up(void **state) {
  static scene s;
  if (serving_set_up(state) != 0)
    return -1;
  s.f = *state;
  mailbox_open(&s.box);
  mailbox_fill(&s.box);
  setenv("NOTIFY_SOCKET", s.box.name, 1);
  serving_restart(s.f);
  *state = &s;
  return 0;
}

static int tear_down(void **state) {
  scene *s = *state;
  mailbox_close(&s->box);
  unsetenv("NOTIFY_SOCKET");
  *state = s->f;
  return serving_tear_down(state);
}

static void answer_one(serving *f) {
  records_get(&f->text->sent, 1);
  serving_send(f);
  fcgi_request_end(serving_take(f, FCGI_EVENT_REQUEST), 0);
  serving_expect(f, "stdout_end 1\nend 1 app=0 status=0\n");
}

/* Serve until the starter has a message. */
static const char *told(scene *s) {
  const char *text = "";
  for (int i = 0; i < AGES && !*text; i++) {
    serving_idle(s->f, 50);
    text = mailbox_take(&s->box);
  }
  return text;
}

static void test_is_ready_though_nobody_reads_it(void **state) {
  scene *s = *state;
  answer_one(s->f);
  mailbox_empty(&s->box);
  assert_string_equal(told(s), "READY=1");
  answer_one(s->f);
  assert_string_equal(mailbox_take(&s->box), "");
}

static void test_stops_though_nobody_reads_it(void **state) {
  scene *s = *state;
  fcgi_request *request;
  records_get(&s->f->text->sent, 1);
  serving_send(s->f);
  request = serving_take(s->f, FCGI_EVENT_REQUEST);
  fcgi_server_stop(s->f->server, FCGI_STOP_GRACEFUL);
  serving_idle(s->f, 50);
  mailbox_empty(&s->box);
  assert_string_equal(told(s), "READY=1\nSTOPPING=1");
  fcgi_request_end(request, 0);
}

#define STARTER_TEST(name)                                                     \
  cmocka_unit_test_prestate_setup_teardown(name, set_up, tear_down, kind)

static int run(const char *group, void *kind) {
  const struct CMUnitTest tests[] = {
      STARTER_TEST(test_is_ready_though_nobody_reads_it),
      STARTER_TEST(test_stops_though_nobody_reads_it),
  };
  return cmocka_run_group_tests_name(group, tests, NULL, NULL);
}

int main(void) {
  return serving_run(run);
}
