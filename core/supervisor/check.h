/* SPDX-License-Identifier: MIT */
/* What would keep a supervisor or its workers from the files that the
   configuration names. */
#ifndef FCGI_SUPERVISOR_CHECK_H
#define FCGI_SUPERVISOR_CHECK_H

#include "supervisor/supervisor.h"

/* Whether they could be opened, by whoever would do it. The working directory
   and the identity are found already. No file is made or changed. 0, or -1 with
   one line in `why`. */
int fcgi__check_files(const fcgi__supervisor *s, char *why, size_t why_len);

#endif
