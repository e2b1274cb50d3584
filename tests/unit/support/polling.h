/* SPDX-License-Identifier: MIT */
/* A poller of one kind watching one end of a socket pair. */
#ifndef UNIT_SUPPORT_POLLING_H
#define UNIT_SUPPORT_POLLING_H

#include "os/poller.h"
#include "support/unit.h"

enum {
  SHORT_MS = 30,  /* Long enough to see that nothing happens. */
  LONG_MS = 20000 /* Never reached where something happens. */
};

/* A poller and a connection. */
typedef struct polling {
  fcgi_poller_kind kind; /* Which one is tested. */
  fcgi__poller *poller;  /* The poller under test. */
  int near;              /* The end that is watched. */
  int far;               /* The other end. */
} polling;

/* For cmocka: the initial state points to the kind, then to the fixture. */
int polling_set_up(void **state);
int polling_tear_down(void **state);

/* Watch the near end; its owner is the fixture. */
void polling_watch(polling *f, unsigned events);

/* Write a byte to the far end. */
void polling_send(polling *f);

/* One wait: the events reported, 0 when nothing was. */
unsigned polling_wait(polling *f, int timeout_ms);

/* Run a group of tests, made with POLLING_TEST, for every kind there is. */
#define POLLING_TEST(name)                                                     \
  cmocka_unit_test_prestate_setup_teardown(name, polling_set_up,               \
                                           polling_tear_down, kind)
int polling_run(int (*run)(const char *group, void *kind));

#endif
