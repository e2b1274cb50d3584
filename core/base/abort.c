/* SPDX-License-Identifier: MIT */
#include <fastcgi/event.h>

const char *fcgi_abort_name(fcgi_abort_reason reason) {
  switch (reason) {
  case FCGI_ABORT_NONE:
    return NULL;
#define NAME(name, key, help)                                                  \
  case FCGI_ABORT_##name:                                                      \
    return #key;
    FCGI_ABORT_MAP(NAME)
#undef NAME
  }
  return "unknown";
}
