/* SPDX-License-Identifier: MIT */
/* The start as a plain CGI program (RFC 3875): the environment and the
   standard descriptors become one FastCGI request on a connection of the
   server's own. A thread, the bridge, is the web server at its other end, so
   nothing above or below the server knows the difference. */
#ifndef FCGI_CGI_CGI_H
#define FCGI_CGI_CGI_H

#include "base/alloc.h"
#include <fastcgi/peer.h>
#include <pthread.h>
#include <stdatomic.h>

enum { FCGI__CGI_ID = 1, FCGI__CGI_INPUT = 32768 };

/* What the bridge asks of the server that answers; both from its thread. */
typedef struct fcgi__cgi_owner {
  void (*complain)(void *data, const char *line); /* Log an error. */
  void (*finished)(void *data); /* The web server has its answer, or is gone. */
  void *data;                   /* Handed to both. */
  int patience_ms; /* How long the web server may take nothing at the end. */
} fcgi__cgi_owner;

typedef struct fcgi__cgi {
  fcgi__cgi_owner owner; /* Who answers the request. */
  fcgi_peer *peer;       /* The web server's side of it. */
  pthread_t thread;      /* The thread that copies between the
                            streams. */
  int socket;            /* Its end of the connection; -1 once shut. */
  int in;                /* What was descriptor 0; -1 once read. */
  int out;               /* What was descriptor 1. */
  int err;               /* What was descriptor 2. */
  int wake;              /* Written to when `hurry` is set; or -1. */
  atomic_int hurry;      /* 1: the server is being freed. */
  uint64_t body;         /* Bytes of STDIN still to be read. */
  const uint8_t *data;   /* Lent by the peer: what waits to be written. */
  size_t len;            /* Number of bytes. */
  int target;            /* Where to: `out` or `err`. */
  int done;              /* 1: the answer is complete, or none comes. */
  uint8_t room[FCGI__CGI_INPUT]; /* What the peer is fed from. */
} fcgi__cgi;

/* 1 when a CGI server started this process: GATEWAY_INTERFACE is set, and no
   listener was inherited. */
int fcgi__cgi_is_start(void);

/* Make the request and start the bridge; `environment` ends in NULL. 0, and the
   server's end of the connection in `*offer`; or an error with errno. From then
   on descriptor 0 is empty and descriptor 1 the same as 2: what the program
   prints, or a child of it, is no part of the answer. */
int fcgi__cgi_start(fcgi__cgi **out, const fcgi__cgi_owner *owner,
                    const fcgi_allocator *allocator, char *const *environment,
                    int *offer);

/* Queue a responder's BEGIN_REQUEST and its PARAMS, one for each NAME=VALUE;
   `*body` is how much of descriptor 0 belongs to it, UINT64_MAX for all. 0, or
   the peer's error. */
int fcgi__cgi_begin(fcgi_peer *peer, char *const *environment, uint64_t *body);

/* The thread: carry bytes both ways until the request has ended. */
void *fcgi__cgi_bridge(void *cgi);

/* End the bridge, which drops what the web server does not take soon, and free
   everything. NULL is fine. */
void fcgi__cgi_free(fcgi__cgi *cgi, const fcgi_allocator *allocator);

#endif
