/* SPDX-License-Identifier: MIT */
/* The native interface: def handler(request) -> (status, headers, body). */
#include "retry.h"

/* A first block that is longer than Content-Length is refused like a body that
   is; of any other nobody knows what follows. */
static int64_t least(const reply *answer, Py_ssize_t len) {
  return answer->length >= 0 && len > answer->length ? len : -1;
}

/* Write one block and let it go out: the next one may take its time. The head
   waits for the first: where that is none, nothing has left. 1: nobody reads
   any, -1 with an exception. */
static int send_block(serve_loop *loop, PyObject *block, int first) {
  request_object *request = loop->request;
  Py_buffer view;
  if (reply_block(block, &view) < 0)
    return -1;
  if (first &&
      reply_start(&loop->answer, request, least(&loop->answer, view.len)) < 0) {
    PyBuffer_Release(&view);
    return -1;
  }
  int unread = reply_send(request, &view, view.len, 1);
  PyBuffer_Release(&view);
  return unread;
}

static int is_iterable(PyObject *body) {
  if (Py_TYPE(body)->tp_iter != NULL || PySequence_Check(body))
    return 1;
  PyErr_Format(PyExc_TypeError,
               "the body must be bytes-like, str, None or an iterable of "
               "those, not %.100s",
               Py_TYPE(body)->tp_name);
  return 0;
}

/* The answer begins when its first block is there: before that, what the
   application raises is a 500. */
static int send_blocks(serve_loop *loop, PyObject *iterator) {
  PyObject *block;
  int over = 0, begun = 0;
  while (!over && (block = PyIter_Next(iterator)) != NULL) {
    over = send_block(loop, block, !begun);
    begun = 1;
    Py_DECREF(block);
  }
  if (over < 0 || PyErr_Occurred())
    return -1;
  return begun ? 0 : reply_start(&loop->answer, loop->request, -1);
}

/* What could not be held back any longer is sent as if it came now. */
static int send_late(serve_loop *loop, PyObject *list, PyObject *iterator) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
    int over = send_block(loop, PyList_GET_ITEM(list, i), i == 0);
    if (over != 0)
      return over < 0 ? -1 : 0;
  }
  PyObject *block;
  int over = 0;
  while (over == 0 && (block = PyIter_Next(iterator)) != NULL) {
    over = send_block(loop, block, 0);
    Py_DECREF(block);
  }
  return over < 0 || PyErr_Occurred() ? -1 : 0;
}

/* LOOP_HELD when it was short enough. */
static int collect(serve_loop *loop, PyObject *first, PyObject *iterator) {
  PyObject *list = PyList_New(0);
  int rc = list == NULL ? -1 : retry_collect(first, iterator, 0, list);
  if (rc > 0)
    rc = reply_body(&loop->answer, list) < 0 ? -1 : LOOP_HELD;
  else if (rc == 0)
    rc = send_late(loop, list, iterator);
  Py_XDECREF(list);
  return rc;
}

/* The first block comes before all else, as the application may find only then
   what is broken. */
static int hold_back(serve_loop *loop, PyObject *iterator) {
  PyObject *first = PyIter_Next(iterator);
  int rc;
  if (first == NULL && PyErr_Occurred())
    return -1;
  rc = retry_decide(loop) ? LOOP_AGAIN : collect(loop, first, iterator);
  Py_XDECREF(first);
  return rc;
}

static int stream(serve_loop *loop, PyObject *body) {
  if (!is_iterable(body))
    return -1;
  PyObject *iterator = PyObject_GetIter(body);
  int rc = -1;
  if (iterator != NULL)
    rc = retry_holds(loop, loop->answer.status) ? hold_back(loop, iterator)
                                                : send_blocks(loop, iterator);
  Py_XDECREF(iterator);
  return loop_close(loop, body) < 0 ? -1 : rc;
}

/* The status as a number, 0 for one out of range; -1 with an exception. */
static int status_of(PyObject *object) {
  PyObject *number = PyNumber_Index(object);
  int overflow = 0;
  if (number == NULL) {
    if (PyErr_ExceptionMatches(PyExc_TypeError))
      PyErr_Format(PyExc_TypeError, "the status must be an int, not %.100s",
                   Py_TYPE(object)->tp_name);
    return -1;
  }
  long status = PyLong_AsLongAndOverflow(number, &overflow);
  Py_DECREF(number);
  return !overflow && status > 0 && status < 1000 ? (int)status : 0;
}

static int answer(serve_loop *loop, PyObject *result) {
  int status = status_of(PyTuple_GET_ITEM(result, 0));
  PyObject *body = PyTuple_GET_ITEM(result, 2);
  if (status < 0)
    return -1;
  reply_init(&loop->answer, status);
  if (reply_headers(&loop->answer, PyTuple_GET_ITEM(result, 1)) < 0)
    return -1;
  int whole = reply_body(&loop->answer, body);
  if (whole < 0)
    return -1;
  return whole ? loop_answer(loop) : stream(loop, body);
}

/* None says that the handler has answered by itself. */
static int answered(request_object *request) {
  if (request->begun || !request_open(request))
    return 0;
  PyErr_SetString(PyExc_TypeError,
                  "the handler returned None and wrote nothing; return "
                  "(status, headers, body)");
  return -1;
}

int handler_serve(serve_loop *loop) {
  PyObject *args[2] = {NULL, (PyObject *)loop->request};
  PyObject *result = PyObject_Vectorcall(
      loop->app, args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
  int rc = -1;
  if (result == NULL)
    return -1;
  if (result == Py_None)
    rc = answered(loop->request);
  else if (PyTuple_Check(result) && PyTuple_GET_SIZE(result) == 3)
    rc = answer(loop, result);
  else if (PyTuple_Check(result))
    PyErr_Format(PyExc_TypeError,
                 "the handler must return (status, headers, body) or None, "
                 "not a tuple of %zd",
                 PyTuple_GET_SIZE(result));
  else
    PyErr_Format(PyExc_TypeError,
                 "the handler must return (status, headers, body) or None, "
                 "not %.100s%s",
                 Py_TYPE(result)->tp_name,
                 PyCallable_Check(result)
                     ? "; name what a factory returns with ()"
                     : "");
  Py_DECREF(result);
  return rc;
}
