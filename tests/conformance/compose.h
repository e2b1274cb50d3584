/* SPDX-License-Identifier: MIT */
/* Lines of a case's `send` section as the bytes they stand for. */
#ifndef CONFORMANCE_COMPOSE_H
#define CONFORMANCE_COMPOSE_H

#include "support/records.h"

/* Append the bytes of `line` to `out`. Fails the test when it is wrong. */
void compose(records *out, const char *line);

/* The number of a role, by name or as it is. */
unsigned long compose_role(const char *name);

#endif
