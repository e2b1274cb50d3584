/* SPDX-License-Identifier: MIT */
/* The messages of ASGI, from the application and to it; nothing here waits. */
#include "reply.h"
#include "report.h"
#include <fcntl.h>
#include <unistd.h>

enum {
  PIECE = 65536, /* Bytes of one message with the body of a request. */
  WHOLE = 262144 /* So many bytes of an answer may wait in memory. */
};

void asgi_drop_head(request_object *self) {
  if (self->head == NULL)
    return;
  reply_clear(self->head);
  PyMem_Free(self->head);
  self->head = NULL;
}

/* (bytes, more_body), and lets go of the bytes. */
static PyObject *piece(PyObject *bytes, int more) {
  return Py_BuildValue("(NO)", bytes, more ? Py_True : Py_False);
}

/* How much may be there, 0 where all of it has been received. */
static size_t room_for(const request_object *self) {
  int64_t left = self->length - self->taken;
  if (self->length < 0 || left > PIECE)
    return PIECE;
  return (size_t)left;
}

static PyObject *read_piece(request_object *self, fcgi_request *handle,
                            size_t room) {
  PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
  ptrdiff_t got;
  if (bytes == NULL)
    return NULL;
  char *data = PyBytes_AS_STRING(bytes);
  Py_BEGIN_ALLOW_THREADS
  got = fcgi_request_read(handle, data, room);
  Py_END_ALLOW_THREADS
  if (got < 0) {
    Py_DECREF(bytes);
    if (got == FCGI_ERR_AGAIN)
      Py_RETURN_NONE;
    return error_set(self->state, (int)got, NULL);
  }
  self->taken += got;
  if ((size_t)got < room && _PyBytes_Resize(&bytes, got) < 0)
    return NULL;
  return piece(bytes, got > 0 && room_for(self) > 0);
}

PyObject *asgi_method_read(PyObject *object, PyObject *unused) {
  request_object *self = (request_object *)object;
  size_t room = room_for(self);
  (void)unused;
  if (room == 0)
    return piece(Py_NewRef(self->state->empty_bytes), 0);
  fcgi_request *handle = request_use(self);
  PyObject *result = handle == NULL ? NULL : read_piece(self, handle, room);
  if (handle != NULL)
    request_leave(self);
  return result;
}

static int take_header(reply *head, PyObject *item) {
  PyObject *pair = PySequence_Fast(item, "each header must be a pair of bytes");
  int failed = pair == NULL;
  if (!failed && PySequence_Fast_GET_SIZE(pair) != 2) {
    PyErr_SetString(PyExc_TypeError, "each header must be a pair of bytes");
    failed = 1;
  }
  if (!failed)
    failed = reply_bytes_pair(head, PySequence_Fast_GET_ITEM(pair, 0),
                              PySequence_Fast_GET_ITEM(pair, 1)) < 0;
  Py_XDECREF(pair);
  return failed ? -1 : 0;
}

static int take_headers(reply *head, PyObject *headers) {
  PyObject *all = PySequence_Fast(headers, "headers must be pairs of bytes");
  int failed = all == NULL;
  for (Py_ssize_t i = 0; !failed && i < PySequence_Fast_GET_SIZE(all); i++)
    failed = take_header(head, PySequence_Fast_GET_ITEM(all, i)) < 0;
  Py_XDECREF(all);
  return failed ? -1 : 0;
}

/* What cannot be sent is refused at once, while the application can still send
   something else. */
static int check_head(request_object *self) {
  const reply *head = self->head;
  char why[REPLY_WHY] = "";
  fcgi_request *handle = request_use(self);
  if (handle == NULL)
    return -1;
  int code = fcgi_request_check_answer(handle, head->status, head->headers,
                                       head->count, -1, why, sizeof why);
  request_leave(self);
  if (code == FCGI_ERR_INVALID)
    reply_refused(head, "the answer cannot begin", "header", why);
  else if (code < 0)
    error_set(self->state, code, NULL);
  return code < 0 ? -1 : 0;
}

