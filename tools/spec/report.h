/* SPDX-License-Identifier: MIT */
/* What `fcgi spec` prints. */
#ifndef FCGI_SPEC_REPORT_H
#define FCGI_SPEC_REPORT_H

#include "spec.h"

typedef enum report_form {
  REPORT_TEXT = 0,
  REPORT_JSON,
  REPORT_JUNIT
} report_form;

typedef struct report {
  report_form form;          /* For whom. */
  int verbose;               /* TEXT: 1: a line for every case. */
  int strict;                /* 1: failures of every kind count. */
  const spec_target *target; /* The application. */
  const spec_case *cases;    /* All that were selected. */
  size_t count;              /* Number of cases. */
} report;

/* A case has been played. */
void report_case(const report *r, const spec_case *c);

/* All have; `seconds` is how long that took. */
void report_end(const report *r, double seconds);

/* Failures that count for the exit status. */
size_t report_failures(const report *r);

/* What a case is: title, origin, what it sends and what must come back. */
void report_explain(const spec_case *c);

/* One line about it. */
void report_list(const spec_case *c);

#endif
