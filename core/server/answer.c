/* SPDX-License-Identifier: MIT */
/* Output of a request: bytes, files, and its end. */
#include "os/clock.h"
#include "os/file.h"
#include "server/overdue.h"
#include "server/request.h"
#include "server/server.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum {
  GATHER = 16384,  /* Small writes leave together once this many wait. */
  LEND_MIN = 16384 /* From here on a copy costs more than it saves. */
};

int fcgi__request_check(const fcgi_request *request) {
  if (request->lateness)
    return FCGI_ERR_ABORTED;
  if (fcgi__request_is_over(request))
    return FCGI_ERR_STATE;
  return fcgi__request_reason(request) > FCGI_ABORT_RECORD ? FCGI_ERR_ABORTED
                                                           : 0;
}

/* Its file goes on, also after the program has ended the request. */
static int sends_file(const fcgi_request *request) {
  return request->file.left > 0 &&
         fcgi__request_reason(request) <= FCGI_ABORT_RECORD;
}

static size_t queued(const fcgi_request *request) {
  return fcgi_session_queued(request->connection->session, request->id);
}

static size_t window(const fcgi_request *request) {
  return fcgi__connection_share(
      request->connection, request->connection->server->config.output_window);
}

/* Send, and give out what that led to (the request may have been aborted). */
static int send_now(fcgi_request *request) {
  fcgi__connection_send(request->connection);
  fcgi__connection_events(request->connection);
  return fcgi__request_check(request);
}

/* Wait until at most `most` bytes and no file are unsent. */
static int wait_for_room(fcgi_request *request, size_t most) {
  long long until = 0;
  int error = fcgi__request_check(request);
  while (!error && (queued(request) > most || request->file.left > 0)) {
    if (until == 0) {
      error = send_now(request);
      until = request->timeout_ms < 0 ? LLONG_MAX
                                      : fcgi__now() + request->timeout_ms;
    } else if (request->timeout_ms == 0) {
      request->out.wants_room = request->connection->life.room_wanted = 1;
      error = FCGI_ERR_AGAIN;
    } else {
      error = fcgi__connection_wait(request->connection, &request->write_wake,
                                    until);
      if (!error)
        error = fcgi__request_check(request);
    }
  }
  return error;
}

int fcgi__request_put(fcgi_request *request, const void *data, size_t len) {
  int error = fcgi__request_put_errors(request);
  if (!error)
    error = fcgi_session_write(request->connection->session, request->id,
                               FCGI_STREAM_STDOUT, data, len);
  if (!error)
    fcgi__observe_output(&request->observed, len);
  return error;
}

static int write_copied(fcgi_request *request, const void *data, size_t len) {
  int error = fcgi__request_put(request, data, len);
  if (!error && queued(request) >= GATHER)
    error = send_now(request);
  return error;
}

/* Lend one window of the caller's bytes. If more follow, wait until these have
   left, so that at most the last piece is ever copied. */
static int write_lent(fcgi_request *request, const void *data, size_t len,
                      int more) {
  fcgi_session *session = request->connection->session;
  int error = fcgi__request_put_errors(request), kept;
  if (!error)
    error = fcgi_session_lend(session, request->id, data, len);
  if (!error)
    fcgi__observe_output(&request->observed, len);
  if (!error)
    error = send_now(request);
  if (!error && more && request->timeout_ms != 0)
    error = wait_for_room(request, 0);
  kept = fcgi_session_keep(session, request->id);
  if (error == FCGI_ERR_TIMEOUT)
    error = 0; /* These bytes are taken; the next write reports it. */
  return error ? error : kept == FCGI_ERR_NOMEM ? kept : 0;
}

static ptrdiff_t write_bytes(fcgi_request *request, const uint8_t *data,
                             size_t len) {
  size_t done = 0, most = window(request) > 1 ? window(request) - 1 : 1;
  while (done < len) {
    size_t part = len - done;
    int error = wait_for_room(request, most);
    if (!error && part < LEND_MIN) {
      error = write_copied(request, data + done, part);
    } else if (!error) {
      part = part < most ? part : most;
      error = write_lent(request, data + done, part, done + part < len);
    }
    if (error)
      return done > 0 && error != FCGI_ERR_ABORTED ? (ptrdiff_t)done : error;
    done += part;
  }
  return (ptrdiff_t)done;
}

/* HEAD (RFC 9110, 9.3.2): only the head passes. */
size_t fcgi__request_filter(fcgi_request *request, const char *data,
                            size_t len) {
  size_t head = 0;
  if (request->out.answer == FCGI__ANSWER_RAW && !request->out.scan.done)
    head = fcgi__rawhead_scan(&request->out.scan, data, len);
  return request->out.bodiless ? head : len;
}

