/* SPDX-License-Identifier: MIT */
/* A status as text, for persons and for programs. */
#include "board/status.h"
#include <fastcgi/error.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int reserve(fcgi__text *text, size_t more) {
  size_t cap = text->cap ? text->cap : 4096;
  char *data;
  while (cap < text->len + more + 1)
    cap *= 2;
  if (cap == text->cap)
    return 0;
  data = realloc(text->data, cap);
  if (!data) {
    text->failed = 1;
    return -1;
  }
  text->data = data;
  text->cap = cap;
  return 0;
}

void fcgi__text_bytes(fcgi__text *text, const char *data, size_t len) {
  if (text->failed || reserve(text, len))
    return;
  memcpy(text->data + text->len, data, len);
  text->len += len;
  text->data[text->len] = '\0';
}

void fcgi__text_add(fcgi__text *text, const char *format, ...) {
  va_list arguments, again;
  int len;
  va_start(arguments, format);
  va_copy(again, arguments);
  len = vsnprintf(NULL, 0, format, again);
  va_end(again);
  if (len >= 0 && !text->failed && reserve(text, (size_t)len) == 0) {
    vsnprintf(text->data + text->len, (size_t)len + 1, format, arguments);
    text->len += (size_t)len;
  }
  va_end(arguments);
}

void fcgi__text_json(fcgi__text *text, const char *value) {
  fcgi__text_bytes(text, "\"", 1);
  for (; *value; value++) {
    unsigned char c = (unsigned char)*value;
    if (c == '"' || c == '\\')
      fcgi__text_add(text, "\\%c", c);
    else if (c < ' ' || c == 127)
      fcgi__text_add(text, "\\u%04x", c);
    else if (c > 127)
      fcgi__text_add(text, "\\ufffd");
    else
      fcgi__text_bytes(text, value, 1);
  }
  fcgi__text_bytes(text, "\"", 1);
}

void fcgi__text_html(fcgi__text *text, const char *value) {
  for (; *value; value++) {
    if (*value < ' ' || *value > '~')
      fcgi__text_bytes(text, "?", 1);
    else if (strchr("&<>\"'", *value))
      fcgi__text_add(text, "&#%d;", *value);
    else
      fcgi__text_bytes(text, value, 1);
  }
}

/* Lines for a person. */

static void text_name(fcgi__text *out, const char *key) {
  for (const char *at = key; *at; at++)
    fcgi__text_add(out, "%c", *at == '_' ? ' ' : *at);
}

static void text_row(fcgi__text *out, const char *key, uint64_t value) {
  text_name(out, key);
  fcgi__text_add(out, ":%*s%" PRIu64 "\n", (int)(20 - strlen(key)), "", value);
}

void fcgi__text_plain(fcgi__text *out, const char *value) {
  for (; *value; value++)
    fcgi__text_bytes(out, *value < ' ' || *value > '~' ? "?" : value, 1);
}

static void text_requests(fcgi__text *out, const fcgi_status_worker *worker) {
  for (size_t i = 0; i < worker->request_count; i++) {
    const fcgi_status_request *at = fcgi_status_request_at(worker, i);
    fcgi__text_add(out, "  %-8s %9.3f s  ", fcgi__phase_key(at->phase),
                   (double)at->age_us / 1e6);
    fcgi__text_plain(out, at->method);
    fcgi__text_add(out, " ");
    fcgi__text_plain(out, at->path);
    fcgi__text_add(out, "\n");
  }
}

void fcgi__status_text(fcgi__text *out, const fcgi_status *status) {
  static const double shares[] = {0.5, 0.95, 0.99};
  fcgi__text_add(out, "uptime:              %.0f s\n",
                 (double)status->age_us / 1e6);
  text_row(out, "generation", status->generation);
  if (status->listen_queue >= 0)
    text_row(out, "listen_queue", (uint64_t)status->listen_queue);
  for (unsigned i = 0; i < FCGI_METRICS; i++)
    text_row(out, fcgi__metric_at(i)->key,
             fcgi_status_metric(fcgi_status_total(status), i));
  for (unsigned i = 0; i < FCGI_SUPERVISED_EVENTS; i++)
    text_row(out, fcgi__supervised_key(i), fcgi_status_supervised(status, i));
  for (unsigned i = 0; i < 3; i++)
    fcgi__text_add(out, "latency p%.0f:         %.3f ms\n", shares[i] * 100,
                   (double)fcgi_status_quantile(fcgi_status_total(status), NULL,
                                                shares[i]) /
                       1e3);
  fcgi__resources_text(out, status);
  for (size_t i = 0; i < status->worker_count; i++) {
    const fcgi_status_worker *worker = fcgi_status_worker_at(status, i);
    fcgi__text_add(out,
                   "\nworker %" PRId64 ", %s, generation %u, for %.0f s: "
                   "%" PRIu64 " requests, %" PRIu64 " in handlers, %" PRIu64
                   " waiting\n",
                   worker->pid, fcgi__worker_state_key(worker->state),
                   worker->generation, (double)worker->age_us / 1e6,
                   fcgi_status_metric(worker, FCGI_METRIC_REQUESTS),
                   fcgi_status_metric(worker, FCGI_METRIC_ACTIVE),
                   fcgi_status_metric(worker, FCGI_METRIC_QUEUED));
    text_requests(out, worker);
  }
}

