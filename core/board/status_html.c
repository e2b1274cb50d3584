/* SPDX-License-Identifier: MIT */
/* What changes of the status page, as it is without JavaScript; the script in
   status_page.c finds the places by their attributes. */
#include "board/status.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* What is looked at first: a title, and where its number is in JSON. */
static void tile(fcgi__text *out, const char *title, const char *key,
                 const char *value) {
  fcgi__text_add(out,
                 "<div class=tile><b data-k=\"%s\">%s</b><span>%s</span></div>",
                 key, value, title);
}

static void number_tile(fcgi__text *out, const char *title, const char *key,
                        uint64_t value) {
  char text[32];
  snprintf(text, sizeof text, "%" PRIu64, value);
  tile(out, title, key, text);
}

/* Milliseconds, or from one second on seconds, so that the text stays short. */
static void put_time(char *text, size_t size, uint64_t us) {
  if (us < 1000000)
    snprintf(text, size, us < 100000 ? "%.2f ms" : "%.0f ms", (double)us / 1e3);
  else
    snprintf(text, size, us < 100000000 ? "%.2f s" : "%.0f s",
             (double)us / 1e6);
}

static void latency_tile(fcgi__text *out, const fcgi_status *status,
                         const char *title, const char *key, double share) {
  char text[32];
  put_time(text, sizeof text,
           fcgi_status_quantile(fcgi_status_total(status), NULL, share));
  tile(out, title, key, text);
}

static void tiles(fcgi__text *out, const fcgi_status *status) {
  const fcgi_status_worker *total = fcgi_status_total(status);
  fcgi__text_add(out, "<section class=tiles>");
  tile(out, "requests a second", "rate", "&ndash;");
  number_tile(out, "in handlers", "active",
              fcgi_status_metric(total, FCGI_METRIC_ACTIVE));
  number_tile(out, "waiting", "queued",
              fcgi_status_metric(total, FCGI_METRIC_QUEUED));
  number_tile(out, "connections", "open",
              fcgi_status_metric(total, FCGI_METRIC_OPEN));
  latency_tile(out, status, "half within", "p50", 0.5);
  latency_tile(out, status, "95 % within", "p95", 0.95);
  latency_tile(out, status, "99 % within", "p99", 0.99);
  number_tile(out, "answers 5xx", "responses_5xx",
              fcgi_status_metric(total, FCGI_METRIC_RESPONSES_5XX));
  fcgi__text_add(out, "</section><svg id=chart viewBox=\"0 0 600 60\" "
                      "preserveAspectRatio=none role=img "
                      "aria-label=\"requests a second\">"
                      "<polyline id=line points=\"\"/></svg>");
}

static void worker_row(fcgi__text *out, const fcgi_status_worker *worker) {
  const fcgi_status_request *oldest = fcgi__status_oldest(worker);
  const char *late =
      oldest && fcgi__status_is_hung(oldest) ? " class=hung" : "";
  char p95[32], age[32] = "";
  put_time(p95, sizeof p95, fcgi_status_quantile(worker, NULL, 0.95));
  if (oldest)
    put_time(age, sizeof age, oldest->age_us);
  fcgi__text_add(
      out,
      "<tr><td>%" PRId64 "<td class=%s>%s<td>%u<td>%.0f s<td>%" PRIu64
      "<td%s>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64 "<td>%s<td%s>%s",
      worker->pid, fcgi__worker_state_key(worker->state),
      fcgi__worker_state_key(worker->state), worker->generation,
      (double)worker->age_us / 1e6,
      fcgi_status_metric(worker, FCGI_METRIC_REQUESTS), late,
      fcgi_status_metric(worker, FCGI_METRIC_ACTIVE),
      fcgi_status_metric(worker, FCGI_METRIC_QUEUED),
      fcgi_status_metric(worker, FCGI_METRIC_RESPONSES_5XX), p95, late, age);
}

static void worker_table(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_add(out, "<h2>Workers</h2><div class=wide><table><thead><tr>"
                      "<th>process<th>state<th>generation<th>age<th>requests"
                      "<th>in handlers<th>waiting<th>5xx<th>95 %% within"
                      "<th>oldest request</thead><tbody id=workers>");
  for (size_t i = 0; i < status->worker_count; i++)
    worker_row(out, fcgi_status_worker_at(status, i));
  fcgi__text_add(out, "</tbody></table></div>");
}

