/* SPDX-License-Identifier: MIT */
/* A server of one poller kind and one client, both driven by the test. */
#ifndef UNIT_SUPPORT_SERVING_H
#define UNIT_SUPPORT_SERVING_H

#include "support/dialogue.h"
#include "support/lines.h"

#include <fastcgi/fastcgi.h>

typedef struct serving {
  fcgi_poller_kind kind;     /* Which poller the server uses. */
  fcgi_server_config config; /* For serving_restart; changed by the test. */
  fcgi_server *server;       /* Under test. */
  int client;                /* The web server's end of a connection. */
  dialogue *text;            /* `text->sent` goes to the server; decodes. */
  records got;               /* What came from the server. */
  log_lines log;             /* What it logs, after lines_begin. */
} serving;

/* cmocka's fixture: a server with every default, and a client connected. */
int serving_set_up(void **state);
int serving_tear_down(void **state);
#define SERVING_TEST(name)                                                     \
  cmocka_unit_test_prestate_setup_teardown(name, serving_set_up,               \
                                           serving_tear_down, kind)

/* Make server and client anew from `config`. */
void serving_restart(serving *f);

/* A further client. */
int serving_connect(serving *f);

/* Send what was built in `text->sent`, and forget it. */
void serving_send(serving *f);

/* The next event, which must be of `type`. */
fcgi_request *serving_take(serving *f, fcgi_event_type type);

/* Serve until nothing happens for `ms`; no event may come. */
void serving_idle(serving *f, int ms);

/* Add what the client has received by now to `got`. */
void serving_receive(serving *f);

/* What the client has received by now, as dialogue_expect_answer has it. */
void serving_expect(serving *f, const char *expected);

/* 1 when the client sees the end of the connection within `ms`. */
int serving_is_closed(serving *f, int ms);

/* Run a group of tests, made with SERVING_TEST, for every kind there is. */
int serving_run(int (*run)(const char *group, void *kind));

#endif
