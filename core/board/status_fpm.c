/* SPDX-License-Identifier: MIT */
/* PHP-FPM's status page: its names, order and formats, so that whatever
   watches PHP-FPM also watches this library. */
#include "board/status.h"
#include <inttypes.h>
#include <string.h>
#include <time.h>

typedef enum fpm_kind {
  FPM_NUMBER,
  FPM_TEXT,
  FPM_TIME, /* Seconds since 1970; a date in lines of text. */
  FPM_SHARE /* A number with two digits after the point. */
} fpm_kind;

typedef struct fpm_row {
  const char *name; /* As PHP-FPM calls it. */
  fpm_kind kind;    /* Which of the following holds the value. */
  const char *text; /* FPM_TEXT. */
  int64_t number;   /* The other kinds. */
} fpm_row;

enum { POOL_ROWS = 15, PROCESS_ROWS = 13, NAME_WIDTH = 22 };

static int64_t count_active(const fcgi_status *status) {
  int64_t count = 0;
  for (size_t i = 0; i < status->worker_count; i++)
    count += fcgi_status_metric(fcgi_status_worker_at(status, i),
                                FCGI_METRIC_ACTIVE) > 0;
  return count;
}

static int64_t at_least_0(int64_t value) {
  return value < 0 ? 0 : value;
}

/* A process of PHP-FPM serves one request at a time. A worker with several
   threads counts as one process, active while it has any request. */
static void fill_pool(const fcgi_status *status, fpm_row *rows) {
  const fcgi_status_worker *total = fcgi_status_total(status);
  int64_t count = (int64_t)status->worker_count, active = count_active(status);
  int64_t most = (int64_t)fcgi_status_metric(total, FCGI_METRIC_ACTIVE_MAX);
  const fpm_row filled[POOL_ROWS] = {
      {"pool", FPM_TEXT, "fastcgi", 0},
      {"process manager", FPM_TEXT, "static", 0},
      {"start time", FPM_TIME, NULL, status->started_ms / 1000},
      {"start since", FPM_NUMBER, NULL, (int64_t)(status->age_us / 1000000)},
      {"accepted conn", FPM_NUMBER, NULL,
       (int64_t)fcgi_status_metric(total, FCGI_METRIC_ACCEPTED)},
      {"listen queue", FPM_NUMBER, NULL, at_least_0(status->listen_queue)},
      {"max listen queue", FPM_NUMBER, NULL,
       at_least_0(status->listen_queue_max)},
      {"listen queue len", FPM_NUMBER, NULL,
       at_least_0(status->listen_queue_limit)},
      {"idle processes", FPM_NUMBER, NULL, count - active},
      {"active processes", FPM_NUMBER, NULL, active},
      {"total processes", FPM_NUMBER, NULL, count},
      {"max active processes", FPM_NUMBER, NULL, most < count ? most : count},
      {"max children reached", FPM_NUMBER, NULL, 0},
      {"slow requests", FPM_NUMBER, NULL,
       (int64_t)fcgi_status_metric(total, FCGI_METRIC_SLOW)},
      {"memory peak", FPM_NUMBER, NULL, 0},
  };
  memcpy(rows, filled, sizeof filled);
}

/* Of a worker with several requests the oldest is shown. Paths have no query:
   that of somebody else's request may hold a secret. */
static void fill_process(const fcgi_status *status,
                         const fcgi_status_worker *worker, fpm_row *rows) {
  const fcgi_status_request *request = fcgi__status_oldest(worker);
  int64_t since = (int64_t)(worker->age_us / 1000000);
  int64_t now = status->started_ms / 1000 + (int64_t)(status->age_us / 1000000);
  const fpm_row filled[PROCESS_ROWS] = {
      {"pid", FPM_NUMBER, NULL, worker->pid},
      {"state", FPM_TEXT, request ? "Running" : "Idle", 0},
      {"start time", FPM_TIME, NULL, now - since},
      {"start since", FPM_NUMBER, NULL, since},
      {"requests", FPM_NUMBER, NULL,
       (int64_t)fcgi_status_metric(worker, FCGI_METRIC_REQUESTS)},
      {"request duration", FPM_NUMBER, NULL,
       request ? (int64_t)request->age_us : 0},
      {"request method", FPM_TEXT, request ? request->method : "-", 0},
      {"request uri", FPM_TEXT, request ? request->path : "-", 0},
      {"content length", FPM_NUMBER, NULL, 0},
      {"user", FPM_TEXT, "-", 0},
      {"script", FPM_TEXT, "-", 0},
      {"last request cpu", FPM_SHARE, NULL, 0},
      {"last request memory", FPM_NUMBER, NULL, 0},
  };
  memcpy(rows, filled, sizeof filled);
}

static void put_number(fcgi__text *out, const fpm_row *row) {
  fcgi__text_add(out, row->kind == FPM_SHARE ? "%" PRId64 ".00" : "%" PRId64,
                 row->number);
}

/* Lines. */