/* A request, and the worker that it belongs to. */
typedef struct open_request {
  const fcgi_status_request *request; /* Lent by the status. */
  int64_t pid;                        /* Its worker's process. */
} open_request;

static void request_row(fcgi__text *out, const open_request *at) {
  const fcgi_status_request *request = at->request;
  int hung = fcgi__status_is_hung(request);
  const char *phase = fcgi__phase_key(request->phase);
  char age[32];
  put_time(age, sizeof age, request->age_us);
  fcgi__text_add(out, "<tr><td>%" PRId64 "<td class=%s>%s<td%s>%s<td>", at->pid,
                 hung ? "hung" : phase, phase, hung ? " class=hung" : "", age);
  fcgi__text_html(out, request->method);
  fcgi__text_add(out, "<td class=path>");
  fcgi__text_html(out, request->path);
}

static int by_age(const void *a, const void *b) {
  uint64_t x = ((const open_request *)a)->request->age_us;
  uint64_t y = ((const open_request *)b)->request->age_us;
  return x < y ? 1 : x > y ? -1 : 0;
}

/* The oldest first: those are looked for. */
static void request_rows(fcgi__text *out, const fcgi_status *status) {
  open_request *all = calloc(status->request_count + 1, sizeof *all);
  size_t count = 0;
  if (!all) {
    out->failed = 1;
    return;
  }
  for (size_t i = 0; i < status->worker_count; i++) {
    const fcgi_status_worker *worker = fcgi_status_worker_at(status, i);
    for (size_t j = 0; j < worker->request_count; j++)
      all[count++] =
          (open_request){fcgi_status_request_at(worker, j), worker->pid};
  }
  qsort(all, count, sizeof *all, by_age);
  for (size_t i = 0; i < count; i++)
    request_row(out, &all[i]);
  free(all);
}

static void request_table(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_add(out, "<h2>Requests under way</h2><div class=wide><table>"
                      "<thead><tr><th>process<th>phase<th>age<th>method"
                      "<th>path</thead><tbody id=requests>");
  request_rows(out, status);
  fcgi__text_add(out, "</tbody></table></div>");
}

static void number_row(fcgi__text *out, const char *key, const char *help,
                       uint64_t value) {
  fcgi__text_add(out, "<tr title=\"");
  fcgi__text_html(out, help);
  fcgi__text_add(out, "\"><td>");
  for (const char *at = key; *at; at++)
    fcgi__text_add(out, "%c", *at == '_' ? ' ' : *at);
  fcgi__text_add(out, "<td data-k=\"%s\">%" PRIu64, key, value);
}

static void all_numbers(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_add(out, "<details><summary>All numbers</summary><table><tbody>");
  for (unsigned i = 0; i < FCGI_METRICS; i++)
    number_row(out, fcgi__metric_at(i)->key, fcgi__metric_at(i)->help,
               fcgi_status_metric(fcgi_status_total(status), i));
  for (unsigned i = 0; i < FCGI_SUPERVISED_EVENTS; i++)
    number_row(out, fcgi__supervised_key(i), fcgi__supervised_help(i),
               fcgi_status_supervised(status, i));
  fcgi__text_add(out, "</tbody></table></details>");
}

void fcgi__status_html(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_add(out, "%s", fcgi__status_page_head());
  fcgi__text_add(
      out,
      "<p id=since>up for <span data-k=age>%.0f s</span>, "
      "generation <span data-k=generation>%u</span>, "
      "<span data-k=requests>%" PRIu64 "</span> requests</p>",
      (double)status->age_us / 1e6, status->generation,
      fcgi_status_metric(fcgi_status_total(status), FCGI_METRIC_REQUESTS));
  tiles(out, status);
  worker_table(out, status);
  fcgi__resources_html(out, status);
  request_table(out, status);
  all_numbers(out, status);
  fcgi__text_add(out, "%s", fcgi__status_page_foot());
}
