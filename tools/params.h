/* SPDX-License-Identifier: MIT */
/* The parameters of a request that is to be sent. */
#ifndef FCGI_TOOLS_PARAMS_H
#define FCGI_TOOLS_PARAMS_H

#include <fastcgi/params.h>

/* Names are unique. Zero-initialised is empty; tool_params_free it. */
typedef struct tool_params {
  fcgi_param *at; /* Each with copies of its texts. */
  size_t count;   /* Number of parameters. */
} tool_params;

/* Set a parameter to a value, instead of an earlier one. */
void tool_params_set(tool_params *params, const char *name, const char *value);

/* Take a parameter out, if it is there. */
void tool_params_remove(tool_params *params, const char *name);

/* What -p says: "NAME=VALUE" sets one, "NAME" takes one out. */
void tool_params_apply(tool_params *params, const char *text);

/* The value of a parameter, or NULL. */
const char *tool_params_get(const tool_params *params, const char *name);

/* What a web server says about a request for `uri`: path and query, method,
   and itself. */
void tool_params_request(tool_params *params, const char *method,
                         const char *uri);

/* The parameter of a request header "Name: value": 0, or -1 when it is none.
   With `again` it is joined to the one before (RFC 9110, 5.3, and 5.4 of RFC
   6265 for cookies). */
int tool_params_header(tool_params *params, const char *header, int again);

void tool_params_free(tool_params *params);

#endif
