/* SPDX-License-Identifier: MIT */
/* Requests that take too long: those for the slow log, and those past their
   deadline, which are answered although their handler has not returned. */
#ifndef FCGI_SERVER_OVERDUE_H
#define FCGI_SERVER_OVERDUE_H

#include "server/request.h"

enum { FCGI__WHAT = 192 }; /* Bytes of "METHOD PATH", escaped. */

/* "METHOD PATH" of a request, for a line of the log. */
void fcgi__request_describe(const fcgi_request *request, char out[FCGI__WHAT]);

/* Set when the request is slow or overdue, from now on. */
void fcgi__request_set_dues(fcgi_request *request);

/* See to the connection's requests that are slow or overdue at `now`; its lock
   is held. */
void fcgi__connection_overdue(fcgi__connection *connection, long long now);

/* 1: the deadline has ended the request, and now its handler has too: the
   connection is unlocked, the handle dead. 0: nothing was done. */
int fcgi__request_leave(fcgi_request *request);

/* Write the slow log's entries that are due. No lock is held. */
void fcgi__slow_trace(fcgi_server *server);
/* Say of one whose tracer does not come back what else can be said. */
void fcgi__slow_look(fcgi_server *server);

#endif
