/* SPDX-License-Identifier: MIT */
/* Answers to requests that came together leave together, in one system call. */
#ifndef FCGI_SERVER_GATHER_H
#define FCGI_SERVER_GATHER_H

#include <fastcgi/request.h>
#include <stdatomic.h>

struct fcgi__connection;
struct fcgi_server;

typedef struct fcgi__gather {
  _Atomic(struct fcgi__connection *) held; /* Its answers wait, or NULL. */
  atomic_uint quick; /* Times in a row that a request was followed soon by the
                        next one of its connection, which was ready. */
} fcgi__gather;

/* A thread takes a request of it; the server's lock is held. */
void fcgi__gather_begin(struct fcgi__connection *connection);
/* The request is ended; the connection's lock is held. */
void fcgi__gather_end(fcgi_request *request);

/* 1: what the connection has to send is an answer that may wait for the next
   one. Its lock is held. */
int fcgi__gather_holds(struct fcgi__connection *connection);
/* All of it is sent, or lost. Its lock is held. */
void fcgi__gather_clear(struct fcgi__connection *connection);

/* A thread looks for work: what waits leaves, unless another request of the
   same connection comes next. */
void fcgi__gather_flush(struct fcgi_server *server);

#endif