/* The members of one object. */

static void json_values(fcgi__text *out, const fcgi_status_worker *worker) {
  for (unsigned i = 0; i < FCGI_METRICS; i++)
    fcgi__text_add(out, "\"%s\":%" PRIu64 ",", fcgi__metric_at(i)->key,
                   fcgi_status_metric(worker, i));
  fcgi__text_add(out,
                 "\"latency_us\":{\"p50\":%" PRIu64 ",\"p95\":%" PRIu64
                 ",\"p99\":%" PRIu64 ",\"sum\":%" PRIu64 "}",
                 fcgi_status_quantile(worker, NULL, 0.5),
                 fcgi_status_quantile(worker, NULL, 0.95),
                 fcgi_status_quantile(worker, NULL, 0.99),
                 worker->latency_sum_us);
  fcgi__resources_json(out, worker);
}

static void json_requests(fcgi__text *out, const fcgi_status_worker *worker) {
  for (size_t i = 0; i < worker->request_count; i++) {
    const fcgi_status_request *at = fcgi_status_request_at(worker, i);
    fcgi__text_add(out, "%s{\"phase\":\"%s\",\"age_us\":%" PRIu64, i ? "," : "",
                   fcgi__phase_key(at->phase), at->age_us);
    fcgi__text_add(out, ",\"thread\":\"%" PRIx64 "\",\"method\":", at->thread);
    fcgi__text_json(out, at->method);
    fcgi__text_add(out, ",\"path\":");
    fcgi__text_json(out, at->path);
    fcgi__text_add(out, "}");
  }
}

static void json_worker(fcgi__text *out, const fcgi_status_worker *worker) {
  fcgi__text_add(out,
                 "{\"pid\":%" PRId64 ",\"state\":\"%s\",\"generation\":%u,"
                 "\"age_us\":%" PRIu64 ",\"silent_us\":%" PRIu64 ",",
                 worker->pid, fcgi__worker_state_key(worker->state),
                 worker->generation, worker->age_us, worker->silent_us);
  json_values(out, worker);
  fcgi__text_add(out, ",\"in_flight\":[");
  json_requests(out, worker);
  fcgi__text_add(out, "]}");
}

void fcgi__status_members(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_add(out,
                 "{\"supervisor\":%" PRId64 ",\"started_ms\":%" PRId64
                 ",\"age_us\":%" PRIu64 ",\"generation\":%u,",
                 status->supervisor, status->started_ms, status->age_us,
                 status->generation);
  fcgi__text_add(out,
                 "\"listen_queue\":%" PRId64 ",\"listen_queue_max\":%" PRId64
                 ",\"listen_queue_limit\":%" PRId64,
                 status->listen_queue, status->listen_queue_max,
                 status->listen_queue_limit);
  fcgi__text_add(out, ",\"events\":{");
  for (unsigned i = 0; i < FCGI_SUPERVISED_EVENTS; i++)
    fcgi__text_add(out, "%s\"%s\":%" PRIu64, i ? "," : "",
                   fcgi__supervised_key(i), fcgi_status_supervised(status, i));
  fcgi__text_add(out, "},\"total\":{");
  json_values(out, fcgi_status_total(status));
  fcgi__text_add(out, "},\"workers\":[");
  for (size_t i = 0; i < status->worker_count; i++) {
    fcgi__text_add(out, i ? "," : "");
    json_worker(out, fcgi_status_worker_at(status, i));
  }
  fcgi__text_add(out, "]}");
}

/* OpenMetrics 1.0: a family's TYPE and HELP come before its samples, names of
   counters end in _total, EOF ends it all. */

void fcgi__text_family(fcgi__text *out, const char *name, const char *type,
                       const char *help) {
  fcgi__text_add(out, "# TYPE fastcgi_%s %s\n# HELP fastcgi_%s %s\n", name,
                 type, name, help);
}

static void gauge(fcgi__text *out, const char *name, const char *help,
                  int64_t value) {
  fcgi__text_family(out, name, "gauge", help);
  fcgi__text_add(out, "fastcgi_%s %" PRId64 "\n", name, value);
}

