/* SPDX-License-Identifier: MIT */
#include "start_response.h"
#include "params.h"
#include <stddef.h>
#include <structmember.h>

static PyObject *start_response_call(PyObject *callable, PyObject *const *args,
                                     size_t flags, PyObject *names);

static PyObject *method_write(PyObject *object, PyObject *block) {
  start_response *self = (start_response *)object;
  if (start_response_write(self, block) < 0)
    return NULL;
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"write", method_write, METH_O,
     "write($self, data, /)\n--\n\nTransmit bytes of the body."},
    {NULL, NULL, 0, NULL},
};

start_response *start_response_new(request_object *request) {
  start_response *self =
      PyObject_GC_New(start_response, request->state->start_response_type);
  if (self == NULL)
    return NULL;
  self->call = start_response_call;
  self->request = (request_object *)Py_NewRef((PyObject *)request);
  self->line = NULL;
  self->headers = NULL;
  self->write = NULL;
  start_response_renew(self);
  PyObject_GC_Track(self);
  return self;
}

int start_response_is_unused(const start_response *self) {
  const PyCFunctionObject *write = (const PyCFunctionObject *)self->write;
  if (write == NULL)
    return Py_REFCNT(self) == 1;
  return Py_REFCNT(self) == 2 && Py_REFCNT(write) == 1 &&
         write->m_weakreflist == NULL;
}

void start_response_drop(start_response *self) {
  Py_CLEAR(self->write);
  Py_DECREF(self);
}

void start_response_renew(start_response *self) {
  Py_CLEAR(self->line);
  Py_CLEAR(self->headers);
  self->left = -1;
  self->status = 0;
  self->begun = 0;
  self->no_body = 0;
}

static int traverse(PyObject *object, visitproc visit, void *arg) {
  start_response *self = (start_response *)object;
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(self->request);
  Py_VISIT(self->line);
  Py_VISIT(self->headers);
  Py_VISIT(self->write);
  return 0;
}

static int clear(PyObject *object) {
  Py_CLEAR(((start_response *)object)->line);
  Py_CLEAR(((start_response *)object)->headers);
  Py_CLEAR(((start_response *)object)->write);
  return 0;
}

static void dealloc(PyObject *object) {
  PyTypeObject *type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  clear(object);
  Py_CLEAR(((start_response *)object)->request);
  PyObject_GC_Del(object);
  Py_DECREF(type);
}

/* The number of "404 Not Found": three digits, a blank and a reason of any
   words, or the digits alone; -1 when it is something else. */
static int status_number(PyObject *status) {
  Py_ssize_t len = PyUnicode_GET_LENGTH(status);
  int kind = PyUnicode_KIND(status), number = 0;
  const void *data = PyUnicode_DATA(status);
  if (len < 3 || (len > 3 && PyUnicode_READ(kind, data, 3) != ' '))
    return -1;
  for (Py_ssize_t i = 0; i < 3; i++) {
    Py_UCS4 digit = PyUnicode_READ(kind, data, i);
    if (digit < '0' || digit > '9')
      return -1;
    number = number * 10 + (int)(digit - '0');
  }
  return number >= 100 ? number : -1;
}

static int parse_status(PyObject *status) {
  if (!PyUnicode_Check(status)) {
    PyErr_Format(PyExc_TypeError, "the status must be str, not %.100s",
                 Py_TYPE(status)->tp_name);
    return -1;
  }
#if PY_VERSION_HEX < 0x030c0000
  if (PyUnicode_READY(status) < 0)
    return -1;
#endif
  int number = status_number(status);
  if (number < 0)
    PyErr_Format(PyExc_ValueError, "not a status line: %A", status);
  return number;
}

/* With exc_info a second call replaces the first, or re-raises when it is too
   late for that; without, it is a mistake. */
static int check_again(start_response *self, PyObject *exc_info) {
  if (exc_info == NULL || exc_info == Py_None) {
    if (self->headers == NULL)
      return 0;
    PyErr_SetString(self->request->state->errors[ERROR_STATE],
                    "start_response was called already");
    return -1;
  }
  if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3) {
    PyErr_SetString(PyExc_TypeError, "exc_info must be a tuple of 3");
    return -1;
  }
  if (!self->begun)
    return 0;
  PyErr_Restore(Py_NewRef(PyTuple_GET_ITEM(exc_info, 0)),
                Py_NewRef(PyTuple_GET_ITEM(exc_info, 1)),
                Py_NewRef(PyTuple_GET_ITEM(exc_info, 2)));
  return -1;
}

/* The third argument, by position or as exc_info=. */
static int third(PyObject *const *args, Py_ssize_t count, PyObject *names,
                 PyObject **exc_info) {
  Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
  int ok = count + named <= 3 && count >= 2 && named <= 1;
  if (ok && named == 1)
    ok = PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0),
                                          "exc_info") == 0;
  if (!ok) {
    PyErr_SetString(PyExc_TypeError, "start_response takes status, headers "
                                     "and optionally exc_info");
    return -1;
  }
  *exc_info = count + named == 3 ? args[2] : NULL;
  return 0;
}

/* Kept, since nearly every application drops it at once. Without a GIL it would
   be made anew by the next request anyway. */
static PyObject *write_of(start_response *self) {
#ifndef Py_GIL_DISABLED
  if (self->write == NULL)
    self->write = PyCFunction_New(&methods[0], (PyObject *)self);
  return Py_XNewRef(self->write);
#else
  return PyCFunction_New(&methods[0], (PyObject *)self);
#endif
}

