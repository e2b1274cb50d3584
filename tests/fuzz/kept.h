/* SPDX-License-Identifier: MIT */
/* Resources of every scope that requests take and give back, whose callbacks
   fail when a script says so. */
#ifndef FUZZ_KEPT_H
#define FUZZ_KEPT_H

#include "fuzz/script.h"

#include <fastcgi/fastcgi.h>

typedef struct kept {
  fcgi_server *server;                            /* Keeps them. */
  fcgi_resource *resources[FCGI_RESOURCE_SCOPES]; /* By scope; NULL: none. */
  unsigned mood;                                  /* What fails, by bits. */
  long open;                                      /* Values that are open. */
} kept;

/* Make them, and let the server keep them. */
void kept_start(kept *k, fcgi_server *server, const fcgi_allocator *allocator);

/* The server has gone: everything is closed. */
void kept_finish(kept *k);

/* One call about them, for a request. */
void kept_call(kept *k, fcgi_request *request, script *s);

#endif
