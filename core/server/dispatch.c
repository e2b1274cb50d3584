/* SPDX-License-Identifier: MIT */
/* A request until the program has it. */
#include "os/clock.h"
#include "server/overdue.h"
#include "server/server.h"
#include <limits.h>
#include <string.h>

static int is_collecting(const fcgi_request *request) {
  return request->phase == FCGI__COLLECTING;
}

void fcgi__request_leave_collecting(fcgi_request *request) {
  if (is_collecting(request))
    request->connection->life.collecting--;
}

/* Deadlines are kept where there is a scoreboard, which shows who passed. */
static void begin_watched(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  fcgi__observe_queued(&server->observer, &request->observed, request->params);
  fcgi__request_set_dues(request);
  fcgi__spare_expect(server);
}

void fcgi__request_dispatch(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  fcgi__request_leave_collecting(request);
  request->phase = FCGI__ANSWERING;
  if (atomic_load_explicit(&server->observer.slot, memory_order_relaxed)) {
    if (fcgi__status_answer(request))
      return;
    begin_watched(request);
  }
  fcgi__ready_notify(server, request, FCGI_EVENT_REQUEST);
}

/* The library answers for a program that has not seen the request. */
void fcgi__request_answer_alone(fcgi_request *request, int status) {
  const char *text = status == 408   ? "408 Request Timeout\n"
                     : status == 413 ? "413 Content Too Large\n"
                                     : "500 Internal Server Error\n";
  fcgi__request_leave_collecting(request);
  request->phase = FCGI__ANSWERING;
  fcgi__request_reply(request, status, "text/plain", text, strlen(text));
}

long long fcgi__request_body_due(fcgi_request *request, long long now,
                                 int timeout) {
  if (!is_collecting(request))
    return LLONG_MAX;
  if (request->due.body == 0)
    request->due.body = now + timeout;
  return request->due.body;
}

void fcgi__request_expire(fcgi_request *request, long long now) {
  fcgi__peer who;
  if (!is_collecting(request) || request->due.body == 0 ||
      request->due.body > now)
    return;
  fcgi__peer_of(request->connection->fd, &who);
  fcgi__server_trouble(
      request->connection->server, FCGI__TROUBLE_BODY, who.place, FCGI_LOG_INFO,
      "a request body stopped coming from %s: answered 408", who.name);
  fcgi__request_answer_alone(request, 408);
}
