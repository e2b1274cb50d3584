/* SPDX-License-Identifier: MIT */
#include "params.h"
#include "state.h"

core_state *state_of_type(PyTypeObject *type) {
#if PY_VERSION_HEX >= 0x030b0000
  PyObject *module = PyType_GetModuleByDef(type, &core_module);
  return module == NULL ? NULL : (core_state *)PyModule_GetState(module);
#else
  /* PyType_GetModule looks at one type only, so walk its bases. */
  Py_ssize_t count = PyTuple_GET_SIZE(type->tp_mro);
  for (Py_ssize_t i = 0; i < count; i++) {
    PyObject *base = PyTuple_GET_ITEM(type->tp_mro, i);
    PyObject *module = PyType_GetModule((PyTypeObject *)base);
    if (module != NULL && PyModule_GetDef(module) == &core_module)
      return (core_state *)PyModule_GetState(module);
    PyErr_Clear();
  }
  PyErr_SetString(PyExc_TypeError, "not a type of fastcgi._core");
  return NULL;
#endif
}

static int add_strings(core_state *state) {
#define ADD_STRING(field, text)                                                \
  if ((state->field = PyUnicode_InternFromString(text)) == NULL)               \
    return -1;
  STATE_STRINGS(ADD_STRING)
#undef ADD_STRING
  state->empty_bytes = PyBytes_FromStringAndSize(NULL, 0);
  state->names = params_known_names();
  return state->empty_bytes == NULL || state->names == NULL ? -1 : 0;
}

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **out) {
  *out = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
  return *out == NULL ? -1 : PyModule_AddType(module, *out);
}

static int core_exec(PyObject *module) {
  core_state *state = PyModule_GetState(module);
  const Py_tss_t unset = Py_tss_NEEDS_INIT;
  fcgi_standard_hold();
  state->serving = unset;
  if (PyThread_tss_create(&state->serving) != 0) {
    PyErr_NoMemory();
    return -1;
  }
  if (errors_init(module, state) < 0 || add_strings(state) < 0 ||
      add_type(module, &server_spec, &state->server_type) < 0 ||
      add_type(module, &request_spec, &state->request_type) < 0 ||
      add_type(module, &start_response_spec, &state->start_response_type) < 0 ||
      add_type(module, &file_wrapper_spec, &state->file_wrapper_type) < 0 ||
      add_type(module, &options_spec, &state->options_type) < 0 ||
      add_type(module, &shared_spec, &state->shared_type) < 0 ||
      add_type(module, &resource_spec, &state->resource_type) < 0)
    return -1;
  return PyModule_AddStringConstant(module, "__version__", fcgi_version());
}

static int core_traverse(PyObject *module, visitproc visit, void *arg) {
  core_state *state = PyModule_GetState(module);
  Py_VISIT(state->server_type);
  Py_VISIT(state->request_type);
  Py_VISIT(state->start_response_type);
  Py_VISIT(state->file_wrapper_type);
  Py_VISIT(state->options_type);
  Py_VISIT(state->shared_type);
  Py_VISIT(state->resource_type);
  Py_VISIT(state->unavailable);
  Py_VISIT(state->error);
  for (int i = 0; i < ERROR_COUNT; i++)
    Py_VISIT(state->errors[i]);
  Py_VISIT(state->names);
  return 0;
}

static int core_clear(PyObject *module) {
  core_state *state = PyModule_GetState(module);
  Py_CLEAR(state->server_type);
  Py_CLEAR(state->request_type);
  Py_CLEAR(state->start_response_type);
  Py_CLEAR(state->file_wrapper_type);
  Py_CLEAR(state->options_type);
  Py_CLEAR(state->shared_type);
  Py_CLEAR(state->resource_type);
  Py_CLEAR(state->unavailable);
  Py_CLEAR(state->error);
  for (int i = 0; i < ERROR_COUNT; i++)
    Py_CLEAR(state->errors[i]);
  Py_CLEAR(state->names);
  Py_CLEAR(state->empty_bytes);
#define CLEAR_STRING(field, text) Py_CLEAR(state->field);
  STATE_STRINGS(CLEAR_STRING)
#undef CLEAR_STRING
  return 0;
}

static void core_free(void *module) {
  core_state *state = PyModule_GetState(module);
  core_clear(module);
  if (PyThread_tss_is_created(&state->serving))
    PyThread_tss_delete(&state->serving);
}

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyMethodDef core_methods[] = {
    {"raise_in_thread", abort_raise_in_thread, METH_VARARGS,
     "raise_in_thread($module, thread, exception, /)\n--\n\n"
     "Raise an exception, given as its class, in the thread with that ident; "
     "None takes\none back that has not been raised yet."},
    {"supervise", (PyCFunction)(void (*)(void))supervisor_run,
     METH_VARARGS | METH_KEYWORDS,
     "supervise($module, **options)\n--\n\n"
     "Start workers, which execute `command`, and replace them until stopped; "
     "returns\nan exit status. Signals and children are the supervisor's "
     "meanwhile."},
    {NULL, NULL, 0, NULL},
};

struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "fastcgi._core",
    .m_doc = "The FastCGI core for Python; use it through `fastcgi`.",
    .m_size = sizeof(core_state),
    .m_methods = core_methods,
    .m_slots = core_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void) {
  return PyModuleDef_Init(&core_module);
}
