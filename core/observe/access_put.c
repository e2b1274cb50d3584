/* SPDX-License-Identifier: MIT */
/* What the parts of an access log's line look like. */
#include "gateway/rawhead.h"
#include "observe/access.h"
#include "observe/tally.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Each of these writes one part of a line. */
#define PART(name)                                                             \
  void fcgi__access_put_##name(fcgi__log_text *line,                           \
                               const fcgi__access_part *part,                  \
                               const fcgi__access_view *view)

static void put(fcgi__log_text *line, const char *text, size_t len) {
  if (text && len > 0)
    fcgi__log_escape(line, text, len, FCGI__LOG_PLAIN, FCGI__LOG_LINE);
  else
    fcgi__log_put(line, "-", 1);
}

static const char *get(const fcgi__access_view *view, const char *name,
                       size_t *len) {
  *len = 0;
  return fcgi_params_get(view->params, name, strlen(name), len);
}

PART(text) {
  (void)view;
  fcgi__log_put(line, part->name, part->name_len);
}

PART(dash) {
  (void)part;
  (void)view;
  fcgi__log_put(line, "-", 1);
}

PART(param) {
  size_t len;
  const char *value = get(view, part->name, &len);
  put(line, value, len);
}

/* An empty query is an empty text, so that %(U)s?%(q)s can be read. */
PART(query) {
  size_t len;
  const char *value = get(view, part->name, &len);
  if (len > 0)
    put(line, value, len);
}

PART(time) {
  struct tm parts;
  char text[64];
  (void)part;
  localtime_r(&view->access->began.tv_sec, &parts);
  fcgi__log_put(line, text,
                strftime(text, sizeof text, "[%d/%b/%Y:%H:%M:%S %z]", &parts));
}

PART(status) {
  (void)part;
  if (view->status)
    fcgi__log_print(line, "%d", view->status);
  else
    fcgi__log_put(line, "-", 1);
}

PART(bytes) {
  (void)part;
  fcgi__log_print(line, "%llu", (unsigned long long)view->bytes);
}

PART(bytes_clf) {
  if (view->bytes > 0)
    fcgi__access_put_bytes(line, part, view);
  else
    fcgi__log_put(line, "-", 1);
}

PART(seconds) {
  (void)part;
  fcgi__log_print(line, "%llu", (unsigned long long)(view->took_us / 1000000));
}

PART(milliseconds) {
  (void)part;
  fcgi__log_print(line, "%llu", (unsigned long long)(view->took_us / 1000));
}

PART(microseconds) {
  (void)part;
  fcgi__log_print(line, "%llu", (unsigned long long)view->took_us);
}

PART(decimal) {
  (void)part;
  fcgi__log_print(line, "%llu.%06llu",
                  (unsigned long long)(view->took_us / 1000000),
                  (unsigned long long)(view->took_us % 1000000));
}

PART(pid) {
  (void)part;
  (void)view;
  fcgi__log_print(line, "<%ld>", (long)getpid());
}

const char *fcgi__access_header(const fcgi__access *access, const char *name,
                                size_t name_len, size_t *len) {
  const char *at = (const char *)access->head.data;
  const char *end = at ? at + access->head.len : NULL;
  fcgi__rawhead_field one;
  while (at < end && fcgi__rawhead_next(&at, end, &one)) {
    if (one.field.name_len == name_len &&
        strncasecmp(one.field.name, name, name_len) == 0) {
      *len = one.field.value_len;
      return one.field.value;
    }
  }
  return NULL;
}

PART(header) {
  size_t len = 0;
  const char *value =
      fcgi__access_header(view->access, part->name, part->name_len, &len);
  put(line, value, len);
}

/* What the client asked for, as near to its own words as the web server says:
   the path and the query. */
