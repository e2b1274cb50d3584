/* SPDX-License-Identifier: MIT */
/* The queues of the logs and the thread that empties them. The lock of the
   logs is held in each call but the last. */
#ifndef FCGI_OBSERVE_LOGQUEUE_H
#define FCGI_OBSERVE_LOGQUEUE_H

#include "observe/logs.h"

enum {
  FCGI__LOG_STDERR_QUEUE = 256 * 1024 /* Of that for standard error. */
};

/* Append a line: 1, or 0 when there is no room for it. */
int fcgi__logqueue_push(fcgi__logs *logs, fcgi__log *log, const char *data,
                        size_t len);

/* Write a line without the queue, in which nothing is; what is not taken stays
   for the writer. A reader that is gone does not end the program. */
void fcgi__logqueue_write(fcgi__logs *logs, fcgi__log *log, const char *data,
                          size_t len);

/* A line is lost: because of `problem`, an errno, or 0: the queue is full. */
void fcgi__logqueue_dropped(fcgi__logs *logs, fcgi__log *log, int problem);

/* Start the writer; without it lines wait for the next one. */
void fcgi__logqueue_start(fcgi__logs *logs);

/* Open again what is to be. */
void fcgi__logqueue_reopen(fcgi__logs *logs);

/* End the writer, after what it can still write within a second: 1, or 0 when
   it hangs in its file: then nothing may be freed. */
int fcgi__logqueue_end(fcgi__logs *logs);

#endif
