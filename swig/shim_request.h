/* SPDX-License-Identifier: MIT */
/* Calls on a request, for the files that hold them. */
#ifndef FCGI_SWIG_SHIM_REQUEST_H
#define FCGI_SWIG_SHIM_REQUEST_H

#include "shim_private.h"

/* Begin a call that no other may meet: the core's request, or NULL and an
   error when it is finished, in use, or its server is closed. */
fcgi_request *shim_request_claim(shim_request *request, shim_error *error);

/* End such a call: the request goes on, or has been finished with `code`. */
void shim_request_release(shim_request *request);
void shim_request_finish(shim_request *request, shim_error *error, int code);

#endif
