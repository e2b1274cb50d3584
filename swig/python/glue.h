/* SPDX-License-Identifier: MIT */
/* C for Python, compiled into the wrapper. The GIL is released only around the
   calls that common.swg names. */

#define FCGI_RAISE(code, text)                                                 \
  do {                                                                         \
    Py_CLEAR(resultobj);                                                       \
    fcgi_raise(code, text);                                                    \
    SWIG_fail;                                                                 \
  } while (0)
#define FCGI_PARKED(handler) (((fcgi_closure *)(handler)->closure)->error)
#define FCGI_RETHROW(handler)                                                  \
  do {                                                                         \
    Py_CLEAR(resultobj);                                                       \
    fcgi_unpark((handler)->closure);                                           \
    SWIG_fail;                                                                 \
  } while (0)
#define FCGI_UNLOCK Py_BEGIN_ALLOW_THREADS
#define FCGI_LOCK   Py_END_ALLOW_THREADS

/* One loop on one thread. */
typedef struct fcgi_closure {
  PyObject *function; /* The handler, held by the wrapper's caller. */
  PyObject *error;    /* The parked exception, NULL for none. */
} fcgi_closure;

/* Bytes lent by an argument. */
typedef struct fcgi_buffer {
  const void *data; /* The bytes. */
  size_t len;       /* Number of those bytes. */
  Py_buffer view;   /* Held when view.obj is not NULL. */
  PyObject *text;   /* An encoded copy, or NULL. */
} fcgi_buffer;

static void fcgi_raise(int code, const char *text) {
  PyObject *module = PyImport_ImportModule("fastcgi_swig");
  PyObject *type = module ? PyObject_GetAttrString(module, "Error") : NULL;
  PyObject *error =
      type ? PyObject_CallFunction(type, "ss", fcgi_error_name(code), text)
           : NULL;
  if (error)
    PyErr_SetObject(type, error);
  Py_XDECREF(error);
  Py_XDECREF(type);
  Py_XDECREF(module);
}

static int fcgi_buffer_get(fcgi_buffer *buffer, PyObject *object, int latin1) {
  if (PyUnicode_Check(object)) {
    buffer->text = latin1 ? PyUnicode_AsLatin1String(object)
                          : PyUnicode_AsUTF8String(object);
    if (!buffer->text)
      return -1;
    buffer->data = PyBytes_AS_STRING(buffer->text);
    buffer->len = (size_t)PyBytes_GET_SIZE(buffer->text);
    return 0;
  }
  if (PyObject_GetBuffer(object, &buffer->view, PyBUF_SIMPLE) < 0)
    return -1;
  buffer->data = buffer->view.buf;
  buffer->len = (size_t)buffer->view.len;
  return 0;
}

static void fcgi_buffer_release(fcgi_buffer *buffer) {
  Py_XDECREF(buffer->text);
  if (buffer->view.obj)
    PyBuffer_Release(&buffer->view);
}

static PyObject *fcgi_from_bytes(shim_bytes *bytes) {
  PyObject *object =
      bytes->data
          ? PyBytes_FromStringAndSize(bytes->data, (Py_ssize_t)bytes->len)
          : Py_NewRef(Py_None);
  shim_bytes_free(bytes);
  return object;
}

static PyObject *fcgi_latin1(const char *text, size_t len) {
  return PyUnicode_DecodeLatin1(text, (Py_ssize_t)len, NULL);
}

static PyObject *fcgi_from_text(shim_text *text) {
  PyObject *object =
      text->data ? fcgi_latin1(text->data, text->len) : Py_NewRef(Py_None);
  shim_bytes_free(text);
  return object;
}

static int fcgi_add_pair(PyObject *dict, const fcgi_param *pair) {
  PyObject *name = fcgi_latin1(pair->name, pair->name_len);
  PyObject *value = fcgi_latin1(pair->value, pair->value_len);
  int result = name && value ? PyDict_SetItem(dict, name, value) : -1;
  Py_XDECREF(name);
  Py_XDECREF(value);
  return result;
}

static PyObject *fcgi_from_pairs(shim_pairs *pairs) {
  PyObject *dict = PyDict_New();
  for (size_t i = 0; dict && i < pairs->count; i++)
    if (fcgi_add_pair(dict, &pairs->items[i]) < 0)
      Py_CLEAR(dict);
  shim_pairs_free(pairs);
  return dict;
}

/* --- Handlers ------------------------------------------------------------- */

/* Call the handler; the proxy owns the request from its making on. */
static int fcgi_call_held(fcgi_closure *closure, shim_request *request) {
  PyObject *proxy =
      SWIG_NewPointerObj(request, SWIGTYPE_p_shim_request, SWIG_POINTER_OWN);
  if (!proxy) {
    shim_request_free(request);
    return -1;
  }
  PyObject *result = PyObject_CallOneArg(closure->function, proxy);
  Py_DECREF(proxy);
  Py_XDECREF(result);
  return result ? 0 : -1;
}

