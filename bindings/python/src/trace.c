/* SPDX-License-Identifier: MIT */
/* What a handler does, for the slow log. */
#include "server.h"

/* The interpreter of the handler may be busy in C for long: this waits, on a
   thread that nobody waits for. */
static PyObject *stack_of(uintptr_t thread) {
  PyObject *module = PyImport_ImportModule("fastcgi._trace");
  PyObject *text = module == NULL ? NULL
                                  : PyObject_CallMethod(module, "stack", "k",
                                                        (unsigned long)thread);
  Py_XDECREF(module);
  return text;
}

static void trace(uintptr_t thread, fcgi_request *request, char *out,
                  size_t len, void *user_data) {
  PyThreadState *state = PyThreadState_New(user_data);
  (void)request;
  if (state == NULL)
    return;
  PyEval_RestoreThread(state);
  PyObject *text = stack_of(thread);
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
