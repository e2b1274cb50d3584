/* SPDX-License-Identifier: MIT */
/* The version of the library, as numbers and as text. */
#ifndef FASTCGI_VERSION_H
#define FASTCGI_VERSION_H

#include <fastcgi/export.h>

#define FCGI_VERSION_MAJOR 0
#define FCGI_VERSION_MINOR 1
#define FCGI_VERSION_PATCH 0
#define FCGI_VERSION_TEXT  "0.1.0"

/* Returns the version of the library in use, which may be newer than the
   headers compiled against. Static; any thread. */
FCGI_EXPORT const char *fcgi_version(void);

#endif
