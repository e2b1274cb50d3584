/* SPDX-License-Identifier: MIT */
/* What a process tells its starter while there is no room to tell it. */
#include "os/clock.h"
#include "parent/notify.h"
#include "support/mailbox.h"
#include "support/unit.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

enum {
  OFTEN = 40,       /* Waits of a second each would be noticed. */
  SOON_MS = 20000,  /* Less than those, and ages for calls that never wait. */
  SELDOM_MS = 60000 /* Between two signs of life. */
};

static int set_up(void **state) {
  static mailbox box;
  mailbox_open(&box);
  *state = &box;
  return 0;
}

static int tear_down(void **state) {
  mailbox_close(*state);
  return 0;
}

static void test_sending_never_waits(void **state) {
  mailbox *box = *state;
  long long begun = fcgi__now();
  mailbox_fill(box);
  for (int i = 0; i < OFTEN; i++) {
    assert_int_equal(fcgi__notify_send(box->name, "READY=1"), -1);
    assert_true(fcgi__notify_is_passing(errno));
  }
  assert_in_range(fcgi__now() - begun, 0, SOON_MS);
}

static void test_what_finds_no_room_is_told_later(void **state) {
  mailbox *box = *state;
  fcgi__notify notify = {.every_ms = 0};
  mailbox_fill(box);
  assert_int_equal(
      fcgi__notify_tell(&notify, box->name,
                        FCGI__NOTIFY_READY | FCGI__NOTIFY_STOPS_BY_PIPE),
      0);
  assert_int_equal(fcgi__notify_tell(&notify, box->name, FCGI__NOTIFY_STOPPING),
                   0);
  assert_int_equal(fcgi__notify_again(&notify, box->name, 7),
                   7 + FCGI__NOTIFY_AGAIN_MS);
  mailbox_empty(box);
  assert_int_equal(fcgi__notify_again(&notify, box->name, 9), LLONG_MAX);
  assert_string_equal(mailbox_take(box),
                      "FASTCGI=STOP_BY_PIPE\nREADY=1\nSTOPPING=1");
  assert_int_equal(fcgi__notify_again(&notify, box->name, 11), LLONG_MAX);
  assert_string_equal(mailbox_take(box), "");
}

static void test_what_nobody_hears_is_not_owed(void **state) {
  fcgi__notify notify = {.every_ms = 0};
  static const char *const names[] = {"", "x", "@fastcgi-nobody-is-here"};
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_int_equal(fcgi__notify_tell(&notify, names[i], FCGI__NOTIFY_READY),
                     -1);
    assert_int_equal(fcgi__notify_again(&notify, names[i], 1), LLONG_MAX);
  }
}

typedef struct teller {
  mailbox *box;         /* Where to, */
  fcgi__notify *notify; /* and through what. */
} teller;

static void *tell_ready(void *data) {
  teller *t = data;
  fcgi__notify_tell(t->notify, t->box->name, FCGI__NOTIFY_READY);
  return NULL;
}

/* The starter hears of it, and has the process stopped, before the one that has
   told it is done. */
static void test_what_is_told_meanwhile_is_not_left(void **state) {
  enum { ROUNDS = 2000 };
  mailbox *box = *state;
  for (int i = 0; i < ROUNDS; i++) {
    fcgi__notify notify = {.every_ms = 0};
    teller other = {box, &notify};
    pthread_t thread;
    const char *heard = "";
    assert_int_equal(pthread_create(&thread, NULL, tell_ready, &other), 0);
    while (!strstr(heard, "READY=1"))
      heard = mailbox_take(box);
    fcgi__notify_tell(&notify, box->name, FCGI__NOTIFY_STOPPING);
    pthread_join(thread, NULL);
    assert_string_equal(mailbox_take(box), "STOPPING=1");
  }
}

static void test_a_sign_of_life_without_room_is_due_again_soon(void **state) {
  mailbox *box = *state;
  fcgi__notify notify = {.every_ms = 0};
  long long due;
  mailbox_fill(box);
  fcgi__notify_begin(&notify, SELDOM_MS);
  due = fcgi__notify_alive(&notify, box->name);
  assert_in_range(due, 1, fcgi__now() + FCGI__NOTIFY_AGAIN_MS);
  mailbox_empty(box);
  while (fcgi__now() < due)
    ;
  assert_in_range(fcgi__notify_alive(&notify, box->name), due + SELDOM_MS,
                  LLONG_MAX);
  assert_string_equal(mailbox_take(box), "WATCHDOG=1");
}

#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BOX_TEST(test_sending_never_waits),
      BOX_TEST(test_what_finds_no_room_is_told_later),
      BOX_TEST(test_what_nobody_hears_is_not_owed),
      BOX_TEST(test_what_is_told_meanwhile_is_not_left),
      BOX_TEST(test_a_sign_of_life_without_room_is_due_again_soon),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
