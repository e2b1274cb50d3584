/* SPDX-License-Identifier: MIT */
/* Files as answers: by their descriptor where it gives what read() would,
   otherwise by read(). */
#include "reply.h"
#include <sys/stat.h>

enum { BLOCK = 65536 }; /* Bytes of one read. */

/* A part of a file that is asked for. */
typedef struct file_part {
  PyObject *file;   /* Borrowed. */
  long long offset; /* Its first byte. */
  long long length; /* Its bytes, or -1: all up to the end. */
} file_part;

/* What reading goes through: an object that has one of its own reads something
   else than its descriptor. */
static const char *const readers[] = {
    "read", "read1",  "readinto", "readinto1", "readall", "readable",
    "tell", "fileno", "seek",     "seekable",  NULL};

/* The types that buffer a descriptor and change nothing of what it gives. */
static const char *const buffers[] = {"BufferedReader", "BufferedRandom", NULL};

static int has_own_reader(PyObject *file) {
  PyObject *own = PyObject_GetAttrString(file, "__dict__");
  int found = own == NULL || !PyDict_CheckExact(own);
  for (int i = 0; !found && readers[i] != NULL; i++)
    found = PyDict_GetItemString(own, readers[i]) != NULL;
  Py_XDECREF(own);
  return found;
}

static int is_exactly(PyObject *object, PyObject *module, const char *type) {
  PyObject *wanted = PyObject_GetAttrString(module, type);
  int same = wanted != NULL && (PyObject *)Py_TYPE(object) == wanted;
  Py_XDECREF(wanted);
  return same && !has_own_reader(object);
}

static int buffers_descriptor(PyObject *file, PyObject *module) {
  PyObject *raw = NULL;
  for (int i = 0; raw == NULL && buffers[i] != NULL; i++)
    if (is_exactly(file, module, buffers[i]))
      raw = PyObject_GetAttrString(file, "raw");
  int plain = raw != NULL && is_exactly(raw, module, "FileIO");
  Py_XDECREF(raw);
  return plain;
}

/* It can be read, and its descriptor lacks nothing of what was written. */
static int is_ready(PyObject *file) {
  PyObject *answer = PyObject_CallMethod(file, "readable", NULL);
  int is = answer == Py_True;
  Py_XDECREF(answer);
  answer = is ? PyObject_CallMethod(file, "flush", NULL) : NULL;
  Py_XDECREF(answer);
  return answer != NULL;
}

int file_is_plain(PyObject *file) {
  PyObject *module = PyImport_ImportModule("_io");
  int plain = module != NULL && (is_exactly(file, module, "FileIO") ||
                                 buffers_descriptor(file, module));
  plain = plain && is_ready(file);
  Py_XDECREF(module);
  PyErr_Clear();
  return plain;
}

/* 0, or -1 with an exception: the rest of `fd` from `offset` on cannot be
   sent. A file that says it is empty may not be (/proc). */
static int check_rest(int fd, long long offset) {
  struct stat status;
  if (fstat(fd, &status) < 0)
    PyErr_SetFromErrno(PyExc_OSError);
  else if (!S_ISREG(status.st_mode))
    PyErr_SetString(PyExc_ValueError,
                    "what is no regular file is sent with a length only");
  else if (status.st_size > 0 && offset > (long long)status.st_size)
    PyErr_Format(PyExc_ValueError, "the file ends before offset %lld", offset);
  else
    return 0;
  return -1;
}

static PyObject *send_descriptor(request_object *self, const file_part *part,
                                 int fd) {
  if (part->length < 0 && check_rest(fd, part->offset) < 0)
    return NULL;
  fcgi_request *handle = request_use(self);
  if (handle == NULL)
    return NULL;
  int code;
  self->begun = 1;
  Py_BEGIN_ALLOW_THREADS
  code = fcgi_request_send_file(handle, fd, (uint64_t)part->offset,
                                part->length < 0 ? FCGI_TO_END
                                                 : (uint64_t)part->length);
  request_leave(self);
  Py_END_ALLOW_THREADS
  if (code < 0)
    return error_set_write(self->state, code);
  Py_RETURN_NONE;
}

