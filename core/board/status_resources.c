/* SPDX-License-Identifier: MIT */
/* Resources as text. */
#include "board/status.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What persons look at, in this order. */
static const fcgi_metric shown[] = {
    FCGI_METRIC_RESOURCES_OPEN,    FCGI_METRIC_RESOURCES_IN_USE,
    FCGI_METRIC_RESOURCES_WAITING, FCGI_METRIC_RESOURCES_OPENED,
    FCGI_METRIC_RESOURCES_FAILED,  FCGI_METRIC_RESOURCES_REFUSED,
    FCGI_METRIC_RESOURCES_WAITED,  FCGI_METRIC_RESOURCES_WAITED_MS};

enum { SHOWN = sizeof shown / sizeof *shown };

void fcgi__resources_text(fcgi__text *out, const fcgi_status *status) {
  const fcgi_status_resource *at;
  const fcgi_status_worker *total = fcgi_status_total(status);
  for (size_t i = 0; (at = fcgi_status_resource_at(total, i)) != NULL; i++) {
    fcgi__text_add(out, "resource ");
    fcgi__text_plain(out, at->name);
    fcgi__text_add(out,
                   ": open %" PRIu64 ", in use %" PRIu64 ", waiting %" PRIu64
                   ", opened %" PRIu64 ", failed %" PRIu64 ", refused %" PRIu64
                   ", waited %" PRIu64 " times, %" PRIu64 " ms\n",
                   fcgi_status_resource_metric(at, shown[0]),
                   fcgi_status_resource_metric(at, shown[1]),
                   fcgi_status_resource_metric(at, shown[2]),
                   fcgi_status_resource_metric(at, shown[3]),
                   fcgi_status_resource_metric(at, shown[4]),
                   fcgi_status_resource_metric(at, shown[5]),
                   fcgi_status_resource_metric(at, shown[6]),
                   fcgi_status_resource_metric(at, shown[7]));
  }
}

/* In a resource's own object, "resources_open" is "open". */
static const char *key_of(unsigned metric) {
  static const char plural[] = "resources_";
  const char *key = fcgi__metric_at(metric)->key;
  return strncmp(key, plural, sizeof plural - 1) == 0 ? key + sizeof plural - 1
                                                      : key;
}

static void json_one(fcgi__text *out, const fcgi_status_resource *at) {
  fcgi__text_add(out, "{\"name\":");
  fcgi__text_json(out, at->name);
  for (unsigned i = 0; i < FCGI__ROW_METRICS; i++)
    fcgi__text_add(out, ",\"%s\":%" PRIu64, key_of(FCGI__ROW_FIRST + i),
                   fcgi_status_resource_metric(at, FCGI__ROW_FIRST + i));
  fcgi__text_add(out, ",\"waits\":[");
  for (unsigned i = 0; i < FCGI_RESOURCE_WAITS; i++)
    fcgi__text_add(out, "%s%" PRIu64, i ? "," : "",
                   fcgi_status_resource_waits(at, i));
  fcgi__text_add(out, "]}");
}

void fcgi__resources_json(fcgi__text *out, const fcgi_status_worker *worker) {
  fcgi__text_add(out, ",\"resources\":[");
  for (size_t i = 0; i < worker->resource_count; i++) {
    fcgi__text_add(out, i ? "," : "");
    json_one(out, fcgi_status_resource_at(worker, i));
  }
  fcgi__text_add(out, "]");
}

/* A value of a label, escaped as for JSON, which suits OpenMetrics too but for
   control characters: those become "?". */
static void label(fcgi__text *out, const fcgi_status_resource *at) {
  char plain[FCGI__BOARD_NAME];
  size_t len = 0;
  for (; at->name[len]; len++)
    plain[len] =
        at->name[len] < ' ' || at->name[len] > '~' ? '?' : at->name[len];
  plain[len] = '\0';
  fcgi__text_add(out, "resource=");
  fcgi__text_json(out, plain);
}

