/* SPDX-License-Identifier: MIT */
/* The Python object for one request. It may outlive the request: then every
   use of it raises StateError. */
#ifndef FASTCGI_PYTHON_REQUEST_H
#define FASTCGI_PYTHON_REQUEST_H

#include "server.h"
#include <stdatomic.h>

/* `uses` once the request has ended. */
#define REQUEST_ENDED (-1)

typedef struct request_object {
  PyObject_HEAD
  core_state *state;     /* The module's. */
  server_object *server; /* Owned; held until the request ends. */
  fcgi_request *handle;  /* Valid while `uses` is 0 or more. */
  atomic_int uses;       /* Calls that use the handle now, or ENDED. */
  atomic_int looks;      /* Calls that ask whether it is aborted. */
  atomic_flag reading;   /* Set while one thread reads the body. */
  PyObject *params;      /* The dict, or NULL until it is asked for. */
  char *ahead;           /* Bytes readline has read beyond its line. */
  size_t ahead_at;       /* Where they begin in `ahead`. */
  size_t ahead_len;      /* How many they are. */
  int64_t length;        /* CONTENT_LENGTH, or -1. */
  unsigned role;         /* An fcgi_role or a custom number. */
  uint16_t id;           /* The id on its connection. */
  char begun;            /* 1 once the answer has begun. */
  char exhausted;        /* 1 when reading after the end gives b"". */
  char looped;           /* 1: an event loop of Python's has it, for whose
                            events the handle refers to this object. */
  PyObject *exchange;    /* ASGI: who hears of the events, or NULL. */
  struct reply *head;    /* ASGI: of an answer that has not begun, or NULL. */
  int64_t taken;         /* ASGI: bytes of the body that were received. */
} request_object;

/* Make the object for a request just handed out; on failure the request is
   failed and NULL returned with an exception. */
request_object *request_new(server_object *server, fcgi_request *handle);

/* 1 when it has ended and the `refs` references of the caller's are the only
   ones: nobody can tell then that it becomes another request. */
int request_is_unused(const request_object *self, Py_ssize_t refs);

/* Make it the object of another request. */
void request_renew(request_object *self, fcgi_request *handle);

/* Free what an ended request need not keep. */
void request_empty(request_object *self);

/* Begin a use of the handle; NULL with StateError when the request has ended.
   Each success is matched by request_leave. Neither needs the GIL to be safe
   against a thread that ends the request meanwhile. */
fcgi_request *request_enter(request_object *self);

/* The same for a call that reads or writes: StateError in a fork too. */
fcgi_request *request_use(request_object *self);

void request_leave(request_object *self);

/* The same for a call that returns at once, from any thread: who ends the
   request waits for it instead of failing. */
fcgi_request *request_look(request_object *self);
void request_look_away(request_object *self);
/* Says that it lacks what `why` names, if it has not ended. */
void request_set_unavailable(request_object *self, const char *why);

/* Take the handle for good, to end it: from now on all uses raise. NULL when
   it has ended, or when another thread uses it; `quiet` sets no exception. */
fcgi_request *request_claim(request_object *self, int quiet);

/* The claimed handle is not ended after all. */
void request_unclaim(request_object *self);

/* Call it when the claimed handle is dead, or another object's. Needs no GIL.
 */
void request_closed(request_object *self);

/* Claim the request and fail it, when it is still open. */
void request_abandon(request_object *self);

/* 1 while it has not ended. */
int request_open(request_object *self);

/* Read into `data` until it is full or the body ends; with `once`, at most one
   read. -1 with an exception. */
Py_ssize_t body_read(request_object *self, char *data, Py_ssize_t len,
                     int once);

/* Whether the descriptor of a file gives what its read() would: that is sure
   only of what open(path, "rb") and its like return. What is in the file's
   buffer has been written then. Sets no exception. */
int file_is_plain(PyObject *file);

/* The head of the answer is not needed any more. */
void asgi_drop_head(request_object *self);

/* Methods of the type, by file. */
PyObject *body_method_read(PyObject *self, PyObject *const *args,
                           Py_ssize_t count);
PyObject *body_method_read1(PyObject *self, PyObject *const *args,
                            Py_ssize_t count);
PyObject *body_method_readinto(PyObject *self, PyObject *target);
PyObject *body_method_readline(PyObject *self, PyObject *const *args,
                               Py_ssize_t count);
PyObject *body_method_readlines(PyObject *self, PyObject *const *args,
                                Py_ssize_t count);
PyObject *body_method_read_data(PyObject *self, PyObject *const *args,
                                Py_ssize_t count);
PyObject *body_next_line(PyObject *self);
PyObject *answer_method_start(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *answer_method_write(PyObject *self, PyObject *data);
PyObject *answer_method_write_stderr(PyObject *self, PyObject *text);
PyObject *answer_method_flush(PyObject *self, PyObject *unused);
PyObject *answer_method_reply(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *answer_method_allow(PyObject *self, PyObject *args);
PyObject *answer_method_send_file(PyObject *self, PyObject *args,
                                  PyObject *kwargs);
PyObject *answer_method_end(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *answer_method_fail(PyObject *self, PyObject *unused);
PyObject *retry_method_want(PyObject *self, PyObject *unused);
PyObject *asgi_method_scope(PyObject *self, PyObject *const *args,
                            Py_ssize_t count);
PyObject *asgi_method_read(PyObject *self, PyObject *unused);
PyObject *asgi_method_head(PyObject *self, PyObject *const *args,
                           Py_ssize_t count);
PyObject *asgi_method_send(PyObject *self, PyObject *const *args,
                           Py_ssize_t count);
PyObject *asgi_method_send_path(PyObject *self, PyObject *path);
PyObject *asgi_method_failed(PyObject *self, PyObject *const *args,
                             Py_ssize_t count);
PyObject *abort_get_reason(PyObject *self, void *unused);
PyObject *abort_method_on(PyObject *self, PyObject *args, PyObject *kwargs);
PyObject *abort_method_raise(PyObject *self, PyObject *args, PyObject *kwargs);

/* A new callable that returns request.aborted, for environ. */
PyObject *abort_callable(request_object *request);

#endif
