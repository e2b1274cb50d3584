/* SPDX-License-Identifier: MIT */
/* How many processors there are for this process. */
#ifndef FCGI_OPTIONS_CPUS_H
#define FCGI_OPTIONS_CPUS_H

/* The processors that this process may use, or fewer where the quota of a
   control group, or of one above it, is less than that, rounded up; at least 1.
   `root` goes in front of /proc and /sys. */
int fcgi__cpus(const char *root);

#endif
