/* SPDX-License-Identifier: MIT */
/* Reading a request's body, with the file methods that PEP 3333 asks for. */
#include "request.h"

#define AHEAD_SIZE 8192

/* One thread reads at a time: the bytes read ahead belong to it. */
static int begin(request_object *self) {
  if (!atomic_flag_test_and_set(&self->reading))
    return 0;
  PyErr_SetString(self->state->errors[ERROR_STATE],
                  "another thread is reading the body");
  return -1;
}

static void finish(request_object *self) {
  atomic_flag_clear(&self->reading);
}

static size_t take_ahead(request_object *self, char *data, size_t len) {
  if (len > self->ahead_len)
    len = self->ahead_len;
  if (len > 0)
    memcpy(data, self->ahead + self->ahead_at, len);
  self->ahead_at += len;
  self->ahead_len -= len;
  return len;
}

/* One read of a stream, `how` says of which, without the GIL. */
static Py_ssize_t read_once(request_object *self, char *data, size_t len,
                            ptrdiff_t (*how)(fcgi_request *, void *, size_t)) {
  fcgi_request *handle = request_use(self);
  if (handle == NULL)
    return -1;
  ptrdiff_t got;
  Py_BEGIN_ALLOW_THREADS
  got = how(handle, data, len);
  request_leave(self);
  Py_END_ALLOW_THREADS
  if (got < 0)
    error_set(self->state, (int)got, NULL);
  return got < 0 ? -1 : got;
}

/* A request that the server loop has ended because its answer was complete has
   no body left. */
static Py_ssize_t read_core(request_object *self, char *data, size_t len) {
  if (self->exhausted && !request_open(self))
    return 0;
  return read_once(self, data, len, fcgi_request_read);
}

static Py_ssize_t read_some(request_object *self, char *data, Py_ssize_t len,
                            int once) {
  Py_ssize_t got = (Py_ssize_t)take_ahead(self, data, (size_t)len);
  while (got < len && !(once && got > 0)) {
    Py_ssize_t more = read_core(self, data + got, (size_t)(len - got));
    if (more < 0)
      return -1;
    if (more == 0)
      break;
    got += more;
  }
  return got;
}

Py_ssize_t body_read(request_object *self, char *data, Py_ssize_t len,
                     int once) {
  if (begin(self) < 0)
    return -1;
  Py_ssize_t got = read_some(self, data, len, once);
  finish(self);
  return got;
}

/* What to allocate first for a read of `size` bytes, -1 for all: what
   CONTENT_LENGTH promises and one more byte to see the end, but never much on
   a promise alone. */
static Py_ssize_t first_room(request_object *self, Py_ssize_t size) {
  const Py_ssize_t most = 1 << 20;
  Py_ssize_t room = 8192;
  if (self->length >= 0)
    room = self->length < most ? (Py_ssize_t)self->length + 1 : most;
  if (self->ahead_len >= (size_t)room)
    room = (Py_ssize_t)self->ahead_len + 1;
  return size >= 0 && size < room ? size : room;
}

/* Make `*bytes` longer; at least half as long again, at most `size`. */
static int grow(PyObject **bytes, Py_ssize_t size) {
  Py_ssize_t room = PyBytes_GET_SIZE(*bytes);
  Py_ssize_t more = room + room / 2 + 8192;
  if (size >= 0 && more > size)
    more = size;
  return _PyBytes_Resize(bytes, more);
}

static PyObject *read_bytes(request_object *self, Py_ssize_t size) {
  PyObject *bytes = PyBytes_FromStringAndSize(NULL, first_room(self, size));
  Py_ssize_t got = 0;
  while (bytes != NULL && got != size) {
    Py_ssize_t room = PyBytes_GET_SIZE(bytes) - got;
    Py_ssize_t more = read_some(self, PyBytes_AS_STRING(bytes) + got, room, 0);
    if (more < 0)
      Py_CLEAR(bytes);
    if (more < room)
      got += more > 0 ? more : 0;
    if (more < room)
      break;
    got += more;
    if (got != size && grow(&bytes, size) < 0)
      return NULL;
  }
  if (bytes != NULL && PyBytes_GET_SIZE(bytes) != got)
    _PyBytes_Resize(&bytes, got);
  return bytes;
}

/* The one optional size argument of the read methods. */
static int parse_size(PyObject *const *args, Py_ssize_t count,
                      Py_ssize_t *size) {
  if (count > 1) {
    PyErr_Format(PyExc_TypeError, "expected at most 1 argument, got %zd",
                 count);
    return -1;
  }
  if (count == 0 || args[0] == Py_None)
    return 0;
  *size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
  return *size == -1 && PyErr_Occurred() ? -1 : 0;
}

PyObject *body_method_read(PyObject *object, PyObject *const *args,
                           Py_ssize_t count) {
  request_object *self = (request_object *)object;
  Py_ssize_t size = -1;
  if (parse_size(args, count, &size) < 0 || begin(self) < 0)
    return NULL;
  PyObject *bytes = read_bytes(self, size < 0 ? -1 : size);
  finish(self);
  return bytes;
}

PyObject *body_method_read1(PyObject *object, PyObject *const *args,
                            Py_ssize_t count) {
  request_object *self = (request_object *)object;
  Py_ssize_t size = -1;
  if (parse_size(args, count, &size) < 0)
    return NULL;
  if (size < 0)
    size = 65536;
  PyObject *bytes = PyBytes_FromStringAndSize(NULL, size);
  if (bytes == NULL)
    return NULL;
  Py_ssize_t got = body_read(self, PyBytes_AS_STRING(bytes), size, 1);
  if (got < 0)
    Py_CLEAR(bytes);
  else if (got < size)
    _PyBytes_Resize(&bytes, got);
  return bytes;
}

