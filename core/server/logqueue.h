/* SPDX-License-Identifier: MIT */
/* The queues of the logs and the thread that empties them. The lock of the
   logs is held in each call but fcgi__logqueue_end. */
#ifndef FCGI_SERVER_LOGQUEUE_H
#define FCGI_SERVER_LOGQUEUE_H

#include "server/logs.h"

enum { FCGI__LOG_QUEUE = 1024 * 1024 }; /* Bytes of a queue. */

/* Append a line: 1, or 0 when there is no room for it. */
int fcgi__logqueue_push(fcgi__log *log, const char *data, size_t len);

/* A line is lost: because of `problem`, an errno, or 0: the queue is full. */
void fcgi__logqueue_dropped(struct fcgi_server *server, fcgi__log *log,
                            int problem);

/* Open again what is to be. */
void fcgi__logqueue_reopen(fcgi__logs *logs);

/* End the writer, after what it can still write within a second. */
void fcgi__logqueue_end(fcgi__logs *logs);

#endif
