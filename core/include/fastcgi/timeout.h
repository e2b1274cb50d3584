/* SPDX-License-Identifier: MIT */
/* Two values that a timeout, whether a field or an argument, takes besides a
   number of milliseconds. A field that is 0 takes its default; an argument that
   is 0 means FCGI_WAIT_NEVER. */
#ifndef FASTCGI_TIMEOUT_H
#define FASTCGI_TIMEOUT_H

enum {
  FCGI_WAIT_FOREVER = -1, /* Wait without a limit. */
  FCGI_WAIT_NEVER = -2    /* Do not wait. Time limits that are not waits, such
                             as idle_timeout_ms, refuse it. */
};

#endif
