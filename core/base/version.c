/* SPDX-License-Identifier: MIT */
#include <fastcgi/version.h>

const char *fcgi_version(void) {
  return FCGI_VERSION_TEXT;
}
