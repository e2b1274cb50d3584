/* SPDX-License-Identifier: MIT */
/* A server under test with its program and its web servers, and what a script
   can do to all of it. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "fuzz/counting.h"
#include "fuzz/program.h"
#include "fuzz/web.h"

enum { WORLD_WEBS = 2 };

typedef struct world {
  counting memory;     /* The server's. */
  long every;          /* Its allocator fails after so many calls; 0: never. */
  fcgi_server *server; /* Under test. */
  int in;              /* Connections are handed in here. */
  int taken[2];        /* The server's end of that, and where it hands on. */
  int next;            /* The other end of that. */
  int standard[2];     /* What 0 and 1 are outside a CGI start; -1: no start. */
  int runs;            /* 1: fcgi_server_run has the end of it. */
  int waits;           /* So many short waits may still come. */
  int pauses;          /* And so many pauses. */
  int pause_ms;        /* How long those are. */
  int forks;           /* So many children may still be made. */
  web webs[WORLD_WEBS]; /* The web servers. */
  kept kept;            /* What requests take. */
  program program;      /* Makes calls on requests. */
} world;

/* Start as the first bytes of the script want it, with both webs joined. */
void world_start(world *w, script *s);
/* End it all, and check that nothing is left. */
void world_finish(world *w);

/* The next failures of the allocator; none while nothing is under test. */
void world_arm(world *w);
/* Take so many events, at most. */
void world_serve(world *w, int times);

/* What happens seldom, one thing of it. `peer` is the web server meant. */
void world_seldom(world *w, web *peer, unsigned what);
/* Callbacks take what comes until the server has stopped. */
void world_run(world *w);

#endif
