/* SPDX-License-Identifier: MIT */
/* The applications that cases name in `handler`, over a session. The same set
   exists over a server in app.c and app.py; README.md says what each does. */
#ifndef CONFORMANCE_FIXTURE_H
#define CONFORMANCE_FIXTURE_H

#include <fastcgi/session.h>

typedef struct fixture fixture;

/* The application called `name`, answering through `session`. Fails the test
   when there is none. */
fixture *fixture_new(fcgi_session *session, const char *name);
void fixture_free(fixture *f);

/* React to one event of the session. */
void fixture_event(fixture *f, const fcgi_event *event);

#endif
