/* SPDX-License-Identifier: MIT */
/* The WSGI interface, PEP 3333. */
#include "loop.h"
#include "start_response.h"

/* A list or tuple is whole already: headers, blocks and end leave in one
   write. */
static int answer_whole(serve_loop *loop, start_response *start,
                        PyObject *blocks) {
  reply *answer = &loop->answer;
  if (start_response_take(start, answer) < 0 || reply_body(answer, blocks) < 0)
    return -1;
  return loop_answer(loop);
}

/* The application has ended the request by itself, so that nothing is sent;
   what follows the end that Content-Length made is a mistake. */
static int is_over(const start_response *start) {
  return !request_open(start->request) &&
         (!start->begun || start->left != 0 || start->no_body);
}

static int iterate(start_response *start, PyObject *blocks) {
  PyObject *iterator = PyObject_GetIter(blocks), *block;
  int failed = iterator == NULL, unread = 0;
  while (!failed && !unread && (block = PyIter_Next(iterator)) != NULL) {
    if (!is_over(start))
      failed = start_response_write(start, block) < 0;
    unread = start->begun && start->no_body; /* The head is all there is. */
    Py_DECREF(block);
  }
  Py_XDECREF(iterator);
  if (failed || PyErr_Occurred())
    return -1;
  return start_response_end(start);
}

/* Send a file from where it stands, the PEP's optional fast path. */
static int send_file(start_response *start, int fd, int64_t offset,
                     int64_t length) {
  request_object *request = start->request;
  if (start_response_begin(start, length, 0) < 0)
    return -1;
  if (start->left >= 0 && start->left < length)
    length = start->left;
  fcgi_request *handle = request_use(request);
  if (handle == NULL)
    return -1;
  int code = 0;
  Py_BEGIN_ALLOW_THREADS
  if (length > 0 && !start->no_body)
    code =
        fcgi_request_send_file(handle, fd, (uint64_t)offset, (uint64_t)length);
  request_leave(request);
  Py_END_ALLOW_THREADS
  if (start->left > 0)
    start->left -= length;
  if (code < 0)
    error_set(request->state, code, NULL);
  return code < 0 ? -1 : start_response_end(start);
}

static int respond(serve_loop *loop, start_response *start, PyObject *result) {
  int fd = -1;
  int64_t offset = 0, length = 0;
  if (!start->begun &&
      (PyList_CheckExact(result) || PyTuple_CheckExact(result)))
    return answer_whole(loop, start, result);
  int file = file_wrapper_open(loop->state, result, &fd, &offset, &length);
  if (file < 0)
    return -1;
  return file ? send_file(start, fd, offset, length) : iterate(start, result);
}

static int call(serve_loop *loop, PyObject *dict, start_response *start) {
  PyObject *args[3] = {NULL, dict, (PyObject *)start};
  PyObject *result = PyObject_Vectorcall(
      loop->app, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
  if (result == NULL)
    return -1;
  int rc = respond(loop, start, result);
  if (loop_close(loop, result) < 0)
    rc = -1;
  Py_DECREF(result);
  return rc;
}

int wsgi_serve(serve_loop *loop) {
  PyObject *dict = environ_make(&loop->memo, loop->request);
  if (dict != NULL && loop->start == NULL)
    loop->start = start_response_new(loop->request);
  int rc =
      dict == NULL || loop->start == NULL ? -1 : call(loop, dict, loop->start);
  Py_XDECREF(dict);
  return rc;
}
