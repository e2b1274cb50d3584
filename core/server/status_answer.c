/* SPDX-License-Identifier: MIT */
/* Which requests ask for the status or for a sign of life, and the answers. */
#include "base/alloc.h"
#include "board/status.h"
#include "os/backlog.h"
#include "server/server.h"
#include <fastcgi/error.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN "text/plain; charset=utf-8"

/* The formats by a word of the query, without and with the word "full". The
   row without a word is PHP-FPM's: nothing else was asked for. */
static const struct {
  const char *word;         /* What is asked for. */
  const char *type;         /* Content-Type of the answer. */
  fcgi_status_format brief; /* What is given. */
  fcgi_status_format full;  /* What is given with "full". */
} pages[] = {
    {"json", "application/json", FCGI_STATUS_AS_JSON, FCGI_STATUS_AS_JSON_FULL},
    {"xml", "text/xml; charset=utf-8", FCGI_STATUS_AS_XML,
     FCGI_STATUS_AS_XML_FULL},
    {"openmetrics",
     "application/openmetrics-text; version=1.0.0; charset=utf-8",
     FCGI_STATUS_AS_OPENMETRICS, FCGI_STATUS_AS_OPENMETRICS},
    {"text", PLAIN, FCGI_STATUS_AS_TEXT, FCGI_STATUS_AS_TEXT},
    {"raw", "application/octet-stream", FCGI_STATUS_AS_RAW, FCGI_STATUS_AS_RAW},
    {"html", "text/html; charset=utf-8", FCGI_STATUS_AS_HTML,
     FCGI_STATUS_AS_HTML},
    {"", PLAIN, FCGI_STATUS_AS_FPM, FCGI_STATUS_AS_FPM_FULL},
};
enum { PAGES = sizeof pages / sizeof *pages, NO_WORD = PAGES - 1 };

/* 1: one of the fields between "&" has this name, with or without a value
   (Prometheus writes "openmetrics="). */
static int asks_for(const char *query, const char *word) {
  size_t len = strlen(word);
  for (; query; query = strchr(query, '&')) {
    query += *query == '&';
    if (strncmp(query, word, len) == 0 &&
        (!query[len] || query[len] == '&' || query[len] == '='))
      return 1;
  }
  return 0;
}

/* The format that a client accepts and that no tool for PHP-FPM names: a
   browser accepts HTML, Prometheus OpenMetrics. */
static const char *accepted_word(const fcgi_params *params) {
  const char *accept = fcgi_params_get(params, "HTTP_ACCEPT", 11, NULL);
  if (accept && strcasestr(accept, "text/html"))
    return "html";
  if (accept && strcasestr(accept, "application/openmetrics-text"))
    return "openmetrics";
  return "";
}

static size_t page_of(const char *word) {
  size_t i = 0;
  while (i < NO_WORD && strcmp(pages[i].word, word) != 0)
    i++;
  return i;
}

static size_t choose_page(const fcgi_params *params, int *full) {
  const char *query = fcgi_params_get(params, "QUERY_STRING", 12, NULL);
  *full = query && asks_for(query, "full");
  for (size_t i = 0; query && i < NO_WORD; i++)
    if (asks_for(query, pages[i].word))
      return i;
  return *full ? NO_WORD : page_of(accepted_word(params));
}

static int render(const fcgi__board *board, fcgi_status_format format,
                  char **out, size_t *len) {
  fcgi_status *status;
  int error;
  if (format == FCGI_STATUS_AS_RAW) {
    *out = fcgi__board_copy(board, len);
    return *out ? 0 : FCGI_ERR_NOMEM;
  }
  error = fcgi__status_of_board(&status, board);
  if (error)
    return error;
  error = fcgi_status_render(status, format, out, len);
  fcgi_status_free(status);
  return error;
}

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
  int full;
  size_t page = choose_page(request->params, &full), len;
  char *text = NULL;
  note_queues(server, &server->observer.board);
  if (render(&server->observer.board,
             full ? pages[page].full : pages[page].brief, &text, &len)) {
    fcgi__request_fail(request);
    return;
  }
  respond(request, pages[page].type, text, len);
  free(text);
}

/* PHP-FPM's answer to its ping.path. */
static void answer_ping(fcgi_request *request) {
  respond(request, PLAIN, "pong", 4);
}

/* The path is the whole one that the web server has judged: SCRIPT_NAME and
   PATH_INFO together. A part of it alone would let visitors past a rule that
   guards the path: /app/status is not /status. */
int fcgi__status_answer(fcgi_request *request) {
  const fcgi_server *server = request->connection->server;
  const fcgi_server_config *config = &server->config;
  const fcgi__path_setting setting = {.cgi = server->cgi != NULL};
  fcgi__path_parts parts;
  int status, ping;
  if ((!config->status_path && !config->ping_path) ||
      request->role->number != FCGI_ROLE_RESPONDER ||
      fcgi__path_parts_find(&parts, request->params, &setting,
                            &server->allocator))
    return 0;
  status = fcgi__path_parts_are(&parts, config->status_path);
  ping = !status && fcgi__path_parts_are(&parts, config->ping_path);
  fcgi__free(&server->allocator, parts.made);
  if (status)
    answer_status(request);
  else if (ping)
    answer_ping(request);
  if (status || ping)
    fcgi__observe_count(&request->connection->server->observer,
                        FCGI_METRIC_STATUS_PAGES, 1);
  return status || ping;
}
