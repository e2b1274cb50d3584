/* SPDX-License-Identifier: MIT */
#ifndef FCGI_TOOLS_CPUS_H
#define FCGI_TOOLS_CPUS_H

/* The processors that this process may use, or fewer where the quota of a
   control group, or of one above it, is less than that: from 1. */
int tool_cpus(void);

#endif
