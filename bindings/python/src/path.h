/* SPDX-License-Identifier: MIT */
/* The one place that turns what each web server sends into the pair
   SCRIPT_NAME and PATH_INFO. */
#ifndef FASTCGI_PYTHON_PATH_H
#define FASTCGI_PYTHON_PATH_H

#include "state.h"

typedef struct path_pair {
  PyObject *script_name; /* Where the application is mounted. */
  PyObject *path_info;   /* The rest of the path, decoded. */
} path_pair;

/* Fill `out` with new references; `root` is the configured mount point, a
   Latin-1 string without a final slash, or NULL when none is configured. */
int path_split(const fcgi_params *params, PyObject *root, path_pair *out);

#endif