/* A server that stops at once refuses output before the connection itself is
   told. What is cut off then must not be ended as if it were whole. */
static ptrdiff_t heed_stop(fcgi_request *request, ptrdiff_t result) {
  fcgi__connection *connection = request->connection;
  if (result == FCGI_ERR_ABORTED && !fcgi__connection_is_lost(connection) &&
      fcgi__request_reason(request) == FCGI_ABORT_STOP) {
    connection->life.reset = 1;
    fcgi__connection_lost(connection, FCGI_ABORT_STOP);
  }
  return result;
}

/* Of what the filter has looked at only `done` bytes were taken: the caller
   brings the rest again. */
static void filter_less(fcgi_request *request, fcgi__rawhead before,
                        const void *data, ptrdiff_t done) {
  request->out.scan = before;
  fcgi__request_filter(request, data, done > 0 ? (size_t)done : 0);
}

static ptrdiff_t write_filtered(fcgi_request *request, const char *data,
                                size_t len) {
  const fcgi__rawhead before = request->out.scan;
  size_t pass = fcgi__request_filter(request, data, len);
  ptrdiff_t done = fcgi__request_spend(request, len);
  if (done == 0)
    done = write_bytes(request, (const uint8_t *)data, pass);
  if (done > 0 && request->out.left > 0)
    request->out.left -= done;
  if (done != (ptrdiff_t)pass)
    filter_less(request, before, data, done);
  if (request->out.scan.done && !fcgi__request_has_head(request) && done >= 0)
    fcgi__request_head_out(request, FCGI__ANSWER_OUT);
  return done == (ptrdiff_t)pass ? (ptrdiff_t)len : done;
}

ptrdiff_t fcgi__request_write(fcgi_request *request, const void *data,
                              size_t len) {
  int error = fcgi__request_check(request);
  ptrdiff_t head = 0, done;
  if (error || len == 0)
    return heed_stop(request, error);
  if (request->out.answer < FCGI__ANSWER_RAW)
    head = fcgi__raw_head(request, data, len);
  if (head < 0)
    return head;
  done = write_filtered(request, (const char *)data + head, len - (size_t)head);
  if (head > 0 && (done == FCGI_ERR_AGAIN || done == FCGI_ERR_TIMEOUT))
    return head; /* The next write reports it. */
  return heed_stop(request, done < 0 ? done : head + done);
}

/* The head is out and nothing of a body passes: who makes one without an end
   must learn of it. */
static int is_unread(const fcgi_request *request) {
  return request->out.bodiless && fcgi__request_has_head(request);
}

static ptrdiff_t write_read(fcgi_request *request, const void *data,
                            size_t len) {
  if (len > 0 && is_unread(request) && !fcgi__request_check(request))
    return fcgi__request_refuse_unread(request);
  return fcgi__request_write(request, data, len);
}

ptrdiff_t fcgi_request_write(fcgi_request *request, const void *data,
                             size_t len) {
  ptrdiff_t done;
  if (fcgi__request_is_other(request))
    return FCGI_ERR_STATE;
  fcgi__connection_lock(request->connection);
  done = write_read(request, data, len);
  fcgi__connection_unlock(request->connection);
  return done;
}

ptrdiff_t fcgi_request_writev(fcgi_request *request, const struct iovec *iov,
                              int count) {
  ptrdiff_t total = 0, done = 0;
  if (fcgi__request_is_other(request))
    return FCGI_ERR_STATE;
  fcgi__connection_lock(request->connection);
  for (int i = 0; i < count; i++) {
    done = write_read(request, iov[i].iov_base, iov[i].iov_len);
    if (done > 0)
      total += done;
    if (done < 0 || (size_t)done < iov[i].iov_len)
      break;
  }
  fcgi__connection_unlock(request->connection);
  return total > 0 ? total : done;
}

int fcgi_request_flush(fcgi_request *request) {
  int error;
  if (fcgi__request_is_other(request))
    return FCGI_ERR_STATE;
  fcgi__connection_lock(request->connection);
  error = fcgi__request_check(request);
  if (!error)
    error = send_now(request);
  heed_stop(request, error);
  fcgi__connection_unlock(request->connection);
  return error;
}

static void finish_file(fcgi_request *request) {
  fcgi_request **at = &request->connection->life.files;
  while (*at && *at != request)
    at = &(*at)->file.next;
  if (*at)
    *at = request->file.next;
  request->file.left = 0;
}