static int status_of(PyObject *status) {
  if (PyLong_Check(status))
    return (int)PyLong_AsLong(status);
  PyErr_Format(PyExc_TypeError, "the status must be an int, not %.100s",
               Py_TYPE(status)->tp_name);
  return -1;
}

PyObject *asgi_method_head(PyObject *object, PyObject *const *args,
                           Py_ssize_t count) {
  request_object *self = (request_object *)object;
  if (count != 2) {
    PyErr_SetString(PyExc_TypeError, "_head() takes a status and headers");
    return NULL;
  }
  int status = status_of(args[0]);
  if (status == -1 && PyErr_Occurred())
    return NULL;
  asgi_drop_head(self);
  self->head = PyMem_Malloc(sizeof *self->head);
  if (self->head == NULL)
    return PyErr_NoMemory();
  reply_init(self->head, status);
  if (take_headers(self->head, args[1]) == 0 && check_head(self) == 0)
    Py_RETURN_NONE;
  asgi_drop_head(self);
  return NULL;
}

static int has_status(const reply *head) {
  for (size_t i = 0; i < head->count; i++)
    if (head->headers[i].name_len == 6 &&
        PyOS_strnicmp(head->headers[i].name, "Status", 6) == 0)
      return 1;
  return 0;
}

/* Whether one call of the core sends the answer, and the length that
   reply_add_length would add. */
static int is_simple(request_object *self, const Py_buffer *body) {
  const reply *head = self->head;
  if (body->len > WHOLE || head->status == 304 || head->unsure ||
      (head->has_length && head->length != body->len) || has_status(head))
    return 0;
  return body->len > 0 || reply_is_head(self) == 0;
}

/* Nothing happens to a request that has ended; who heard of it holds it. */
static void forget_exchange(request_object *self) {
  Py_CLEAR(self->exchange);
}

/* The request has ended, whatever the core says of the connection. */
static int send_whole(request_object *self, const Py_buffer *body) {
  const reply *head = self->head;
  fcgi_request *handle = request_claim(self, 0);
  if (handle == NULL)
    return -1;
  int code;
  self->begun = 1;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_respond(handle, head->status, head->headers, head->count,
                              body->buf, (size_t)body->len);
  request_closed(self);
  Py_END_ALLOW_THREADS
  asgi_drop_head(self);
  forget_exchange(self);
  if (code < 0)
    error_set(self->state, code, NULL);
  return code < 0 ? -1 : 0;
}

/* Begin an answer whose body is `length` bytes, of which `known` are there. */
static int begin(request_object *self, int64_t length, int64_t known) {
  reply *head = self->head;
  int is_head = length == 0 ? reply_is_head(self) : 0;
  if (is_head < 0 ||
      (length >= 0 && reply_add_length(head, (size_t)length, is_head) < 0) ||
      reply_start(head, self, known) < 0)
    return -1;
  asgi_drop_head(self);
  return 0;
}

/* A body that is longer than Content-Length is refused before it begins. */
static int begin_pieces(request_object *self, const Py_buffer *piece,
                        int more) {
  const reply *head = self->head;
  int is_long = head->length >= 0 && piece->len > head->length;
  if (!more)
    return begin(self, piece->len, piece->len);
  return begin(self, -1, is_long ? piece->len : -1);
}

/* How far it got; what nobody reads counts as sent. -1 with an exception. */
static Py_ssize_t write_from(request_object *self, const Py_buffer *data,
                             Py_ssize_t at, int flush) {
  fcgi_request *handle = request_use(self);
  ptrdiff_t sent = 0;
  if (handle == NULL)
    return -1;
  Py_BEGIN_ALLOW_THREADS
  while (at < data->len && sent >= 0) {
    sent = fcgi_request_write(handle, (const char *)data->buf + at,
                              (size_t)(data->len - at));
    at += sent > 0 ? sent : 0;
  }
  if (sent == FCGI_ERR_CLOSED) {
    at = data->len;
    sent = 0;
  }
  if (flush && sent >= 0)
    sent = fcgi_request_flush(handle);
  request_leave(self);
  Py_END_ALLOW_THREADS
  if (sent >= 0 || sent == FCGI_ERR_AGAIN)
    return at;
  error_set_write(self->state, (int)sent);
  return -1;
}