static PyObject *start_response_call(PyObject *callable, PyObject *const *args,
                                     size_t flags, PyObject *names) {
  start_response *self = (start_response *)callable;
  PyObject *exc_info;
  if (third(args, PyVectorcall_NARGS(flags), names, &exc_info) < 0 ||
      check_again(self, exc_info) < 0)
    return NULL;
  int status = parse_status(args[0]);
  if (status < 0)
    return NULL;
  if (!PyList_Check(args[1])) {
    PyErr_Format(PyExc_TypeError, "the headers must be a list, not %.100s",
                 Py_TYPE(args[1])->tp_name);
    return NULL;
  }
  self->status = status;
  Py_XSETREF(self->line, Py_NewRef(args[0]));
  Py_XSETREF(self->headers, Py_NewRef(args[1]));
  return write_of(self);
}

/* Where there is a reason it is the application's that is sent (PEP 3333). */
static int add_reason(start_response *self, reply *out) {
  if (PyUnicode_GET_LENGTH(self->line) <= 4)
    return 0;
  if (PyUnicode_KIND(self->line) == PyUnicode_1BYTE_KIND &&
      params_equal(self->line, REPLY_USUAL, sizeof REPLY_USUAL - 1)) {
    out->usual = 1;
    return 0;
  }
  out->line = 1;
  return reply_pair(out, self->request->state->status, self->line);
}

int start_response_take(start_response *self, reply *out) {
  reply_init(out, self->status);
  out->bytes_only = 1;
  if (self->headers != NULL)
    return add_reason(self, out) < 0 ? -1 : reply_headers(out, self->headers);
  PyErr_SetString(self->request->state->errors[ERROR_STATE],
                  "the application did not call start_response");
  return -1;
}

static int has_no_body(start_response *self) {
  int head = reply_is_head(self->request);
  if (head >= 0)
    self->no_body = (char)(head || !fcgi_status_has_body(self->status));
  return head < 0 ? -1 : self->no_body;
}

int start_response_begin(start_response *self, int64_t known, int64_t first) {
  reply answer;
  if (self->begun)
    return 0;
  int failed = start_response_take(self, &answer) < 0;
  int head = failed ? 0 : has_no_body(self);
  if (!failed && known >= 0)
    failed = reply_add_length(&answer, (size_t)known, head) < 0;
  /* Of a file that is longer, what was promised is sent. */
  if (answer.length >= 0 && known > answer.length)
    known = -1;
  if (answer.length >= 0 && first > answer.length)
    known = first;
  failed = failed || head < 0 || reply_start(&answer, self->request, known) < 0;
  self->left = answer.length;
  reply_clear(&answer);
  self->begun = !failed;
  return failed ? -1 : 0;
}

/* Write and flush without the GIL; with `end`, end the request too. */
static int transmit(start_response *self, fcgi_request *handle,
                    const Py_buffer *view, int end) {
  int code;
  Py_BEGIN_ALLOW_THREADS
  code = reply_write_bytes(handle, view->buf, (size_t)view->len);
  if (end) {
    int ended =
        code < 0 ? fcgi_request_fail(handle) : fcgi_request_end(handle, 0);
    code = code < 0 ? code : ended;
    request_closed(self->request);
  } else {
    if (code >= 0)
      code = fcgi_request_flush(handle);
    request_leave(self->request);
  }
  Py_END_ALLOW_THREADS
  if (code >= 0)
    return 0;
  error_set(self->request->state, code, NULL);
  return -1;
}

/* The block that fulfils Content-Length ends the answer at once, in the same
   write, when the request has no body that could still be read. */
static int write_view(start_response *self, const Py_buffer *view) {
  request_object *request = self->request;
  int last = self->left >= 0 && view->len == self->left && request->length <= 0;
  if (self->left >= 0 && view->len > self->left && !self->no_body) {
    PyErr_SetString(PyExc_ValueError,
                    "the application sends more bytes than Content-Length");
    return -1;
  }
  if (self->left >= 0 && !self->no_body)
    self->left -= view->len;
  fcgi_request *handle = NULL;
  if (last && !self->no_body)
    handle = request_claim(request, 1);
  if (handle != NULL) {
    request->exhausted = 1;
    return transmit(self, handle, view, 1);
  }
  handle = request_use(request);
  return handle == NULL ? -1 : transmit(self, handle, view, 0);
}

int start_response_write(start_response *self, PyObject *block) {
  Py_buffer view;
  if (!PyObject_CheckBuffer(block)) {
    PyErr_Format(PyExc_TypeError,
                 "a WSGI application must yield bytes, not %.100s",
                 Py_TYPE(block)->tp_name);
    return -1;
  }
  if (PyObject_GetBuffer(block, &view, PyBUF_SIMPLE) < 0)
    return -1;
  int failed = 0;
  if (view.len > 0)
    failed = start_response_begin(self, -1, view.len) < 0 ||
             write_view(self, &view) < 0;
  PyBuffer_Release(&view);
  return failed ? -1 : 0;
}

int start_response_end(start_response *self) {
  if (!request_open(self->request))
    return 0;
  if (start_response_begin(self, 0, 0) < 0)
    return -1;
  if (self->left > 0 && !self->no_body) {
    PyErr_Format(PyExc_ValueError,
                 "the application sent %lld bytes less than Content-Length",
                 (long long)self->left);
    return -1;
  }
  fcgi_request *handle = request_claim(self->request, 0);
  if (handle == NULL)
    return -1;
  int code;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_end(handle, 0);
  request_closed(self->request);
  Py_END_ALLOW_THREADS
  if (code < 0)
    error_set(self->request->state, code, NULL);
  return code < 0 ? -1 : 0;
}

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(start_response, call),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec start_response_spec = {
    .name = "fastcgi._core.StartResponse",
    .basicsize = sizeof(start_response),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
