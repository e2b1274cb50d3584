/* SPDX-License-Identifier: MIT */
#include "retry.h"
#include "resource.h"

enum { HELD = 65536 }; /* Bytes of an error page that are held back. */

int retry_collect(PyObject *iterator, PyObject *list) {
  Py_ssize_t held = 0;
  PyObject *block;
  while (held <= HELD && (block = PyIter_Next(iterator)) != NULL) {
    Py_ssize_t len = PyObject_Size(block);
    if (len < 0)
      PyErr_Clear(); /* It is refused when it is sent. */
    int failed = PyList_Append(list, block) < 0;
    held += 1 + (len > 0 ? len : 0);
    Py_DECREF(block);
    if (failed)
      return -1;
  }
  if (PyErr_Occurred())
    return -1;
  return held <= HELD;
}

PyObject *retry_method_want(PyObject *object, PyObject *unused) {
  core_state *state = ((request_object *)object)->state;
  const serve_loop *loop = resource_loop(state);
  (void)unused;
  if (loop == NULL || (PyObject *)loop->request != object) {
    PyErr_SetString(state->errors[ERROR_STATE],
                    "want_retry() is for the thread of the request's handler");
    return NULL;
  }
  fcgi_holder *holder = resource_holder(state);
  if (holder == NULL)
    return PyErr_NoMemory();
  fcgi_holder_want_retry(holder);
  Py_RETURN_NONE;
}

/* The application sees its request as it was. What it has kept of the first
   run, such as start_response, is not used again. */
static void forget(serve_loop *loop) {
  request_object *request = loop->request;
  PyErr_Clear();
  reply_clear(&loop->answer);
  reply_init(&loop->answer, 0);
  if (loop->start != NULL && start_response_is_unused(loop->start)) {
    start_response_renew(loop->start);
  } else if (loop->start != NULL) {
    start_response_drop(loop->start);
    loop->start = NULL;
  }
  Py_CLEAR(request->params);
  request->ahead_at = request->ahead_len = 0;
  request->begun = request->exhausted = 0;
}

/* A thread of the application's that still uses the request would meet the
   second run. */
static int is_to_retry(serve_loop *loop) {
  request_object *request = loop->request;
  int again = 0;
  if (atomic_load(&request->uses) != 0)
    return 0;
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  fcgi_request *handle = request_use(request);
  if (handle != NULL) {
    again = fcgi_request_retry(handle, loop->holder);
    request_leave(request);
  }
  PyErr_Clear();
  PyErr_Restore(type, value, traceback);
  return again;
}

int retry_failed(serve_loop *loop, int rc) {
  if ((rc == LOOP_HELD || PyErr_ExceptionMatches(PyExc_Exception)) &&
      is_to_retry(loop)) {
    forget(loop);
    rc = loop->serve(loop);
    resource_end_request(loop);
  }
  return rc == LOOP_HELD ? loop_answer_now(loop) : rc;
}