static int end(request_object *self) {
  fcgi_request *handle = request_claim(self, 0);
  int code;
  if (handle == NULL)
    return -1;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_end(handle, 0);
  request_closed(self);
  Py_END_ALLOW_THREADS
  forget_exchange(self);
  if (code < 0)
    error_set_write(self->state, code);
  return code < 0 ? -1 : 0;
}

/* -1 when all of it was sent, -2 with an exception; else where the rest
   begins. */
static Py_ssize_t send(request_object *self, const Py_buffer *data,
                       Py_ssize_t offset, int more) {
  if (self->head != NULL && !more && is_simple(self, data))
    return send_whole(self, data) < 0 ? -2 : -1;
  if (self->head != NULL && begin_pieces(self, data, more) < 0)
    return -2;
  Py_ssize_t at = write_from(self, data, offset, more);
  if (at < 0)
    return -2;
  if (at < data->len)
    return at;
  return !more && end(self) < 0 ? -2 : -1;
}

PyObject *asgi_method_send(PyObject *object, PyObject *const *args,
                           Py_ssize_t count) {
  request_object *self = (request_object *)object;
  Py_buffer view;
  if (count != 3) {
    PyErr_SetString(PyExc_TypeError, "_send() takes data, an offset, and more");
    return NULL;
  }
  Py_ssize_t offset = PyLong_AsSsize_t(args[1]);
  int more = PyObject_IsTrue(args[2]);
  if (PyErr_Occurred() || PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
    return NULL;
  Py_ssize_t at = send(self, &view, offset, more);
  PyBuffer_Release(&view);
  return at == -2 ? NULL : PyLong_FromSsize_t(at);
}

/* Send all of the file; what is still on its way goes on after the end. */
static int send_descriptor(request_object *self, int fd) {
  int64_t rest = fcgi_file_rest(fd, 0);
  int code;
  if (rest < 0 && rest != FCGI_ERR_UNSUPPORTED)
    return error_set(self->state, (int)rest, "no regular file"), -1;
  if (begin(self, self->head->has_length || rest < 0 ? -1 : rest, -1) < 0)
    return -1;
  fcgi_request *handle = request_use(self);
  if (handle == NULL)
    return -1;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_send_file(handle, fd, 0, FCGI_TO_END);
  request_leave(self);
  Py_END_ALLOW_THREADS
  if (code < 0 && code != FCGI_ERR_AGAIN) {
    error_set_write(self->state, code);
    return -1;
  }
  return end(self);
}

PyObject *asgi_method_send_path(PyObject *object, PyObject *path) {
  request_object *self = (request_object *)object;
  PyObject *bytes = NULL;
  if (self->head == NULL) {
    PyErr_SetString(self->state->errors[ERROR_STATE],
                    "a file is the whole body of an answer");
    return NULL;
  }
  if (!PyUnicode_FSConverter(path, &bytes))
    return NULL;
  int fd = open(PyBytes_AS_STRING(bytes), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  Py_DECREF(bytes);
  if (fd < 0)
    return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
  int failed = send_descriptor(self, fd) < 0;
  close(fd);
  if (failed)
    return NULL;
  Py_RETURN_NONE;
}

static void tell(request_object *self, PyObject *error, PyObject *what) {
  PyObject *traceback = PyException_GetTraceback(error);
  report_failure(self, what, (PyObject *)Py_TYPE(error), error, traceback);
  Py_XDECREF(traceback);
}

PyObject *asgi_method_failed(PyObject *object, PyObject *const *args,
                             Py_ssize_t count) {
  request_object *self = (request_object *)object;
  if (count != 2 || !PyUnicode_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "_failed() takes an error and a text");
    return NULL;
  }
  if (PyExceptionInstance_Check(args[0]))
    tell(self, args[0], args[1]);
  request_abandon(self);
  forget_exchange(self);
  Py_RETURN_NONE;
}
