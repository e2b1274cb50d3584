/* SPDX-License-Identifier: MIT */
/* Whether an answer is what its head has promised, up to its end. */
#include "gateway/head.h"
#include "os/clock.h"
#include "server/overdue.h"
#include "server/request.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <stdio.h>

void fcgi__request_tell(const fcgi_request *request, const char *why,
                        const char *and_so) {
  char what[FCGI__WHAT];
  fcgi__request_describe(request, what);
  fcgi__server_log(request->connection->server, FCGI_LOG_ERROR, "%s: %s%s",
                   what, why, and_so);
}

static const char cut[] = ", so the answer is cut off";

int fcgi__request_spend(fcgi_request *request, uint64_t len) {
  char why[FCGI__WHY];
  if (request->out.broken)
    return FCGI_ERR_INVALID;
  if (request->out.left < 0 || request->out.bodiless ||
      len <= (uint64_t)request->out.left)
    return 0;
  snprintf(why, sizeof why,
           "the body is longer than Content-Length: %llu bytes follow where "
           "%lld are left",
           (unsigned long long)len, (long long)request->out.left);
  fcgi__request_tell(request, why, cut);
  request->out.broken = 1;
  return FCGI_ERR_INVALID;
}

/* Its head is not whole; of an authorizer an end without any is a yes (6.3). */
static int is_headless(const fcgi_request *request) {
  return request->out.answer == FCGI__ANSWER_HELD ||
         (request->out.answer == FCGI__ANSWER_NONE &&
          fcgi__request_is_authorizer(request));
}

/* 1, and a line: what was written is not an answer, or not all of it. */
static int is_unkept(fcgi_request *request) {
  char why[FCGI__WHY];
  if (request->out.broken)
    return 1;
  if (is_headless(request))
    return fcgi__raw_unended(request) != 0;
  if (request->out.left <= 0 || request->out.bodiless)
    return 0;
  snprintf(why, sizeof why,
           "the body is %lld bytes shorter than Content-Length",
           (long long)request->out.left);
  fcgi__request_tell(request, why, cut);
  return 1;
}

/* Nobody is told what was wrong with an answer that nobody waits for. */
int fcgi__request_finish(fcgi_request *request, uint32_t app_status) {
  int error = fcgi__request_check(request);
  if (!error && is_unkept(request)) {
    fcgi__request_fail(request);
    return FCGI_ERR_INVALID;
  }
  return fcgi__request_end(request, app_status);
}

static int is_unanswered(const fcgi_request *request) {
  return request->out.answer == FCGI__ANSWER_NONE && !request->out.broken &&
         !request->lateness && request->role->number <= FCGI_ROLE_FILTER;
}

int fcgi__request_conclude(fcgi_request *request) {
  if (fcgi__request_check(request) || !is_unanswered(request))
    return fcgi__request_finish(request, 0);
  fcgi__request_tell(request, "its handler returned and wrote nothing",
                     ", so the client gets 500");
  return fcgi__request_fail(request);
}

/* Bindings take FCGI_ERR_CLOSED for written, so that programs need not know of
   HEAD, and the first second is enough for what comes to an end. */
int fcgi__request_refuse_unread(fcgi_request *request) {
  enum { UNREAD_MS = 1000 };
  long long now = fcgi__now();
  if (request->out.unread_at == 0)
    request->out.unread_at = now;
  return now - request->out.unread_at < UNREAD_MS ? FCGI_ERR_CLOSED
                                                  : FCGI_ERR_ABORTED;
}
