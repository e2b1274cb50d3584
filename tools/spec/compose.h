/* SPDX-License-Identifier: MIT */
/* Lines of a case's `send` section as the bytes they stand for. */
#ifndef FCGI_SPEC_COMPOSE_H
#define FCGI_SPEC_COMPOSE_H

#include "bytes.h"
#include <fastcgi/params.h>

/* Append the bytes of `line` to `out`; a wrong one ends in spec_broken. */
void compose(bytes *out, const char *line);

/* Append one PARAMS record with these parameters; none without any. */
void compose_params(bytes *out, uint16_t id, const fcgi_param *params,
                    size_t count);

/* The number of a role, by name or as it is. */
unsigned long compose_role(const char *name);

#endif
