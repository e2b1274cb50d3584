/* SPDX-License-Identifier: MIT */
/* Options between Python and the core. */
#ifndef FASTCGI_PYTHON_OPTIONS_H
#define FASTCGI_PYTHON_OPTIONS_H

#include "state.h"

/* Give an option the value of a keyword argument: 0, or -1 with TypeError or
   ValueError. None is no limit where an option may be without one, and else it
   says nothing. */
int options_give(fcgi_options *options, const fcgi_option *option,
                 PyObject *value);

/* Give all keyword arguments of Server(): 0, or -1 with an exception. */
int options_give_server(fcgi_options *options, PyObject *kwargs);

/* Give one keyword argument of `call`, "serve" or "main": 0, or -1 with an
   exception that names it. */
int options_give_serve(fcgi_options *options, const char *call, PyObject *key,
                       PyObject *value);

/* New options of Python's launcher, or NULL with an exception. */
fcgi_options *options_new(void);

/* What an object of fastcgi._core.Options, which is `type`, holds; NULL with
   TypeError for any other. */
fcgi_options *options_of(PyObject *value, PyTypeObject *type);

/* The value of an option, or its default, as Python has it: new, or NULL with
   an exception. */
PyObject *options_value(const fcgi_options *options, const fcgi_option *option);

#endif
