/* SPDX-License-Identifier: MIT */
/* Playing all cases, and looking after the application. */
#ifndef FCGI_SPEC_RUN_H
#define FCGI_SPEC_RUN_H

#include "report.h"

/* Learn how the application answers a plain request: 0, or an exit status
   after a complaint when it does not. */
int run_first(spec_target *target);

/* Play all cases and report: an exit status, after a complaint when the
   application did not live to the end. */
int run_all(const spec_target *target, report *r, spec_case *cases);

#endif
