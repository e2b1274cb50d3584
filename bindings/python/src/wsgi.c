/* SPDX-License-Identifier: MIT */
/* The WSGI interface, PEP 3333. */
#include "retry.h"
#include "start_response.h"

static int take_whole(serve_loop *loop, start_response *start,
                      PyObject *blocks) {
  reply *answer = &loop->answer;
  return start_response_take(start, answer) < 0 ||
                 reply_body(answer, blocks) < 0
             ? -1
             : 0;
}

/* A list or tuple is whole already: headers, blocks and end leave in one
   write. */
static int answer_whole(serve_loop *loop, start_response *start,
                        PyObject *blocks) {
  return take_whole(loop, start, blocks) < 0 ? -1 : loop_answer(loop);
}

/* The application has ended the request by itself, so that nothing is sent;
   what follows the end that Content-Length made is a mistake. */
static int is_over(const start_response *start) {
  return !request_open(start->request) &&
         (!start->begun || start->left != 0 || start->no_body);
}

static int write_block(start_response *start, PyObject *block) {
  return is_over(start) ? 0 : start_response_write(start, block);
}

/* Write all that the iterator gives. */
static int iterate_on(start_response *start, PyObject *iterator) {
  PyObject *block;
  int failed = 0;
  while (!failed && !(start->begun && start->no_body) && /* The head is all. */
         (block = PyIter_Next(iterator)) != NULL) {
    failed = write_block(start, block) < 0;
    Py_DECREF(block);
  }
  if (failed || PyErr_Occurred())
    return -1;
  return start_response_end(start);
}

/* What could not be held any longer goes on its way. */
static int iterate_late(start_response *start, PyObject *list,
                        PyObject *iterator) {
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++)
    if (write_block(start, PyList_GET_ITEM(list, i)) < 0)
      return -1;
  return iterate_on(start, iterator);
}

/* The first block, or NULL, and those that follow are an error page. */
static int hold_back(serve_loop *loop, start_response *start, PyObject *first,
                     PyObject *iterator) {
  if (retry_decide(loop))
    return LOOP_AGAIN;
  PyObject *list = PyList_New(0);
  int rc = list == NULL ? -1 : retry_collect(first, iterator, 1, list);
  if (rc > 0 && !start->begun)
    rc = take_whole(loop, start, list) < 0 ? -1 : LOOP_HELD;
  else if (rc >= 0)
    rc = iterate_late(start, list, iterator);
  Py_XDECREF(list);
  return rc;
}

static int is_held(const serve_loop *loop, const start_response *start) {
  return !start->begun && retry_holds(loop, start->status) &&
         request_open(start->request);
}

/* The first block comes before anything is known of the answer: until then a
   generator may not have called start_response. */
static int iterate(serve_loop *loop, start_response *start, PyObject *blocks) {
  PyObject *iterator = PyObject_GetIter(blocks);
  PyObject *first = iterator == NULL ? NULL : PyIter_Next(iterator);
  int rc = PyErr_Occurred() ? -1 : 0;
  if (rc == 0 && is_held(loop, start))
    rc = hold_back(loop, start, first, iterator);
  else if (rc == 0 && first != NULL && write_block(start, first) < 0)
    rc = -1;
  else if (rc == 0)
    rc =
        first == NULL ? start_response_end(start) : iterate_on(start, iterator);
  Py_XDECREF(first);
  Py_XDECREF(iterator);
  return rc;
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
  if (is_held(loop, start))
    return iterate(loop, start, result); /* A file too, as far as it is held. */
  int file = file_wrapper_open(loop->state, result, &fd, &offset, &length);
  if (file < 0)
    return -1;
  return file ? send_file(start, fd, offset, length)
              : iterate(loop, start, result);
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