static void put_target(fcgi__log_text *line, const fcgi__access_view *view,
                       fcgi__log_style style, size_t most) {
  size_t len, query_len;
  const char *uri = get(view, "REQUEST_URI", &len);
  const char *query;
  if (len > 0) {
    fcgi__log_escape(line, uri, len, style, most);
    return;
  }
  uri = get(view, "SCRIPT_NAME", &len);
  fcgi__log_escape(line, uri ? uri : "", len, style, most);
  uri = get(view, "PATH_INFO", &len);
  fcgi__log_escape(line, uri ? uri : "", len, style, most);
  query = get(view, "QUERY_STRING", &query_len);
  if (query_len > 0) {
    fcgi__log_put(line, "?", 1);
    fcgi__log_escape(line, query, query_len, style, most);
  }
}

/* A refused request may have none. */
static int has_target(const fcgi__access_view *view) {
  size_t uri, script, info, query;
  get(view, "REQUEST_URI", &uri);
  get(view, "SCRIPT_NAME", &script);
  get(view, "PATH_INFO", &info);
  get(view, "QUERY_STRING", &query);
  return uri + script + info + query > 0;
}

PART(request_line) {
  size_t len;
  const char *text = get(view, "REQUEST_METHOD", &len);
  (void)part;
  put(line, text, len);
  fcgi__log_put(line, " ", 1);
  if (has_target(view))
    put_target(line, view, FCGI__LOG_PLAIN, FCGI__LOG_LINE);
  else
    fcgi__log_put(line, "-", 1);
  text = get(view, "SERVER_PROTOCOL", &len);
  if (len > 0) {
    fcgi__log_put(line, " ", 1);
    put(line, text, len);
  }
}

PART(path) {
  char path[FCGI__LOG_LINE];
  size_t len = fcgi__tally_path(view->params, path, sizeof path);
  (void)part;
  put(line, path, len < sizeof path ? len : sizeof path - 1);
}

/* A value that is absent or empty is null. */
static void put_field(fcgi__log_text *line, const fcgi__access_view *view,
                      const char *name, const char *param, size_t most) {
  size_t len;
  const char *value = get(view, param, &len);
  if (len == 0) {
    fcgi__log_print(line, ",\"%s\":null", name);
    return;
  }
  fcgi__log_print(line, ",\"%s\":\"", name);
  fcgi__log_escape(line, value, len, FCGI__LOG_JSON, most);
  fcgi__log_put(line, "\"", 1);
}

static void put_uri(fcgi__log_text *line, const fcgi__access_view *view) {
  if (!has_target(view)) {
    fcgi__log_print(line, ",\"uri\":null");
    return;
  }
  fcgi__log_print(line, ",\"uri\":\"");
  put_target(line, view, FCGI__LOG_JSON, 1536);
  fcgi__log_put(line, "\"", 1);
}

static void put_moment(fcgi__log_text *line, const struct timespec *moment) {
  struct tm parts;
  char text[32];
  gmtime_r(&moment->tv_sec, &parts);
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  fcgi__log_print(line, "{\"time\":\"%s.%03ldZ\"", text,
                  moment->tv_nsec / 1000000);
}

/* The lengths leave the whole line below its limit, so that it is always JSON.
 */
PART(json) {
  (void)part;
  put_moment(line, &view->access->began);
  put_field(line, view, "remote_addr", "REMOTE_ADDR", 64);
  put_field(line, view, "remote_user", "REMOTE_USER", 256);
  put_field(line, view, "method", "REQUEST_METHOD", 64);
  put_uri(line, view);
  put_field(line, view, "protocol", "SERVER_PROTOCOL", 64);
  put_field(line, view, "host", "HTTP_HOST", 256);
  if (view->status)
    fcgi__log_print(line, ",\"status\":%d", view->status);
  else
    fcgi__log_print(line, ",\"status\":null");
  fcgi__log_print(line, ",\"bytes\":%llu,\"duration_us\":%llu",
                  (unsigned long long)view->bytes,
                  (unsigned long long)view->took_us);
  put_field(line, view, "referer", "HTTP_REFERER", 1024);
  put_field(line, view, "user_agent", "HTTP_USER_AGENT", 1024);
  fcgi__log_print(line, ",\"pid\":%ld}", (long)getpid());
}
