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

typedef struct path_text {
  const char *data; /* NULL when the parameter is absent. */
  size_t len;       /* Bytes in it. */
} path_text;

typedef struct path_sent {
  path_text script; /* SCRIPT_NAME. */
  path_text info;   /* PATH_INFO. */
  path_text uri;    /* REQUEST_URI. */
} path_sent;

/* The parameter `name`, as fcgi_params_get has it. */
path_text path_get(const fcgi_params *params, const char *name);

/* Fill `out` with new references; `root` is the configured mount point, a
   Latin-1 string without a final slash, or NULL when none is configured. */
int path_split(const path_sent *sent, PyObject *root, path_pair *out);

#endif
