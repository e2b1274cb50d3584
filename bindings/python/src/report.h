/* SPDX-License-Identifier: MIT */
#ifndef FASTCGI_PYTHON_REPORT_H
#define FASTCGI_PYTHON_REPORT_H

#include "request.h"

/* Put an exception that ends `request` in the log of its server, which goes on
   whether it is read or not: a traceback below the line `what`, or one line
   where a resource could not be had. `what` NULL names the request, which has
   not ended. The exception is normalised; none is raised now. */
void report_failure(request_object *request, PyObject *what, PyObject *type,
                    PyObject *value, PyObject *traceback);

#endif