/* What cannot seek is read from where it stands, if no offset is asked for. */
static int seek_to(const file_part *part) {
  PyObject *at = PyObject_CallMethod(part->file, "seek", "L", part->offset);
  int seeks = at != NULL;
  Py_XDECREF(at);
  if (!seeks && part->offset == 0 &&
      (PyErr_ExceptionMatches(PyExc_OSError) ||
       PyErr_ExceptionMatches(PyExc_AttributeError)))
    PyErr_Clear();
  return PyErr_Occurred() ? -1 : 0;
}

/* Write at most `most` bytes of a block. Returns the bytes that it has, or 0
   where nobody reads them, or -1 with an exception. */
static Py_ssize_t send_block(request_object *self, PyObject *block,
                             long long most) {
  Py_buffer view;
  if (PyObject_GetBuffer(block, &view, PyBUF_SIMPLE) < 0)
    return -1;
  Py_ssize_t len = view.len < most ? view.len : (Py_ssize_t)most;
  int unread = reply_send(self, &view, len, 0);
  PyBuffer_Release(&view);
  return unread < 0 ? -1 : unread ? 0 : len;
}

static PyObject *read_block(request_object *self, PyObject *file,
                            Py_ssize_t most) {
  PyObject *size = PyLong_FromSsize_t(most), *block = NULL;
  if (size != NULL)
    block = PyObject_CallMethodOneArg(file, self->state->read, size);
  Py_XDECREF(size);
  return block;
}

static PyObject *send_read(request_object *self, const file_part *part) {
  long long left = part->length < 0 ? LLONG_MAX : part->length;
  if (seek_to(part) < 0)
    return NULL;
  while (left > 0) {
    Py_ssize_t most = left < BLOCK ? (Py_ssize_t)left : BLOCK;
    PyObject *block = read_block(self, part->file, most);
    Py_ssize_t sent = block == NULL ? -1 : send_block(self, block, left);
    int ended = sent == 0 && PyObject_IsTrue(block) == 0;
    Py_XDECREF(block);
    if (sent < 0)
      return NULL;
    if (ended && part->length >= 0)
      return PyErr_Format(PyExc_ValueError,
                          "the file ends %lld bytes before its length", left);
    if (sent == 0)
      break;
    left -= sent;
  }
  Py_RETURN_NONE;
}

/* Whether an object can be read only: numbers and what has no read() stand for
   a descriptor. A plain file without a size that is true is read too. */
static int must_be_read(request_object *self, const file_part *part) {
  if (PyLong_Check(part->file) ||
      !PyObject_HasAttr(part->file, self->state->read))
    return 0;
  if (!file_is_plain(part->file))
    return 1;
  int fd = PyObject_AsFileDescriptor(part->file);
  PyErr_Clear();
  return fd < 0 || fcgi_file_rest(fd, (uint64_t)part->offset) < 0;
}

PyObject *answer_method_send_file(PyObject *object, PyObject *args,
                                  PyObject *kwargs) {
  static const char *const names[] = {"file", "offset", "length", NULL};
  request_object *self = (request_object *)object;
  file_part part = {.length = -1};
  PyObject *length = Py_None;
  if (!args_parse(args, kwargs, "O|LO:send_file", names, &part.file,
                  &part.offset, &length))
    return NULL;
  if (length != Py_None)
    part.length = PyLong_AsLongLong(length);
  if (!PyErr_Occurred() &&
      (part.offset < 0 || (length != Py_None && part.length < 0)))
    PyErr_SetString(PyExc_ValueError, "offset and length must not be negative");
  if (PyErr_Occurred())
    return NULL;
  if (must_be_read(self, &part))
    return send_read(self, &part);
  int fd = PyObject_AsFileDescriptor(part.file);
  return fd < 0 ? NULL : send_descriptor(self, &part, fd);
}