static void put_date(fcgi__text *out, int64_t seconds) {
  time_t at = (time_t)seconds;
  struct tm parts;
  char date[48];
  gmtime_r(&at, &parts);
  strftime(date, sizeof date, "%d/%b/%Y:%H:%M:%S +0000", &parts);
  fcgi__text_add(out, "%s", date);
}

static void put_line(fcgi__text *out, const fpm_row *row) {
  const char *name =
      strcmp(row->name, "request uri") == 0 ? "request URI" : row->name;
  fcgi__text_add(out, "%s:%*s", name, NAME_WIDTH - 1 - (int)strlen(name), "");
  if (row->kind == FPM_TEXT)
    fcgi__text_plain(out, row->text);
  else if (row->kind == FPM_TIME)
    put_date(out, row->number);
  else
    put_number(out, row);
  fcgi__text_add(out, "\n");
}

static void put_lines(fcgi__text *out, const fpm_row *rows, size_t count) {
  for (size_t i = 0; i < count; i++)
    put_line(out, &rows[i]);
}

void fcgi__status_fpm(fcgi__text *out, const fcgi_status *status) {
  fpm_row rows[POOL_ROWS];
  fill_pool(status, rows);
  put_lines(out, rows, POOL_ROWS);
}

void fcgi__status_fpm_full(fcgi__text *out, const fcgi_status *status) {
  fpm_row rows[PROCESS_ROWS];
  fcgi__status_fpm(out, status);
  for (size_t i = 0; i < status->worker_count; i++) {
    fcgi__text_add(out, "\n************************\n");
    fill_process(status, fcgi_status_worker_at(status, i), rows);
    put_lines(out, rows, PROCESS_ROWS);
  }
}

/* JSON. */

static void put_members(fcgi__text *out, const fpm_row *rows, size_t count) {
  for (size_t i = 0; i < count; i++) {
    fcgi__text_add(out, "%s\"%s\":", i ? "," : "", rows[i].name);
    if (rows[i].kind == FPM_TEXT)
      fcgi__text_json(out, rows[i].text);
    else
      put_number(out, &rows[i]);
  }
}

static void put_process_objects(fcgi__text *out, const fcgi_status *status) {
  fpm_row rows[PROCESS_ROWS];
  for (size_t i = 0; i < status->worker_count; i++) {
    fcgi__text_add(out, i ? ",{" : "{");
    fill_process(status, fcgi_status_worker_at(status, i), rows);
    put_members(out, rows, PROCESS_ROWS);
    fcgi__text_add(out, "}");
  }
}

static void put_json(fcgi__text *out, const fcgi_status *status, int full) {
  fpm_row rows[POOL_ROWS];
  fill_pool(status, rows);
  fcgi__text_add(out, "{");
  put_members(out, rows, POOL_ROWS);
  if (full) {
    fcgi__text_add(out, ",\"processes\":[");
    put_process_objects(out, status);
    fcgi__text_add(out, "]");
  }
  fcgi__text_add(out, ",\"fastcgi\":");
  fcgi__status_members(out, status);
  fcgi__text_add(out, "}\n");
}

void fcgi__status_json(fcgi__text *out, const fcgi_status *status) {
  put_json(out, status, 0);
}

void fcgi__status_json_full(fcgi__text *out, const fcgi_status *status) {
  put_json(out, status, 1);
}

/* XML. */

static void put_tag(fcgi__text *out, const char *before, const char *name) {
  fcgi__text_add(out, "%s", before);
  for (; *name; name++)
    fcgi__text_add(out, "%c", *name == ' ' ? '-' : *name);
  fcgi__text_add(out, ">");
}

static void put_elements(fcgi__text *out, const fpm_row *rows, size_t count,
                         const char *after) {
  for (size_t i = 0; i < count; i++) {
    put_tag(out, "<", rows[i].name);
    if (rows[i].kind == FPM_TEXT)
      fcgi__text_html(out, rows[i].text);
    else
      put_number(out, &rows[i]);
    put_tag(out, "</", rows[i].name);
    fcgi__text_add(out, "%s", after);
  }
}

static void put_process_elements(fcgi__text *out, const fcgi_status *status) {
  fpm_row rows[PROCESS_ROWS];
  fcgi__text_add(out, "<processes>\n");
  for (size_t i = 0; i < status->worker_count; i++) {
    fcgi__text_add(out, "<process>");
    fill_process(status, fcgi_status_worker_at(status, i), rows);
    put_elements(out, rows, PROCESS_ROWS, "");
    fcgi__text_add(out, "</process>\n");
  }
  fcgi__text_add(out, "</processes>\n");
}

static void put_xml(fcgi__text *out, const fcgi_status *status, int full) {
  fpm_row rows[POOL_ROWS];
  fill_pool(status, rows);
  fcgi__text_add(out, "<?xml version=\"1.0\" ?>\n<status>\n");
  put_elements(out, rows, POOL_ROWS, "\n");
  if (full)
    put_process_elements(out, status);
  fcgi__text_add(out, "</status>\n");
}

void fcgi__status_xml(fcgi__text *out, const fcgi_status *status) {
  put_xml(out, status, 0);
}

void fcgi__status_xml_full(fcgi__text *out, const fcgi_status *status) {
  put_xml(out, status, 1);
}
