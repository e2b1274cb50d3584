/* SPDX-License-Identifier: MIT */
/* The numbers of a resource in shared memory: where each of them lies. */
#ifndef FCGI_BASE_ROW_H
#define FCGI_BASE_ROW_H

#include <fastcgi/resource.h>
#include <fastcgi/status.h>

enum {
  /* The first metric of resources, how many there are, and how many numbers a
     row has: these, and the buckets of waits behind them. */
  FCGI__ROW_FIRST = FCGI_METRIC_RESOURCES_OPEN,
  FCGI__ROW_METRICS = FCGI_METRIC_CLOSED_STOPPED - FCGI__ROW_FIRST + 1,
  FCGI__ROW_COUNTS = FCGI__ROW_METRICS + FCGI_RESOURCE_WAITS
};

/* Where a metric of resources is; the buckets of waits are behind these. */
static inline unsigned fcgi__row_at(fcgi_metric metric) {
  return (unsigned)metric - FCGI__ROW_FIRST;
}

/* 1: it is one of resources, and so in a row. */
static inline int fcgi__row_has(unsigned metric) {
  return metric - FCGI__ROW_FIRST < FCGI__ROW_METRICS;
}

#endif
