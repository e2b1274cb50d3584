/* SPDX-License-Identifier: MIT */
/* Connections that pass from one process to another (SCM_RIGHTS), so that a
   program can be replaced while web servers keep their connections open, and
   that no request waits for one worker while another one is idle (share.c). One
   passes when it is at rest: no request is open and no record half read. */
#ifndef FCGI_SERVER_HANDOVER_H
#define FCGI_SERVER_HANDOVER_H

#include "server/connection.h"

typedef struct fcgi__handover {
  atomic_int out;    /* Where connections go in a graceful stop; -1:
                        nowhere. */
  atomic_int in;     /* Where they come from; -1: nowhere. */
  atomic_int back;   /* Where they came from, in a stop; -1: nowhere. */
  int watched;       /* 1: the poller knows `in`. The server's lock guards
                        it. */
  atomic_int passed; /* 1: some may lie in the socket still. */
  atomic_llong due;  /* When those are taken back; 0: not decided. */
} fcgi__handover;

/* No socket yet. */
void fcgi__handover_init(fcgi__handover *handover);

/* Take the sockets that a supervisor names in FASTCGI_HANDOVER, if any: 0, or
   an error with the server's message set. */
int fcgi__handover_inherit(fcgi_server *server);

/* 1: the server stops gracefully, and connections are to be passed on. */
int fcgi__handover_is_on(fcgi_server *server);

/* 1: no request of the connection is open and no record half read, as the
   session's `flags` tell; its lock is held. */
int fcgi__connection_is_at_rest(const fcgi__connection *connection,
                                unsigned flags);

/* 1: a descriptor is free to receive with, which `in` is copied to find out;
   otherwise the server accepts and takes nothing for a moment. */
int fcgi__handover_has_room(fcgi_server *server, int in);

/* In a graceful stop, pass on the connection `fd` that nobody here has read
   from: 1, and it is closed here. A process that is free may take it. */
int fcgi__handover_pass(fcgi_server *server, int fd);

/* Pass the connection on if it is at rest, as the session's `flags` tell; its
   lock is held. 1: passed, its own descriptor is still to be closed. */
int fcgi__handover_give(fcgi__connection *connection, unsigned flags);

/* A shared connection may never rest by itself: leave new requests in the
   socket for a while when those that are open need no more input. */
void fcgi__handover_hold(fcgi__connection *connection, unsigned flags);

/* Take up one connection that another process passed, if there is one. */
void fcgi__handover_take(fcgi_server *server);

/* Look for connections that are passed, or not for now: there is no room. The
   server's lock is held. */
void fcgi__handover_watch(fcgi_server *server);
void fcgi__handover_rest(fcgi_server *server);

/* Take up no more of them, but for what has come already. */
void fcgi__handover_stop_taking(fcgi_server *server);

/* Have some other process look whether connections wait to be accepted. */
void fcgi__handover_tell(fcgi_server *server);

/* In a stop, all connections being closed or passed: 1 when others have taken
   up what was passed. What nobody takes for a second is taken back. */
int fcgi__handover_is_through(fcgi_server *server);

#endif
