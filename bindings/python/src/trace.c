/* SPDX-License-Identifier: MIT */
/* What a handler does, for the slow log. */
#include "request.h"

/* Who runs a request of an event loop, borrowed, or None. The GIL keeps it from
   ending now, without which nobody can say. */
static PyObject *exchange_of(fcgi_request *request) {
#ifdef Py_GIL_DISABLED
  (void)request;
#else
  const request_object *object = fcgi_request_user_data(request);
  if (object != NULL && object->exchange != NULL)
    return object->exchange;
#endif
  return Py_None;
}

/* The interpreter of the handler may be busy in C for long: this waits, on a
   thread that nobody waits for. */
static PyObject *stack_of(uintptr_t thread, fcgi_request *request) {
  PyObject *module = PyImport_ImportModule("fastcgi._trace");
  PyObject *text = module == NULL ? NULL
                                  : PyObject_CallMethod(module, "stack", "kO",
                                                        (unsigned long)thread,
                                                        exchange_of(request));
  Py_XDECREF(module);
  return text;
}

static void trace(uintptr_t thread, fcgi_request *request, char *out,
                  size_t len, void *user_data) {
  PyThreadState *state = PyThreadState_New(user_data);
  if (state == NULL)
    return;
  PyEval_RestoreThread(state);
  PyObject *text = stack_of(thread, request);
  const char *utf8 = text == NULL ? NULL : PyUnicode_AsUTF8(text);
  PyOS_snprintf(out, len, "%s", utf8 == NULL ? "" : utf8);
  Py_XDECREF(text);
  PyErr_Clear();
  PyThreadState_Clear(state);
  PyThreadState_DeleteCurrent();
}

void trace_init(server_object *self) {
  fcgi_server_set_tracer(self->core, trace, PyInterpreterState_Get());
}

/* A trace under way needs the GIL to end, and the core waits for its end. */
void trace_free_server(fcgi_server *server) {
  PyThreadState *mine = PyGILState_GetThisThreadState();
  int has_gil = mine != NULL && mine == PyThreadState_GetUnchecked();
  if (!has_gil) {
    fcgi_server_free(server);
    return;
  }
  PyThreadState *state = PyEval_SaveThread();
  fcgi_server_free(server);
  PyEval_RestoreThread(state);
}
