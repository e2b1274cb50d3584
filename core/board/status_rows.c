/* SPDX-License-Identifier: MIT */
/* What a status knows of resources: those of one name are one, in each worker
   and in the total. */
#include "board/status.h"
#include <stdlib.h>
#include <string.h>

int fcgi__status_make_room(fcgi__status *status, size_t slots) {
  size_t all = (slots + 1) * FCGI__BOARD_ROWS;
  status->resources = calloc(2 * all, sizeof *status->resources);
  status->total.resources = status->resources;
  status->next_resource = status->resources ? status->resources + all : NULL;
  return status->resources ? 0 : -1;
}

/* Of a worker, or of the total; there is room for one more. */
static fcgi__status_resource *find(fcgi__status_worker *in, const char *name) {
  fcgi__status_resource *at = in->resources;
  size_t left = in->shown.resource_count;
  while (left > 0 && strcmp(at->name, name) != 0) {
    at++;
    left--;
  }
  if (left > 0)
    return at;
  in->shown.resource_count++;
  memcpy(at->name, name, sizeof at->name);
  at->shown.name = at->name;
  return at;
}

static void add(fcgi__status_worker *in, const char *name,
                const fcgi__board_row *row) {
  fcgi__status_resource *to = find(in, name);
  for (unsigned i = 0; i < FCGI__ROW_COUNTS; i++)
    to->counts[i] += atomic_load(&row->counts[i]);
  for (unsigned i = 0; i < FCGI__ROW_METRICS; i++)
    in->values[FCGI__ROW_FIRST + i] += atomic_load(&row->counts[i]);
}

void fcgi__status_read_rows(fcgi__status *status, fcgi__status_worker *worker,
                            const fcgi__board_row rows[FCGI__BOARD_ROWS]) {
  for (unsigned i = 0; i < FCGI__BOARD_ROWS; i++) {
    char name[FCGI__BOARD_NAME];
    fcgi__board_read_text(name, sizeof name, rows[i].name);
    if (!name[0])
      continue;
    add(&status->total, name, &rows[i]);
    if (worker)
      add(worker, name, &rows[i]);
  }
}

const fcgi_status_resource *
fcgi_status_resource_at(const fcgi_status_worker *worker, size_t index) {
  return index < worker->resource_count
             ? &fcgi__status_inside(worker)->resources[index].shown
             : NULL;
}

static const fcgi__status_resource *
inside(const fcgi_status_resource *resource) {
  return (const fcgi__status_resource *)(const void *)resource;
}

uint64_t fcgi_status_resource_metric(const fcgi_status_resource *resource,
                                     fcgi_metric metric) {
  return fcgi__row_has((unsigned)metric)
             ? inside(resource)->counts[fcgi__row_at(metric)]
             : 0;
}

uint64_t fcgi_status_resource_waits(const fcgi_status_resource *resource,
                                    unsigned bucket) {
  return bucket < FCGI_RESOURCE_WAITS
             ? inside(resource)->counts[FCGI__ROW_METRICS + bucket]
             : 0;
}
