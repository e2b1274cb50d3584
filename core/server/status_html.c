/* SPDX-License-Identifier: MIT */
/* What changes of the status page, as it is without JavaScript; the script in
   status_page.c finds the places by their attributes. */
#include "server/status.h"
#include <inttypes.h>
#include <stdio.h>

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

static void latency_tile(fcgi__text *out, const fcgi_status *status,
                         const char *title, const char *key, double share) {
  char text[32];
  snprintf(text, sizeof text, "%.2f ms",
           (double)fcgi_status_quantile(&status->total, share) / 1e3);
  tile(out, title, key, text);
}

static void tiles(fcgi__text *out, const fcgi_status *status) {
  const uint64_t *values = status->total.values;
  fcgi__text_add(out, "<section class=tiles>");
  tile(out, "requests a second", "rate", "&ndash;");
  number_tile(out, "in handlers", "active", values[FCGI_STATUS_ACTIVE]);
  number_tile(out, "waiting", "queued", values[FCGI_STATUS_QUEUED]);
  number_tile(out, "connections", "open", values[FCGI_STATUS_OPEN]);
  latency_tile(out, status, "half within", "p50", 0.5);
  latency_tile(out, status, "95 % within", "p95", 0.95);
  latency_tile(out, status, "99 % within", "p99", 0.99);
  number_tile(out, "answers 5xx", "responses_5xx",
              values[FCGI_STATUS_RESPONSES_5XX]);
  fcgi__text_add(out, "</section><svg id=chart viewBox=\"0 0 600 60\" "
                      "preserveAspectRatio=none role=img "
                      "aria-label=\"requests a second\">"
                      "<polyline id=line points=\"\"/></svg>");
}

static void worker_row(fcgi__text *out, const fcgi_status_worker *worker) {
  fcgi__text_add(
      out,
      "<tr><td>%" PRId64 "<td class=%s>%s<td>%u<td>%.0f s<td>%" PRIu64
      "<td>%" PRIu64 "<td>%" PRIu64 "<td>%" PRIu64 "<td>%.2f ms",
      worker->pid, fcgi__worker_state_key(worker->state),
      fcgi__worker_state_key(worker->state), worker->generation,
      (double)worker->age_us / 1e6, worker->values[FCGI_STATUS_REQUESTS],
      worker->values[FCGI_STATUS_ACTIVE], worker->values[FCGI_STATUS_QUEUED],
      worker->values[FCGI_STATUS_RESPONSES_5XX],
      (double)fcgi_status_quantile(worker, 0.95) / 1e3);
}

static void worker_table(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_add(out, "<h2>Workers</h2><table><thead><tr><th>process<th>state"
                      "<th>generation<th>age<th>requests<th>in handlers"
                      "<th>waiting<th>5xx<th>95 %% within</thead>"
                      "<tbody id=workers>");
  for (size_t i = 0; i < status->worker_count; i++)
    worker_row(out, &status->workers[i]);
  fcgi__text_add(out, "</tbody></table>");
}

static void request_row(fcgi__text *out, const fcgi_status_worker *worker,
                        const fcgi_status_request *request) {
  fcgi__text_add(out, "<tr><td>%" PRId64 "<td class=%s>%s<td>%.2f s<td>",
                 worker->pid, fcgi__phase_key(request->phase),
                 fcgi__phase_key(request->phase),
                 (double)request->age_us / 1e6);
  fcgi__text_html(out, request->method);
  fcgi__text_add(out, "<td>");
  fcgi__text_html(out, request->path);
}

static void request_table(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_add(out, "<h2>Requests under way</h2><table><thead><tr><th>process"
                      "<th>phase<th>age<th>method<th>path</thead>"
                      "<tbody id=requests>");
  for (size_t i = 0; i < status->worker_count; i++) {
    const fcgi_status_worker *worker = &status->workers[i];
    for (size_t j = 0; j < worker->request_count; j++)
      request_row(out, worker, &status->requests[worker->first_request + j]);
  }
  fcgi__text_add(out, "</tbody></table>");
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
  for (unsigned i = 0; i < FCGI_STATUS_VALUES; i++)
    number_row(out, fcgi__metric_at(i)->key, fcgi__metric_at(i)->help,
               status->total.values[i]);
  for (unsigned i = 0; i < FCGI_STATUS_EVENTS; i++)
    number_row(out, fcgi__event_key(i), fcgi__event_help(i), status->events[i]);
  fcgi__text_add(out, "</tbody></table></details>");
}

void fcgi__status_html(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_add(out, "%s", fcgi__status_page_head());
  fcgi__text_add(out,
                 "<p id=since>up for <span data-k=age>%.0f s</span>, "
                 "generation <span data-k=generation>%u</span>, "
                 "<span data-k=requests>%" PRIu64 "</span> requests</p>",
                 (double)status->age_us / 1e6, status->generation,
                 status->total.values[FCGI_STATUS_REQUESTS]);
  tiles(out, status);
  worker_table(out, status);
  request_table(out, status);
  all_numbers(out, status);
  fcgi__text_add(out, "%s", fcgi__status_page_foot());
}
