/* SPDX-License-Identifier: MIT */
/* The keys of a WSGI environ that follow from several parameters. */
#ifndef FASTCGI_PYTHON_DERIVE_H
#define FASTCGI_PYTHON_DERIVE_H

#include "params.h"
#include "request.h"

/* The parameters that other keys are derived from: those read here, and those
   that the core looks at for the path. */
enum {
  DERIVE_SCRIPT_NAME,
  DERIVE_PATH_INFO,
  DERIVE_HTTPS,
  DERIVE_REQUEST_SCHEME,
  DERIVE_SERVER_NAME,
  DERIVE_SERVER_PORT,
  DERIVE_REQUEST_METHOD,
  DERIVE_SERVER_PROTOCOL,
  DERIVE_CONTENT_LENGTH,
  DERIVE_SCRIPT_FILENAME,
  DERIVE_READ,
  DERIVE_DOCUMENT_URI = DERIVE_READ,
  DERIVE_SERVER_SOFTWARE,
  DERIVE_REDIRECT_URL,
  DERIVE_REDIRECT_STATUS,
  DERIVE_DOCUMENT_ROOT,
  DERIVE_CONTEXT_DOCUMENT_ROOT,
  DERIVE_QUERY_STRING,
  DERIVE_SOURCES
};

#define DERIVE_ALL (~0u) /* A bit for each of them. */

typedef struct derive_sources {
  params_text at[DERIVE_READ];   /* What was sent. */
  PyObject *string[DERIVE_READ]; /* Lent, where it is one already, or NULL. */
} derive_sources;

/* Keys of a dict that depend on its last request. All 0: it is a copy of one
   with the defaults alone. */
typedef struct derive_memo {
  char https;       /* 1: the scheme is that. */
  char kept_script; /* 1: it has what was sent as SCRIPT_NAME, */
  char kept_path;   /* PATH_INFO, */
  char kept_file;   /* SCRIPT_FILENAME beside ours. */
} derive_memo;

/* Which parameter it is, or -1 for none. */
int derive_source(const char *name, size_t len);

/* Find those that are read here. */
void derive_find(const fcgi_params *params, derive_sources *out);

/* Whether the client came over HTTPS, by HTTPS, or else by REQUEST_SCHEME. */
int derive_is_https(const params_text *https, const params_text *scheme);

/* Put in what PEP 3333 requires and a web server may leave out. */
int derive_defaults(PyObject *base);

/* Set the keys for `request`, whose handle the caller uses, that follow from
   those `changed`, which is all for a dict that has none yet. */
int derive_keys(const request_object *request, PyObject *dict,
                const derive_sources *from, derive_memo *memo,
                unsigned changed);

/* Take `name` out, where it is there. */
int derive_drop(PyObject *dict, const char *name);

/* Set `key` and let go of `value`, which may be NULL with an exception. */
int derive_set(PyObject *dict, const char *key, PyObject *value);

#endif
