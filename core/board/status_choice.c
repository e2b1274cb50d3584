/* SPDX-License-Identifier: MIT */
/* Which format of the status a request asks for. */
#include "board/status.h"
#include <fastcgi/error.h>
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

static size_t choose_page(const fcgi_params *params, int full,
                          const char *query) {
  for (size_t i = 0; query && i < NO_WORD; i++)
    if (asks_for(query, pages[i].word))
      return i;
  return full ? NO_WORD : page_of(accepted_word(params));
}

fcgi__status_choice fcgi__status_choose(const fcgi_params *params) {
  const char *query = fcgi_params_get(params, "QUERY_STRING", 12, NULL);
  int full = query && asks_for(query, "full");
  size_t page = choose_page(params, full, query);
  return (fcgi__status_choice){pages[page].type,
                               full ? pages[page].full : pages[page].brief};
}

int fcgi__board_render(const fcgi__board *board, fcgi_status_format format,
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
