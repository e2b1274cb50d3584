/* SPDX-License-Identifier: MIT */
/* The methods of Request that answer it. */
#include "reply.h"

static PyObject *done(request_object *self, int code) {
  if (code < 0)
    return error_set_write(self->state, code);
  Py_RETURN_NONE;
}

PyObject *answer_method_start(PyObject *object, PyObject *args,
                              PyObject *kwargs) {
  static const char *const names[] = {"status", "headers", NULL};
  PyObject *headers = Py_None, *result = NULL;
  int status = 200;
  reply answer;
  if (!args_parse(args, kwargs, "|iO:start", names, &status, &headers))
    return NULL;
  reply_init(&answer, status);
  if (reply_headers(&answer, headers) == 0 &&
      reply_start(&answer, (request_object *)object, -1) == 0)
    result = Py_NewRef(Py_None);
  reply_clear(&answer);
  return result;
}

PyObject *answer_method_write(PyObject *object, PyObject *data) {
  Py_buffer view;
  if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0)
    return NULL;
  Py_ssize_t len = view.len;
  int failed = reply_send((request_object *)object, &view, len, 0) < 0;
  PyBuffer_Release(&view);
  return failed ? NULL : PyLong_FromSsize_t(len);
}

PyObject *answer_method_flush(PyObject *object, PyObject *unused) {
  request_object *self = (request_object *)object;
  (void)unused;
  fcgi_request *handle = request_use(self);
  if (handle == NULL)
    return NULL;
  int code;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_flush(handle);
  request_leave(self);
  Py_END_ALLOW_THREADS
  return done(self, code);
}

/* It waits for the next bytes of the answer: nothing blocks. */
PyObject *answer_method_write_stderr(PyObject *object, PyObject *text) {
  request_object *self = (request_object *)object;
  Py_buffer view;
  if (reply_block(text, &view) < 0)
    return NULL;
  fcgi_request *handle = request_use(self);
  int code = 0;
  if (handle != NULL) {
    code = fcgi_request_write_stderr(handle, view.buf, (size_t)view.len);
    request_leave(self);
  }
  PyBuffer_Release(&view);
  return handle == NULL ? NULL : done(self, code);
}

static PyObject *end_core(request_object *self, unsigned app_status) {
  fcgi_request *handle = request_claim(self, 0);
  if (handle == NULL)
    return NULL;
  int code;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_end(handle, app_status);
  request_closed(self);
  Py_END_ALLOW_THREADS
  return done(self, code);
}

PyObject *answer_method_end(PyObject *object, PyObject *args,
                            PyObject *kwargs) {
  static const char *const names[] = {"app_status", NULL};
  unsigned app_status = 0;
  if (!args_parse(args, kwargs, "|I:end", names, &app_status))
    return NULL;
  return end_core((request_object *)object, app_status);
}

PyObject *answer_method_fail(PyObject *object, PyObject *unused) {
  request_object *self = (request_object *)object;
  (void)unused;
  fcgi_request *handle = request_claim(self, 0);
  if (handle == NULL)
    return NULL;
  int code;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_fail(handle);
  request_closed(self);
  Py_END_ALLOW_THREADS
  return done(self, code);
}

/* Begin, write and end an answer whose body is whole. */
static PyObject *reply_core(request_object *self, reply *answer) {
  fcgi_request *handle = request_use(self);
  if (handle == NULL)
    return NULL;
  int head = reply_is_head(self), code = 0;
  size_t len = reply_body_len(answer);
  int failed = head < 0 || reply_add_length(answer, len, head) < 0 ||
               reply_start(answer, self, (int64_t)len) < 0;
  if (!failed) {
    Py_BEGIN_ALLOW_THREADS
    code = reply_write(answer, handle);
    Py_END_ALLOW_THREADS
  }
  request_leave(self);
  if (failed)
    return NULL;
  return code < 0 ? error_set(self->state, code, NULL) : end_core(self, 0);
}

PyObject *answer_method_reply(PyObject *object, PyObject *args,
                              PyObject *kwargs) {
  static const char *const names[] = {"body", "status", "headers",
                                      "content_type", NULL};
  PyObject *body = Py_None, *headers = Py_None, *result = NULL;
  const char *type = NULL;
  int status = 200;
  reply answer;
  if (!args_parse(args, kwargs, "|OiOz:reply", names, &body, &status, &headers,
                  &type))
    return NULL;
  if (type == NULL && headers == Py_None)
    type = "text/plain; charset=utf-8";
  reply_init(&answer, status);
  int taken = reply_headers(&answer, headers);
  if (taken == 0 && type != NULL)
    taken = reply_header(&answer, "Content-Type", type);
  taken = taken < 0 ? -1 : reply_body(&answer, body);
  if (taken == 0)
    PyErr_Format(PyExc_TypeError,
                 "the body must be bytes-like, str, or a list of those, not "
                 "%.100s",
                 Py_TYPE(body)->tp_name);
  if (taken > 0)
    result = reply_core((request_object *)object, &answer);
  reply_clear(&answer);
  return result;
}

static PyObject *allow_core(request_object *self, const reply *variables) {
  char why[REPLY_WHY] = "";
  fcgi_request *handle = request_claim(self, 0);
  if (handle == NULL)
    return NULL;
  int code;
  self->begun = 1;
  fcgi_request_check_answer(handle, 200, variables->headers, variables->count,
                            -1, why, sizeof why);
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_allow(handle, variables->headers, variables->count);
  request_closed(self);
  Py_END_ALLOW_THREADS
  if (code != FCGI_ERR_INVALID)
    return done(self, code);
  reply_refused(variables, "the client is not allowed", "variable", why);
  return NULL;
}

PyObject *answer_method_allow(PyObject *object, PyObject *args) {
  PyObject *variables = Py_None, *result = NULL;
  reply answer;
  if (!PyArg_ParseTuple(args, "|O:allow", &variables))
    return NULL;
  reply_init(&answer, 200);
  if (reply_headers(&answer, variables) == 0)
    result = allow_core((request_object *)object, &answer);
  reply_clear(&answer);
  return result;
}