PyObject *body_method_readinto(PyObject *object, PyObject *target) {
  Py_buffer view;
  if (PyObject_GetBuffer(target, &view, PyBUF_WRITABLE) < 0)
    return NULL;
  Py_ssize_t got = body_read((request_object *)object, view.buf, view.len, 0);
  PyBuffer_Release(&view);
  return got < 0 ? NULL : PyLong_FromSsize_t(got);
}

/* Read ahead when nothing is left; 0 at the end of the body, -1 on error. */
static int fill_ahead(request_object *self) {
  if (self->ahead_len > 0)
    return 1;
  if (self->ahead == NULL)
    self->ahead = PyMem_Malloc(AHEAD_SIZE);
  if (self->ahead == NULL)
    return PyErr_NoMemory(), -1;
  Py_ssize_t got = read_core(self, self->ahead, AHEAD_SIZE);
  self->ahead_at = 0;
  self->ahead_len = got > 0 ? (size_t)got : 0;
  return got > 0 ? 1 : (int)got;
}

/* Move the rest of a line, at most `limit` bytes of it, to the end of
   `*line`; 1 when the line is complete. */
static int take_line(request_object *self, PyObject **line, Py_ssize_t limit) {
  const char *data = self->ahead + self->ahead_at;
  const char *newline = memchr(data, '\n', self->ahead_len);
  size_t len = newline ? (size_t)(newline - data) + 1 : self->ahead_len;
  Py_ssize_t at = PyBytes_GET_SIZE(*line);
  int done = newline != NULL;
  if (limit >= 0 && (size_t)(limit - at) <= len) {
    len = (size_t)(limit - at);
    done = 1;
  }
  if (at == 0) /* b"" is shared: it cannot be resized. */
    Py_SETREF(*line, PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len));
  else
    _PyBytes_Resize(line, at + (Py_ssize_t)len);
  if (*line == NULL)
    return -1;
  memcpy(PyBytes_AS_STRING(*line) + at, data, len);
  self->ahead_at += len;
  self->ahead_len -= len;
  return done;
}

static PyObject *read_line(request_object *self, Py_ssize_t limit) {
  PyObject *line = PyBytes_FromStringAndSize(NULL, 0);
  int more = limit == 0 ? 0 : 1;
  while (line != NULL && more > 0) {
    more = fill_ahead(self);
    if (more < 0)
      Py_CLEAR(line);
    if (more > 0)
      more = take_line(self, &line, limit) == 0;
  }
  return line;
}

static PyObject *locked_line(request_object *self, Py_ssize_t limit) {
  if (begin(self) < 0)
    return NULL;
  PyObject *line = read_line(self, limit);
  finish(self);
  return line;
}

PyObject *body_method_readline(PyObject *object, PyObject *const *args,
                               Py_ssize_t count) {
  Py_ssize_t size = -1;
  if (parse_size(args, count, &size) < 0)
    return NULL;
  return locked_line((request_object *)object, size < 0 ? -1 : size);
}

PyObject *body_next_line(PyObject *object) {
  PyObject *line = locked_line((request_object *)object, -1);
  if (line != NULL && PyBytes_GET_SIZE(line) == 0)
    Py_CLEAR(line);
  return line;
}

PyObject *body_method_readlines(PyObject *object, PyObject *const *args,
                                Py_ssize_t count) {
  Py_ssize_t hint = -1, total = 0;
  if (parse_size(args, count, &hint) < 0)
    return NULL;
  PyObject *lines = PyList_New(0);
  while (lines != NULL && (hint <= 0 || total < hint)) {
    PyObject *line = body_next_line(object);
    if (line == NULL)
      break;
    total += PyBytes_GET_SIZE(line);
    if (PyList_Append(lines, line) < 0)
      Py_CLEAR(lines);
    Py_DECREF(line);
  }
  if (lines != NULL && PyErr_Occurred())
    Py_CLEAR(lines);
  return lines;
}

static PyObject *read_data(request_object *self, Py_ssize_t size) {
  const Py_ssize_t most = 65536;
  PyObject *bytes =
      PyBytes_FromStringAndSize(NULL, size >= 0 && size < most ? size : most);
  Py_ssize_t got = 0;
  while (bytes != NULL && got != size) {
    if (got == PyBytes_GET_SIZE(bytes) && grow(&bytes, size) < 0)
      return NULL;
    size_t room = (size_t)(PyBytes_GET_SIZE(bytes) - got);
    Py_ssize_t more = read_once(self, PyBytes_AS_STRING(bytes) + got, room,
                                fcgi_request_read_data);
    if (more < 0)
      Py_CLEAR(bytes);
    if (more <= 0)
      break;
    got += more;
  }
  if (bytes != NULL && PyBytes_GET_SIZE(bytes) != got)
    _PyBytes_Resize(&bytes, got);
  return bytes;
}

PyObject *body_method_read_data(PyObject *object, PyObject *const *args,
                                Py_ssize_t count) {
  request_object *self = (request_object *)object;
  Py_ssize_t size = -1;
  if (parse_size(args, count, &size) < 0 || begin(self) < 0)
    return NULL;
  PyObject *bytes = read_data(self, size < 0 ? -1 : size);
  finish(self);
  return bytes;
}
