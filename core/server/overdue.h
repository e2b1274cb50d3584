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

/* A way to end a request; the connection's lock is held. 0, or an error. */
typedef int fcgi__request_ender(fcgi_request *request, const void *data);

/* The program ends the request by `call`: lock, call, unlock. Where the
   deadline has ended it already there is no call, the handle dies and the
   result is FCGI_ERR_ABORTED. */
int fcgi__request_end_with(fcgi_request *request, fcgi__request_ender *call,
                           const void *data);

/* The same, if there is a `call`, for a callback that has returned and so no
   longer holds the request. */
void fcgi__request_leave(fcgi_request *request, fcgi__request_ender *call);

/* Write the slow log's entries that are due. No lock is held. */
void fcgi__slow_trace(fcgi_server *server);
/* Say of one whose tracer does not come back what else can be said. */
void fcgi__slow_look(fcgi_server *server);

#endif