/* The sum over all is a family of its own, which would be counted twice. */
static void metric_family(fcgi__text *out, unsigned metric,
                          const fcgi_status_worker *total) {
  const fcgi__metric_text *text = fcgi__metric_at(metric);
  const char *name = text->family + strlen("resources");
  char full[64];
  snprintf(full, sizeof full, "resource%s", name);
  if (strcmp(fcgi__metric_at(metric - 1)->family, text->family) != 0)
    fcgi__text_family(out, full, text->is_gauge ? "gauge" : "counter",
                      text->help);
  for (size_t i = 0; i < total->resource_count; i++) {
    const fcgi_status_resource *at = fcgi_status_resource_at(total, i);
    fcgi__text_add(out, "fastcgi_%s%s{", full, text->is_gauge ? "" : "_total");
    label(out, at);
    fcgi__text_add(out, "%s%s} %" PRIu64 "\n", *text->label ? "," : "",
                   text->label, fcgi_status_resource_metric(at, metric));
  }
}

static void waits(fcgi__text *out, const fcgi_status_resource *at) {
  uint64_t below = 0;
  for (unsigned i = 0; i < FCGI_RESOURCE_WAITS; i++) {
    below += fcgi_status_resource_waits(at, i);
    fcgi__text_add(out, "fastcgi_resource_wait_seconds_bucket{");
    label(out, at);
    if (i < FCGI_RESOURCE_WAITS - 1)
      fcgi__text_add(out, ",le=\"%.3f\"} %" PRIu64 "\n",
                     (double)(1u << i) / 1e3, below);
  }
  fcgi__text_add(out, ",le=\"+Inf\"} %" PRIu64 "\n", below);
  fcgi__text_add(out, "fastcgi_resource_wait_seconds_count{");
  label(out, at);
  fcgi__text_add(out, "} %" PRIu64 "\nfastcgi_resource_wait_seconds_sum{",
                 below);
  label(out, at);
  fcgi__text_add(
      out, "} %.3f\n",
      (double)fcgi_status_resource_metric(at, FCGI_METRIC_RESOURCES_WAITED_MS) /
          1e3);
}

void fcgi__resources_openmetrics(fcgi__text *out, const fcgi_status *status) {
  const fcgi_status_worker *total = fcgi_status_total(status);
  if (total->resource_count == 0)
    return;
  for (unsigned i = 0; i < FCGI__ROW_METRICS; i++)
    metric_family(out, FCGI__ROW_FIRST + i, total);
  fcgi__text_family(out, "resource_wait_seconds", "histogram",
                    "Time that takes have waited, of those that had to.");
  for (size_t i = 0; i < total->resource_count; i++)
    waits(out, fcgi_status_resource_at(total, i));
}

/* The script fills in the rows again from JSON. */
void fcgi__resources_html(fcgi__text *out, const fcgi_status *status) {
  const fcgi_status_resource *at;
  const fcgi_status_worker *total = fcgi_status_total(status);
  fcgi__text_add(out,
                 "<section id=kept%s><h2>Resources</h2><div class=wide>"
                 "<table><thead><tr>",
                 total->resource_count ? "" : " hidden");
  fcgi__text_add(out, "<th>name<th>open<th>in use<th>waiting<th>opened"
                      "<th>failed<th>refused<th>waited<th>ms waited</thead>"
                      "<tbody id=resources>");
  for (size_t i = 0; (at = fcgi_status_resource_at(total, i)) != NULL; i++) {
    fcgi__text_add(out, "<tr><td>");
    fcgi__text_html(out, at->name);
    for (unsigned j = 0; j < SHOWN; j++)
      fcgi__text_add(out, "<td>%" PRIu64,
                     fcgi_status_resource_metric(at, shown[j]));
  }
  fcgi__text_add(out, "</tbody></table></div></section>");
}
