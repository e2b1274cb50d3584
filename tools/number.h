/* SPDX-License-Identifier: MIT */
/* Numbers of the command line, read whole or not at all. */
#ifndef FCGI_TOOLS_NUMBER_H
#define FCGI_TOOLS_NUMBER_H

#include <fastcgi/options.h>
#include <stdint.h>

/* A whole number from `least` to `most`, digits and nothing else: 0, or -1. */
int tool_number(const char *text, long long least, long long most,
                long long *out);

/* A number such as 30 or 0.25 from `least` to `most`: digits, perhaps with a
   fraction, and no sign, space or exponent. 0, or -1. */
int tool_decimal(const char *text, double least, double most, double *out);

/* A value of an option, read as the launchers read theirs: 30s, 64K. 0, or
   TOOL_USAGE after a complaint that names its range. */
int tool_value(const char *command, const fcgi_option *option, const char *text,
               int64_t *out);

/* A time as seconds. */
int tool_seconds(const char *command, const fcgi_option *option,
                 const char *text, double *out);

#endif
