/* SPDX-License-Identifier: MIT */
/* wsgi.file_wrapper (PEP 3333): an iterable over a file's blocks, which the
   server sends without reading it when it is a real file. */
#include "loop.h"

typedef struct file_wrapper {
  PyObject_HEAD
  core_state *state;     /* The module's. */
  PyObject *file;        /* Something with read(). */
  Py_ssize_t block_size; /* Bytes of one read. */
} file_wrapper;

static PyObject *new (PyTypeObject *type, PyObject *args, PyObject *kwargs) {
  static const char *const names[] = {"filelike", "blksize", NULL};
  Py_ssize_t block_size = 65536;
  PyObject *file;
  if (!args_parse(args, kwargs, "O|n:FileWrapper", names, &file, &block_size))
    return NULL;
  core_state *state = state_of_type(type);
  file_wrapper *self =
      state == NULL ? NULL : (file_wrapper *)type->tp_alloc(type, 0);
  if (self == NULL)
    return NULL;
  self->state = state;
  self->file = Py_NewRef(file);
  self->block_size = block_size > 0 ? block_size : 65536;
  return (PyObject *)self;
}

static int traverse(PyObject *object, visitproc visit, void *arg) {
  Py_VISIT(Py_TYPE(object));
  Py_VISIT(((file_wrapper *)object)->file);
  return 0;
}

static int clear(PyObject *object) {
  Py_CLEAR(((file_wrapper *)object)->file);
  return 0;
}

static void dealloc(PyObject *object) {
  PyTypeObject *type = Py_TYPE(object);
  PyObject_GC_UnTrack(object);
  clear(object);
  type->tp_free(object);
  Py_DECREF(type);
}

static PyObject *next(PyObject *object) {
  file_wrapper *self = (file_wrapper *)object;
  PyObject *size = PyLong_FromSsize_t(self->block_size);
  PyObject *block =
      size == NULL
          ? NULL
          : PyObject_CallMethodOneArg(self->file, self->state->read, size);
  Py_XDECREF(size);
  if (block != NULL && PyObject_IsTrue(block) == 0)
    Py_CLEAR(block);
  return block;
}

static PyObject *close_file(PyObject *object, PyObject *unused) {
  file_wrapper *self = (file_wrapper *)object;
  (void)unused;
  PyObject *close = PyObject_GetAttr(self->file, self->state->close);
  if (close == NULL) {
    if (!PyErr_ExceptionMatches(PyExc_AttributeError))
      return NULL;
    PyErr_Clear();
    Py_RETURN_NONE;
  }
  PyObject *result = PyObject_CallNoArgs(close);
  Py_DECREF(close);
  return result;
}

/* The position of a file object, its own buffer counted; -1 when unknown. */
static int64_t position(file_wrapper *self) {
  PyObject *told = PyObject_CallMethodNoArgs(self->file, self->state->tell);
  int64_t at = told == NULL ? -1 : PyLong_AsLongLong(told);
  Py_XDECREF(told);
  PyErr_Clear();
  return at;
}

/* What has no size to be relied on (/proc, /sys, pipes) is iterated over. */
int file_wrapper_open(core_state *state, PyObject *body, int *fd,
                      int64_t *offset, int64_t *length) {
  if (!Py_IS_TYPE(body, state->file_wrapper_type))
    return 0;
  file_wrapper *self = (file_wrapper *)body;
  if (!file_is_plain(self->file))
    return 0;
  PyObject *number = PyObject_CallMethodNoArgs(self->file, state->fileno);
  *fd = number == NULL ? -1 : PyObject_AsFileDescriptor(number);
  Py_XDECREF(number);
  PyErr_Clear(); /* A closed file has none: read() says so. */
  *offset = *fd < 0 ? -1 : position(self);
  *length = *offset < 0 ? -1 : fcgi_file_rest(*fd, (uint64_t)*offset);
  return *length >= 0;
}

static PyMethodDef methods[] = {
    {"close", close_file, METH_NOARGS, "close($self)\n--\n\nClose the file."},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(doc, "FileWrapper(filelike, blksize=65536)\n--\n\n"
                  "The blocks of a file, as wsgi.file_wrapper.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)(uintptr_t)doc},
    {Py_tp_new, new},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, next},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec file_wrapper_spec = {
    .name = "fastcgi._core.FileWrapper",
    .basicsize = sizeof(file_wrapper),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};
