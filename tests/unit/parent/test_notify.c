/* SPDX-License-Identifier: MIT */
/* What a process tells its starter while there is no room to tell it. */
#include "os/clock.h"
#include "parent/notify.h"
#include "support/mailbox.h"
#include "support/unit.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

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

/* Until the next one is due, and where none is asked for, nothing is sent. */
static void test_signs_of_life_come_in_their_time(void **state) {
  mailbox *box = *state;
  fcgi__notify notify = {.every_ms = 0};
  long long due;
  assert_int_equal(fcgi__notify_alive(&notify, box->name), LLONG_MAX);
  assert_string_equal(mailbox_take(box), "");
  fcgi__notify_begin(&notify, SELDOM_MS);
  due = fcgi__notify_alive(&notify, box->name);
  assert_in_range(due, fcgi__now() + SELDOM_MS - SOON_MS, LLONG_MAX);
  assert_string_equal(mailbox_take(box), "WATCHDOG=1");
  assert_int_equal(fcgi__notify_alive(&notify, box->name), due);
  assert_string_equal(mailbox_take(box), "");
}

static int interval(const char *usec, long pid) {
  char text[32];
  snprintf(text, sizeof text, "%ld", pid);
  setenv("WATCHDOG_USEC", usec, 1);
  if (pid)
    setenv("WATCHDOG_PID", text, 1);
  else
    unsetenv("WATCHDOG_PID");
  return fcgi__notify_interval();
}

/* Half of what the environment says, and a millisecond at least. */
static void test_how_often_a_sign_of_life_is_asked_for(void **state) {
  static const char *const wrong[] = {"", "x", "0", "-5", "5s"};
  (void)state;
  assert_int_equal(interval("3000000", 0), 1500);
  assert_int_equal(interval("3000000", (long)getpid()), 1500);
  assert_int_equal(interval("3000000", (long)getpid() + 1), 0);
  assert_int_equal(interval("1", 0), 1);
  assert_int_equal(interval("3999", 0), 1);
  assert_int_equal(interval("4000", 0), 2);
  assert_int_equal(interval("9000000000000000", 0), INT_MAX);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(interval(wrong[i], 0), 0);
  unsetenv("WATCHDOG_USEC");
  assert_int_equal(fcgi__notify_interval(), 0);
}

static int error_of(const char *name) {
  errno = 0;
  assert_int_equal(fcgi__notify_send(name, "READY=1"), -1);
  return errno;
}

/* The longest name fills the place for it. */
static void test_what_names_a_socket(void **state) {
  char name[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
  (void)state;
  assert_int_equal(error_of("@"), EINVAL);
  assert_int_equal(error_of("/"), EINVAL);
  assert_int_equal(error_of("run/notify"), EINVAL);
  memset(name, 'n', sizeof name);
  name[0] = '@';
  name[sizeof name - 1] = '\0';
  assert_int_equal(error_of(name), EINVAL);
  name[sizeof name - 2] = '\0';
  assert_int_equal(error_of(name), ECONNREFUSED);
  assert_int_equal(error_of("/nowhere/at/all"), ENOENT);
}

static void test_what_may_be_sent_again(void **state) {
  static const int passing[] = {EAGAIN, EINTR, ENOBUFS, ENOMEM, EMFILE, ENFILE};
  static const int lasting[] = {0, ENOENT, ECONNREFUSED, EACCES, EINVAL};
  (void)state;
  for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
    assert_true(fcgi__notify_is_passing(passing[i]));
  for (size_t i = 0; i < sizeof lasting / sizeof *lasting; i++)
    assert_false(fcgi__notify_is_passing(lasting[i]));
}

#define BOX_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      BOX_TEST(test_sending_never_waits),
      BOX_TEST(test_what_finds_no_room_is_told_later),
      BOX_TEST(test_what_nobody_hears_is_not_owed),
      BOX_TEST(test_what_is_told_meanwhile_is_not_left),
      BOX_TEST(test_a_sign_of_life_without_room_is_due_again_soon),
      BOX_TEST(test_signs_of_life_come_in_their_time),
      BOX_TEST(test_how_often_a_sign_of_life_is_asked_for),
      BOX_TEST(test_what_names_a_socket),
      BOX_TEST(test_what_may_be_sent_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
