/* SPDX-License-Identifier: MIT */
/* Numbers of the command line, read whole or not at all. */
#ifndef FCGI_TOOLS_NUMBER_H
#define FCGI_TOOLS_NUMBER_H

/* A whole number from `least` to `most`, digits and nothing else: 0, or -1. */
int tool_number(const char *text, long long least, long long most,
                long long *out);

/* A number such as 30 or 0.25 from `least` to `most`: digits, perhaps with a
   fraction, and no sign, space or exponent. 0, or -1. */
int tool_decimal(const char *text, double least, double most, double *out);

/* The same with a unit at the end, a letter of `units`, by whose factor it is
   multiplied. */
int tool_decimal_unit(const char *text, const char *units,
                      const double *factors, double least, double most,
                      double *out);

#endif