/* Every fourth boundary, a doubling: fewer series, the same sums. */
static void latency(fcgi__text *out, const fcgi_status_worker *total) {
  uint64_t below = 0;
  fcgi__text_family(
      out, "request_duration_seconds", "histogram",
      "Time from a request's being ready for a handler to its end.");
  for (unsigned i = 0; i < FCGI__BOARD_BUCKETS; i++) {
    below += fcgi__status_inside(total)->latency[i];
    if (i % 4 == 0 && i + 4 < FCGI__BOARD_BUCKETS)
      fcgi__text_add(out,
                     "fastcgi_request_duration_seconds_bucket{le=\"%.6f\"} "
                     "%" PRIu64 "\n",
                     (double)(16ull << i / 4) / 1e6, below);
  }
  fcgi__text_add(out,
                 "fastcgi_request_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64
                 "\nfastcgi_request_duration_seconds_count %" PRIu64
                 "\nfastcgi_request_duration_seconds_sum %.6f\n",
                 below, below, (double)total->latency_sum_us / 1e6);
}

static void workers(fcgi__text *out, const fcgi_status *status) {
  fcgi__text_family(out, "workers", "gauge", "Workers by state.");
  for (unsigned state = 1; state < FCGI_WORKER_STATES; state++) {
    unsigned count = 0;
    for (size_t i = 0; i < status->worker_count; i++)
      count += fcgi_status_worker_at(status, i)->state == state;
    fcgi__text_add(out, "fastcgi_workers{state=\"%s\"} %u\n",
                   fcgi__worker_state_key(state), count);
  }
}

static void sample(fcgi__text *out, unsigned value, uint64_t amount) {
  const fcgi__metric_text *metric = fcgi__metric_at(value);
  const char *before = value > 0 ? fcgi__metric_at(value - 1)->family : "";
  if (strcmp(before, metric->family) != 0)
    fcgi__text_family(out, metric->family,
                      metric->is_gauge ? "gauge" : "counter", metric->help);
  fcgi__text_add(out, "fastcgi_%s%s", metric->family,
                 metric->is_gauge ? "" : "_total");
  if (*metric->label)
    fcgi__text_add(out, "{%s}", metric->label);
  fcgi__text_add(out, " %" PRIu64 "\n", amount);
}

void fcgi__status_openmetrics(fcgi__text *out, const fcgi_status *status) {
  for (unsigned i = 0; i < FCGI_METRICS; i++)
    sample(out, i, fcgi_status_metric(fcgi_status_total(status), i));
  latency(out, fcgi_status_total(status));
  fcgi__resources_openmetrics(out, status);
  for (unsigned i = 0; i < FCGI_SUPERVISED_EVENTS; i++) {
    char name[64];
    snprintf(name, sizeof name, "supervisor_%s", fcgi__supervised_key(i));
    fcgi__text_family(out, name, "counter", fcgi__supervised_help(i));
    fcgi__text_add(out, "fastcgi_%s_total %" PRIu64 "\n", name,
                   fcgi_status_supervised(status, i));
  }
  workers(out, status);
  gauge(out, "generation", "The youngest generation of workers.",
        status->generation);
  if (status->listen_queue >= 0)
    gauge(out, "listen_queue", "Connections that are not accepted yet.",
          status->listen_queue);
  fcgi__text_family(out, "start_time_seconds", "gauge",
                    "When it was started, in seconds since 1970.");
  fcgi__text_add(out, "fastcgi_start_time_seconds %.3f\n# EOF\n",
                 (double)status->started_ms / 1e3);
}

static void no_text(fcgi__text *out, const fcgi_status *status) {
  (void)status;
  out->failed = 1;
}

int fcgi_status_render(const fcgi_status *status, fcgi_status_format format,
                       char **out, size_t *len) {
  static void (*const formats[])(fcgi__text *, const fcgi_status *) = {
      [FCGI_STATUS_AS_TEXT] = fcgi__status_text,
      [FCGI_STATUS_AS_JSON] = fcgi__status_json,
      [FCGI_STATUS_AS_JSON_FULL] = fcgi__status_json_full,
      [FCGI_STATUS_AS_OPENMETRICS] = fcgi__status_openmetrics,
      [FCGI_STATUS_AS_HTML] = fcgi__status_html,
      [FCGI_STATUS_AS_FPM] = fcgi__status_fpm,
      [FCGI_STATUS_AS_FPM_FULL] = fcgi__status_fpm_full,
      [FCGI_STATUS_AS_XML] = fcgi__status_xml,
      [FCGI_STATUS_AS_XML_FULL] = fcgi__status_xml_full,
      [FCGI_STATUS_AS_RAW] = no_text,
  };
  fcgi__text text = {.data = NULL};
  if ((unsigned)format >= FCGI_STATUS_AS_RAW)
    return FCGI_ERR_INVALID;
  formats[format](&text, status);
  if (text.failed) {
    free(text.data);
    return FCGI_ERR_NOMEM;
  }
  *out = text.data;
  *len = text.len;
  return 0;
}

void fcgi_status_text_free(char *text) {
  free(text);
}
