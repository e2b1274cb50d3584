/* SPDX-License-Identifier: MIT */
/* The reports for programs. */
#ifndef FCGI_SPEC_REPORT_DATA_H
#define FCGI_SPEC_REPORT_DATA_H

#include "report.h"

/* How many cases ended in each way. */
typedef struct tally {
  size_t of[3]; /* By spec_result. */
} tally;

/* The cases of a section, NULL for all. */
tally report_tally(const report *r, const char *section);

/* 1 when the case is the first of its section. */
int report_is_first(const report *r, size_t i);

/* 1 when the case has failed and that counts. */
int report_counts(const spec_case *c, int strict);

void report_json(const report *r, double seconds);
void report_junit(const report *r, double seconds);

#endif
