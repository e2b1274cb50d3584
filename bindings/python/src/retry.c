/* SPDX-License-Identifier: MIT */
#include "retry.h"
#include "resource.h"

enum { HELD = 65536 }; /* Bytes after the first block that are held back. */

/* How many bytes it has, or -1 with an exception. The application may use the
   memory of a block again for the next one. */
static Py_ssize_t keep(PyObject *list, PyObject *block, int bytes_only) {
  PyObject *kept = NULL;
  Py_buffer view;
  int is_block =
      PyUnicode_Check(block) ? !bytes_only : PyObject_CheckBuffer(block);
  if (PyBytes_CheckExact(block) || !is_block) {
    kept = Py_NewRef(block);
  } else if (reply_block(block, &view) == 0) {
    kept = PyBytes_FromStringAndSize(view.buf, view.len);
    PyBuffer_Release(&view);
  }
  if (kept == NULL)
    return -1;
  Py_ssize_t len = PyBytes_Check(kept) ? PyBytes_GET_SIZE(kept) : 0;
  int failed = PyList_Append(list, kept);
  Py_DECREF(kept);
  return failed < 0 ? -1 : len;
}

int retry_collect(PyObject *first, PyObject *iterator, int bytes_only,
                  PyObject *list) {
  Py_ssize_t held = 0, len = 0;
  PyObject *block;
  if (first == NULL)
    return 1;
  len = keep(list, first, bytes_only);
  while (len >= 0 && held <= HELD && (block = PyIter_Next(iterator)) != NULL) {
    len = keep(list, block, bytes_only);
    held += 1 + len;
    Py_DECREF(block);
  }
  if (len < 0 || PyErr_Occurred())
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

/* What the application has kept of the first run must not meet the second one:
   threads, cancellers, start_response. A thread that uses the request at this
   moment keeps it from running again. */
int retry_decide(serve_loop *loop) {
  request_object *request = loop->request;
  if (loop->again != NULL)
    return 1;
  fcgi_request *handle = request_claim(request, 1);
  if (handle == NULL)
    return 0;
  if (fcgi_request_retry(handle, loop->holder))
    loop->again = handle;
  else
    request_unclaim(request);
  return loop->again != NULL;
}

/* What ends a program, or a handler of a signal raises, is no failure. */
int retry_is_due(serve_loop *loop, int rc) {
  if (rc >= 0 || PyErr_ExceptionMatches(PyExc_Exception))
    return retry_decide(loop);
  if (loop->again != NULL)
    request_unclaim(loop->request);
  loop->again = NULL;
  return 0;
}
