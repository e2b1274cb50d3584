/* SPDX-License-Identifier: MIT */
/* A request is whole: the program gets it, or the library answers it itself,
   as it does for the status page and the ping. */
#include "base/alloc.h"
#include "board/status.h"
#include "os/backlog.h"
#include "server/overdue.h"
#include "server/server.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PEEK_BYTES = 16384 }; /* In which a request for the status shows. */

/* The thread that answers must not wait for a web server that does not read:
   the answer is queued whole. */
static void respond(fcgi_request *request, const char *type, const char *body,
                    size_t len) {
  const fcgi_header headers[] = {
      {"Content-Type", 12, type, strlen(type)},
      {"Cache-Control", 13, "no-store", 8},
  };
  request->timeout_ms = 0;
  fcgi__request_respond(request, 200, headers, 2, body, len);
}

static void note_queues(const fcgi_server *server, fcgi__board *board) {
  fcgi__backlog all = {-1, -1};
  for (size_t i = 0; i < server->listener_count; i++)
    fcgi__backlog_add(&all, server->listeners[i].fd);
  fcgi__board_note_backlog(board, all);
}

static void answer_status(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  const fcgi__status_choice choice = fcgi__status_choose(request->params);
  char *text = NULL;
  size_t len;
  note_queues(server, &server->observer.board);
  if (fcgi__board_render(&server->observer.board, choice.format, &text, &len)) {
    fcgi__request_fail(request);
    return;
  }
  respond(request, choice.type, text, len);
  free(text);
}

/* PHP-FPM's answer to its ping.path. */
static void answer_ping(fcgi_request *request) {
  respond(request, "text/plain; charset=utf-8", "pong", 4);
}

typedef void answerer(fcgi_request *request);

/* Who answers it, or NULL. The path is the whole one that the web server has
   judged: SCRIPT_NAME and PATH_INFO together. A part of it alone would let
   visitors past a rule that guards the path: /app/status is not /status. */
static answerer *answerer_of(const fcgi_server *server, uint16_t role,
                             const fcgi_params *params) {
  const fcgi_server_config *config = &server->config;
  const fcgi__path_setting setting = {.cgi = server->cgi != NULL};
  fcgi__path_parts parts;
  int status, ping;
  if ((!config->status_path && !config->ping_path) ||
      role != FCGI_ROLE_RESPONDER ||
      fcgi__path_parts_find(&parts, params, &setting, &server->allocator))
    return NULL;
  status = fcgi__path_parts_are(&parts, config->status_path);
  ping = !status && fcgi__path_parts_are(&parts, config->ping_path);
  fcgi__free(&server->allocator, parts.made);
  return status ? answer_status : ping ? answer_ping : NULL;
}

/* What the library answers by itself is answered while every handler is busy,
   so such a request stays. So does what is no request that it understands. */
static int asks_library(const fcgi_server *server, const uint8_t *data,
                        size_t len) {
  const fcgi_event *event;
  fcgi_session *session;
  int result, asks = 0;
  if (fcgi_session_new(&session, &server->session_config))
    return 1;
  result = fcgi_session_feed(session, data, len);
  while (result >= 0 && !asks &&
         (result = fcgi_session_next(session, &event)) > 0)
    asks = event->type == FCGI_EVENT_REQUEST &&
           answerer_of(server, event->role, event->params) != NULL;
  fcgi_session_free(session);
  return asks || result < 0;
}

int fcgi__dispatch_is_for_handlers(const fcgi_server *server, int fd) {
  const fcgi_server_config *config = &server->config;
  int looks = config->status_path || config->ping_path;
  uint8_t data[PEEK_BYTES];
  ssize_t len =
      recv(fd, data, looks ? sizeof data : 1, MSG_PEEK | MSG_DONTWAIT);
  return len > 0 && (!looks || !asks_library(server, data, (size_t)len));
}

/* 1 when that is an answer. */
static int answer_status_or_ping(fcgi_request *request) {
  fcgi_server *server = request->connection->server;
  answerer *answer =
      answerer_of(server, request->role->number, request->params);
  if (!answer)
    return 0;
  fcgi__request_hold(request);
  answer(request);
  fcgi__request_drop(request);
  fcgi__observe_count(&server->observer, FCGI_METRIC_STATUS_PAGES, 1);
  return 1;
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
    if (answer_status_or_ping(request))
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
  fcgi__request_hold(request);
  fcgi__request_reply(request, status, "text/plain", text, strlen(text));
  fcgi__request_drop(request);
}
