/* SPDX-License-Identifier: MIT */
/* Two values that every timeout takes besides a number of milliseconds, be it a
   field of a configuration or an argument. In a field 0 is the default; as an
   argument it is FCGI_WAIT_NEVER. */
#ifndef FASTCGI_TIMEOUT_H
#define FASTCGI_TIMEOUT_H

enum {
  FCGI_WAIT_FOREVER = -1, /* There is no limit. */
  FCGI_WAIT_NEVER = -2    /* Nothing is waited for. Limits that are no waits,
                             such as idle_timeout_ms, refuse it. */
};

#endif