/* Take the exception that is set. */
static void fcgi_park(fcgi_closure *closure) {
#if PY_VERSION_HEX >= 0x030C0000
  closure->error = PyErr_GetRaisedException();
#else
  PyObject *type, *trace;
  PyErr_Fetch(&type, &closure->error, &trace);
  PyErr_NormalizeException(&type, &closure->error, &trace);
  if (trace)
    PyException_SetTraceback(closure->error, trace);
  Py_XDECREF(type);
  Py_XDECREF(trace);
#endif
}

/* Set it again. */
static void fcgi_unpark(fcgi_closure *closure) {
  PyObject *error = closure->error;
  closure->error = NULL;
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(error);
#else
  PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error,
                PyException_GetTraceback(error));
#endif
}

static shim_outcome fcgi_failure(PyObject *error) {
  PyObject *module = PyImport_ImportModule("fastcgi_swig");
  PyObject *type = module ? PyObject_GetAttrString(module, "Error") : NULL;
  PyObject *code = type && PyObject_IsInstance(error, type) > 0
                       ? PyObject_GetAttrString(error, "code")
                       : NULL;
  shim_outcome outcome = shim_failure(
      code && PyUnicode_Check(code) ? PyUnicode_AsUTF8(code) : NULL);
  Py_XDECREF(code);
  Py_XDECREF(type);
  Py_XDECREF(module);
  PyErr_Clear();
  return outcome;
}

static shim_outcome fcgi_call(void *data, shim_request *request) {
  fcgi_closure *closure = data;
  shim_outcome outcome = SHIM_DONE;
  PyGILState_STATE gil = PyGILState_Ensure();
  int failed =
      request ? fcgi_call_held(closure, request) : PyErr_CheckSignals();
  if (failed) {
    int leave = !request || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
    fcgi_park(closure);
    outcome = leave ? SHIM_LEAVE : fcgi_failure(closure->error);
  }
  PyGILState_Release(gil);
  return outcome;
}

/* The lines of an exception; NULL with another. */
static PyObject *fcgi_trace(PyObject *error) {
  PyObject *module = PyImport_ImportModule("traceback");
  PyObject *trace = PyException_GetTraceback(error);
  PyObject *lines = module
                        ? PyObject_CallMethod(module, "format_exception", "OOO",
                                              (PyObject *)Py_TYPE(error), error,
                                              trace ? trace : Py_None)
                        : NULL;
  PyObject *empty = PyUnicode_FromString("");
  PyObject *text = lines && empty ? PyUnicode_Join(empty, lines) : NULL;
  PyObject *bytes =
      text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace")
           : NULL;
  Py_XDECREF(text);
  Py_XDECREF(empty);
  Py_XDECREF(lines);
  Py_XDECREF(trace);
  Py_XDECREF(module);
  return bytes;
}

static void fcgi_report(void *data, const shim_log *log) {
  static const char lost[] = "an error that cannot be shown\n";
  fcgi_closure *closure = data;
  PyGILState_STATE gil = PyGILState_Ensure();
  PyObject *bytes = fcgi_trace(closure->error);
  if (bytes)
    shim_log_write(log, PyBytes_AS_STRING(bytes),
                   (size_t)PyBytes_GET_SIZE(bytes));
  else
    shim_log_write(log, lost, sizeof lost - 1);
  PyErr_Clear();
  Py_XDECREF(bytes);
  Py_CLEAR(closure->error);
  PyGILState_Release(gil);
}

/* --- Functions of resources ------------------------------------------------
 */

/* One line of the exception that is set, which is taken. */
static void fcgi_line(char *why, size_t len) {
  fcgi_closure closure = {NULL, NULL};
  fcgi_park(&closure);
  PyObject *text =
      closure.error
          ? PyUnicode_FromFormat("%s: %S", Py_TYPE(closure.error)->tp_name,
                                 closure.error)
          : NULL;
  const char *line = text ? PyUnicode_AsUTF8(text) : NULL;
  line = line ? line : "an error that cannot be shown";
  snprintf(why, len, "%.*s", (int)strcspn(line, "\n"), line);
  PyErr_Clear();
  Py_XDECREF(text);
  Py_XDECREF(closure.error);
}

/* An exception that is set stays so: something may be given back by the end of
   an object. */
static int fcgi_function_call(void *function, void *value, void **result,
                              char *why, size_t len) {
  PyObject *type, *before, *trace;
  PyGILState_STATE gil = PyGILState_Ensure();
  PyErr_Fetch(&type, &before, &trace);
  PyObject *answer = value ? PyObject_CallOneArg(function, value)
                           : PyObject_CallNoArgs(function);
  int outcome = !answer ? -1 : answer != Py_False;
  if (!answer)
    fcgi_line(why, len);
  else if (result)
    *result = answer == Py_None ? NULL : Py_NewRef(answer);
  Py_XDECREF(answer);
  PyErr_Restore(type, before, trace);
  PyGILState_Release(gil);
  return outcome;
}

static void fcgi_function_drop(void *reference) {
  PyGILState_STATE gil = PyGILState_Ensure();
  Py_DECREF((PyObject *)reference);
  PyGILState_Release(gil);
}