/* On a connection that others use, a file that shrinks ends its own request
   only, as long as no record has promised what is gone. */
static void give_up_file(fcgi_request *request) {
  finish_file(request);
  request->out.broken = 1;
  fcgi__request_tell(request, "a file got shorter while it was sent",
                     ", so the answer is cut off");
  if (request->phase == FCGI__ENDING)
    fcgi__request_cut_off(request);
}

int fcgi__request_pump_file(fcgi_request *request) {
  while (sends_file(request) && queued(request) < window(request)) {
    size_t part = window(request);
    if (part > request->file.left)
      part = (size_t)request->file.left;
    if (request->connection->life.shared &&
        !fcgi__file_has(request->file.fd, request->file.offset + part)) {
      give_up_file(request);
      return 0;
    }
    if (fcgi_session_write_file(request->connection->session, request->id,
                                request->file.fd, request->file.offset, part))
      return FCGI_ERR_NOMEM;
    fcgi__observe_output(&request->observed, part);
    request->file.offset += part;
    request->file.left -= part;
  }
  if (sends_file(request))
    return 0;
  finish_file(request);
  if (request->phase == FCGI__ENDING)
    fcgi__request_complete(request);
  return 0;
}

/* 0: what follows may be sent. A file may well be the whole of raw output. */
static int admit_file(fcgi_request *request, int fd, uint64_t *offset,
                      uint64_t *len) {
  int error = 0;
  if (request->out.answer < FCGI__ANSWER_RAW)
    error = fcgi__raw_file(request, fd, offset, len);
  if (!error)
    error = fcgi__request_spend(request, *len);
  if (!error && !request->out.bodiless && *len > 0)
    error = fcgi__request_put_errors(request);
  return error;
}

static int start_file(fcgi_request *request, int fd, uint64_t offset,
                      uint64_t len) {
  int error = admit_file(request, fd, &offset, &len);
  if (error || request->out.bodiless || len == 0)
    return error;
  if (request->file.fd >= 0)
    close(request->file.fd);
  request->file.fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (request->file.fd < 0)
    return FCGI_ERR_SYSTEM;
  request->file.offset = offset;
  request->file.left = len;
  if (request->out.left > 0)
    request->out.left -= (int64_t)len;
  request->file.next = request->connection->life.files;
  request->connection->life.files = request;
  request->out.scan.done = 1; /* A file has it all. */
  if (request->out.answer == FCGI__ANSWER_RAW)
    request->out.answer = FCGI__ANSWER_OUT;
  return request->timeout_ms == 0 ? send_now(request)
                                  : wait_for_room(request, 0);
}

/* `to_end`: where Content-Length promised fewer bytes, the file has grown since
   and these are sent. */
static int send_file(fcgi_request *request, int fd, uint64_t offset,
                     uint64_t len, int to_end) {
  int error;
  if (fcgi__request_is_other(request))
    return FCGI_ERR_STATE;
  fcgi__connection_lock(request->connection);
  /* The one before must have left: its descriptor is closed now. */
  error =
      wait_for_room(request, request->file.fd >= 0 ? 0 : window(request) - 1);
  if (to_end && request->out.left >= 0 && len > (uint64_t)request->out.left)
    len = (uint64_t)request->out.left;
  if (!error)
    error = start_file(request, fd, offset, len);
  if (!error && request->out.broken)
    error = FCGI_ERR_ABORTED;
  heed_stop(request, error);
  fcgi__connection_unlock(request->connection);
  return error;
}

/* What has no size that can be relied on is copied first. */
static int send_rest(fcgi_request *request, int fd, uint64_t offset) {
  const char *dir = request->connection->server->temp_dir;
  int64_t len = fcgi_file_rest(fd, offset);
  int copy = -1, error;
  if (len == FCGI_ERR_UNSUPPORTED) {
    len = fcgi__file_copy(fd, offset, dir, &copy);
    offset = 0;
  }
  if (len < 0)
    return (int)len;
  error = send_file(request, copy < 0 ? fd : copy, offset, (uint64_t)len, 1);
  if (copy >= 0)
    close(copy);
  return error;
}

int fcgi_request_send_file(fcgi_request *request, int fd, uint64_t offset,
                           uint64_t len) {
  return len == FCGI_TO_END ? send_rest(request, fd, offset)
                            : send_file(request, fd, offset, len, 0);
}

