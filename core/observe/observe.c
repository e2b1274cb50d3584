/* SPDX-License-Identifier: MIT */
#include "observe/observe.h"
#include "base/alloc.h"
#include "base/number.h"
#include "gateway/rawhead.h"
#include "os/clock.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The process that the variable is for is named in it, as LISTEN_PID does.
   Returns the number of our slot, or -1. */
static int inherit(fcgi__observer *observer, const char *text) {
  int said[3]; /* Our process id, the descriptor, and our slot. */
  int is_said = fcgi__number_list(text, said, 3) == 0;
  if (!*text || (is_said && said[0] != getpid()))
    return -1;
  if (is_said && fcgi__board_attach(&observer->board, said[1]) == 0) {
    if (fcgi__board_slot_at(&observer->board, said[2]))
      return said[2];
    observer->board.fd = -1; /* Whosever it is. */
    fcgi__board_free(&observer->board);
  }
  fcgi__logs_log(observer->logs, FCGI_LOG_WARNING,
                 "FASTCGI_SCOREBOARD=\"%.64s\" names no scoreboard of this "
                 "version: this worker is not in the status; restart the "
                 "supervisor",
                 text);
  return -1;
}

static int make(fcgi__observer *observer) {
  if (fcgi__board_new(&observer->board, 1) == 0)
    return fcgi__board_take(&observer->board, 0);
  fcgi__logs_log(observer->logs, FCGI_LOG_ERROR,
                 "no memory for the status can be had: %s; there is no status "
                 "page, no request deadline and no slow log",
                 strerror(errno));
  return -1;
}

void fcgi__observer_begin(fcgi__observer *observer, const char *said,
                          int wanted) {
  int number = inherit(observer, said);
  fcgi__board_slot *slot;
  if (number < 0 && wanted)
    number = make(observer);
  slot = fcgi__board_slot_at(&observer->board, number);
  if (!slot)
    return;
  fcgi__board_set_pid(&observer->board, number, (int64_t)getpid());
  atomic_store(&slot->alive_us, fcgi__now_us());
  atomic_store(&observer->slot, slot);
  fcgi__observer_state(observer, FCGI_WORKER_READY);
}

void fcgi__observer_state(fcgi__observer *observer, fcgi_worker_state state) {
  fcgi__board_slot *slot = atomic_load(&observer->slot);
  if (slot)
    atomic_store(&slot->state, state);
}

void fcgi__observer_end(fcgi__observer *observer) {
  fcgi__access_free(observer->access, &observer->allocator);
  observer->access = NULL;
  atomic_store(&observer->slot, NULL);
  fcgi__board_free(&observer->board);
  fcgi__troubles_clear(&observer->troubles);
}

void fcgi__observe_stderr(fcgi__observer *observer, fcgi__observed *request,
                          const char *data, size_t len) {
  if (fcgi__logs_has_errors(observer->logs))
    fcgi__logs_stderr(observer->logs, &request->error_line, data, len);
}

void fcgi__observe_overdue(fcgi__observer *observer, fcgi__observed *request) {
  fcgi__tally_overdue(&request->tally, atomic_load(&observer->slot));
}

static void write_line(fcgi__observer *observer, fcgi__access *access,
                       const fcgi_params *params, int status, uint64_t unsent) {
  fcgi__log_text line;
  fcgi__access_ended(access);
  fcgi__access_write(&line, observer->access, params, access, status, unsent);
  fcgi__logs_add(observer->logs, FCGI__LOG_ACCESS, &line);
}

void fcgi__observe_close(fcgi__observer *observer, fcgi__observed *request,
                         const fcgi_params *params, uint64_t unsent) {
  if (request->error_line.len > 0)
    fcgi__observe_stderr(observer, request, NULL, 0);
  if (!request->access)
    return;
  write_line(observer, request->access, params, request->tally.status, unsent);
  fcgi__access_drop(request->access, &observer->allocator);
  request->access = NULL;
}

/* When its parameters were complete nobody has noted; nothing took long. */
void fcgi__observe_refused(fcgi__observer *observer, const fcgi_params *params,
                           const void *data, size_t len, uint64_t unsent) {
  const fcgi_allocator *allocator = &observer->allocator;
  fcgi__rawhead scan = {.done = 0};
  size_t head_len = fcgi__rawhead_scan(&scan, data, len);
  fcgi__access access = {.written = len};
  fcgi_header culprit;
  fcgi__head head;
  (void)fcgi__rawhead_judge(data, head_len, &head, &culprit);
  clock_gettime(CLOCK_REALTIME, &access.began);
  access.started_us = access.ended_us = fcgi__now_us();
  fcgi__access_head(&access, allocator, data, head_len, head_len);
  write_line(observer, &access, params, head.status, unsent);
  fcgi__buffer_clear(&access.head, allocator);
}

void fcgi__observe_free(fcgi__observer *observer, fcgi__observed *request) {
  if (request->tally.counted)
    fcgi__tally_finish(&request->tally, atomic_load(&observer->slot));
  fcgi__access_drop(request->access, &observer->allocator);
  fcgi__buffer_clear(&request->error_line, &observer->allocator);
}
