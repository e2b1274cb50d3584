/* SPDX-License-Identifier: MIT */
/* The module's state: one for each interpreter that imports it. Nothing else
   in the module outlives a call, so interpreters never share an object. */
#ifndef FASTCGI_PYTHON_STATE_H
#define FASTCGI_PYTHON_STATE_H

#include "compat.h"
#include <fastcgi/fastcgi.h>
#include <stdatomic.h>

/* X(field, text): strings used on the path of a request, interned. */
#define STATE_STRINGS(X)                                                       \
  X(script_name, "SCRIPT_NAME")                                                \
  X(path_info, "PATH_INFO")                                                    \
  X(orig_script_name, "fastcgi.orig.SCRIPT_NAME")                              \
  X(orig_path_info, "fastcgi.orig.PATH_INFO")                                  \
  X(script_filename, "SCRIPT_FILENAME")                                        \
  X(orig_script_filename, "fastcgi.orig.SCRIPT_FILENAME")                      \
  X(wsgi_input, "wsgi.input")                                                  \
  X(wsgi_url_scheme, "wsgi.url_scheme")                                        \
  X(fastcgi_request, "fastcgi.request")                                        \
  X(http, "http")                                                              \
  X(https, "https")                                                            \
  X(empty, "")                                                                 \
  X(close, "close")                                                            \
  X(fileno, "fileno")                                                          \
  X(read, "read")                                                              \
  X(tell, "tell")                                                              \
  X(join, "join")                                                              \
  X(status, "Status")                                                          \
  X(stir, "stir")                                                              \
  X(abort, "abort")                                                            \
  X(asgi, "asgi")                                                              \
  X(extensions, "extensions")                                                  \
  X(state_key, "state")                                                        \
  X(http_version, "http_version")                                              \
  X(method, "method")                                                          \
  X(scheme, "scheme")                                                          \
  X(path, "path")                                                              \
  X(raw_path, "raw_path")                                                      \
  X(query_string, "query_string")                                              \
  X(root_path, "root_path")                                                    \
  X(headers, "headers")                                                        \
  X(client, "client")                                                          \
  X(server, "server")                                                          \
  X(fastcgi_aborted, "fastcgi.aborted")

/* One class for each code of FCGI_ERROR_MAP, in its order. */
enum {
#define STATE_ERROR_INDEX(name, number, text) ERROR_##name,
  FCGI_ERROR_MAP(STATE_ERROR_INDEX)
#undef STATE_ERROR_INDEX
      ERROR_COUNT
};

typedef struct core_state {
  PyTypeObject *server_type;         /* fastcgi._core.Server */
  PyTypeObject *request_type;        /* fastcgi._core.Request */
  PyTypeObject *start_response_type; /* Callable given to WSGI applications. */
  PyTypeObject *file_wrapper_type;   /* fastcgi._core.FileWrapper */
  PyTypeObject *options_type;        /* fastcgi._core.Options */
  PyTypeObject *shared_type;         /* fastcgi._core.Shared */
  PyTypeObject *resource_type;       /* fastcgi._core.Resource */
  PyObject *error;                   /* fastcgi.Error */
  PyObject *errors[ERROR_COUNT];     /* What each code raises. */
  PyObject *unavailable;             /* fastcgi.Unavailable */
  Py_tss_t serving;                  /* The serve_loop of a thread. */
  atomic_int gives_way;              /* 1: another worker may wait for what a
                                        resource has. */
  atomic_int tidy_ms;                /* How often threads that serve tidy up;
                                        0: there is no resource. */
  PyObject *names;                   /* Known parameter names, interned. */
  PyObject *empty_bytes;             /* b"" */
#define STATE_FIELD(field, text) PyObject *field;
  STATE_STRINGS(STATE_FIELD)
#undef STATE_FIELD
} core_state;

extern struct PyModuleDef core_module;

/* The state for `type` or, for a subclass made in Python, for the base that
   this module made. NULL with an exception when there is none. */
core_state *state_of_type(PyTypeObject *type);

/* Make the exceptions and add them to the module. */
int errors_init(PyObject *module, core_state *state);

/* Raise what stands for `code`; `detail` NULL takes the code's own text. Reads
   errno for FCGI_ERR_SYSTEM. Returns NULL always. */
PyObject *error_set(core_state *state, int code, const char *detail);

/* The same for a code that writing or ending an answer gave. */
PyObject *error_set_write(core_state *state, int code);

/* 1 when the exception now raised says that the client is gone. */
int error_is_disconnect(core_state *state);

/* Functions of the module itself. */
PyObject *abort_raise_in_thread(PyObject *module, PyObject *args);
PyObject *supervisor_run(PyObject *module, PyObject *args, PyObject *kwargs);

extern PyType_Spec server_spec;
extern PyType_Spec request_spec;
extern PyType_Spec start_response_spec;
extern PyType_Spec file_wrapper_spec;
extern PyType_Spec options_spec;
extern PyType_Spec shared_spec;
extern PyType_Spec resource_spec;

#endif