int fcgi__request_complete(fcgi_request *request) {
  request->connection->life.flush = 1;
  fcgi__connection_resume(request->connection); /* To drain the rest. */
  fcgi__ready_forget(request->connection->server, request);
  if (sends_file(request))
    return 0;
  finish_file(request);
  fcgi__request_put_all_errors(request);
  request->phase = FCGI__ENDED;
  fcgi__gather_end(request);
  request->due.slow = request->due.answer = LLONG_MAX;
  fcgi__observe_ended(&request->connection->server->observer,
                      &request->observed);
  return fcgi_session_end(request->connection->session, request->id,
                          request->app_status, FCGI_END_COMPLETE);
}

/* Also of one that has been ended already, while its file is on the way. */
static int end_with(fcgi_request *request, uint32_t app_status) {
  request->app_status = app_status;
  request->phase = FCGI__ENDING;
  return fcgi__request_complete(request);
}

/* A lone end: what the answer lacks is only its END_REQUEST. While a file is
   still being sent, the end waits for it. */
int fcgi__request_end(fcgi_request *request, uint32_t app_status) {
  return fcgi__request_is_over(request) ? FCGI_ERR_STATE
                                        : end_with(request, app_status);
}

static int end_by_program(fcgi_request *request, const void *app_status) {
  return fcgi__request_finish(request, *(const uint32_t *)app_status);
}

int fcgi_request_end(fcgi_request *request, uint32_t app_status) {
  return fcgi__request_end_with(request, end_by_program, &app_status);
}

static int conclude_by_program(fcgi_request *request, const void *nothing) {
  (void)nothing;
  return fcgi__request_conclude(request);
}

int fcgi_request_conclude(fcgi_request *request) {
  return fcgi__request_end_with(request, conclude_by_program, NULL);
}

/* The head is out, the rest cannot come: a clean end would pass the part for
   the whole. Where other requests share the connection they go on, and their
   answers may still be under way; then, and where the web server does not want
   this one, it ends with appStatus 1. An authorizer's end without a status is a
   yes (6.3), so that it may not have one. */
int fcgi__request_cut_off(fcgi_request *request) {
  fcgi__connection *connection = request->connection;
  if (request->phase >= FCGI__ENDED)
    return FCGI_ERR_STATE;
  if ((connection->life.shared || request->aborted) &&
      !fcgi__request_is_authorizer(request))
    return end_with(request, 1);
  connection->life.reset = 1;
  fcgi__connection_send(connection);
  fcgi__connection_lost(connection, FCGI_ABORT_CONNECTION);
  return request->phase >= FCGI__ENDED ? 0 : end_with(request, 1);
}

/* Nobody is left to read an answer, or will be for long. */
static int end_unread(fcgi_request *request) {
  heed_stop(request, FCGI_ERR_ABORTED);
  if (request->phase >= FCGI__ENDED)
    return 0;
  return fcgi__request_is_authorizer(request) ? fcgi__request_cut_off(request)
                                              : fcgi__request_end(request, 0);
}

int fcgi__request_give_up(fcgi_request *request, int status, const char *text) {
  finish_file(request);
  if (fcgi__request_check(request))
    return end_unread(request);
  if (is_unread(request) && !fcgi__request_is_authorizer(request))
    return fcgi__request_end(request, 0);
  if (request->out.answer >= FCGI__ANSWER_RAW)
    return fcgi__request_cut_off(request);
  request->out.answer = FCGI__ANSWER_NONE;
  return fcgi__request_reply(request, status, "text/plain", text, strlen(text));
}

int fcgi__request_fail(fcgi_request *request) {
  if (fcgi__request_is_over(request))
    return FCGI_ERR_STATE;
  return fcgi__request_give_up(request, 500,
                               atomic_load(&request->holder.wanted)
                                   ? "503 Service Unavailable\n"
                                   : "500 Internal Server Error\n");
}

static int fail_by_program(fcgi_request *request, const void *nothing) {
  (void)nothing;
  return fcgi__request_fail(request);
}

int fcgi_request_fail(fcgi_request *request) {
  return fcgi__request_end_with(request, fail_by_program, NULL);
}

/* It may have ended the request already, which is fine. */
void fcgi__request_returned(fcgi_request *request, int result) {
  fcgi__request_leave(request, result == 0  ? conclude_by_program
                               : result < 0 ? fail_by_program
                                            : NULL);
}

void fcgi__request_room(fcgi_request *request) {
  if (!request->out.wants_room || fcgi__request_is_over(request))
    return;
  if (request->file.left > 0 || queued(request) >= window(request)) {
    request->connection->life.room_wanted = 1;
    return;
  }
  request->out.wants_room = 0;
  fcgi__ready_notify(request->connection->server, request, FCGI_EVENT_WRITABLE);
}
