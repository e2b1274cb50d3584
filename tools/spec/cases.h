/* SPDX-License-Identifier: MIT */
/* The case files of tests/conformance/cases, put into the program when it is
   built. */
#ifndef FCGI_SPEC_CASES_H
#define FCGI_SPEC_CASES_H

#include <stddef.h>

typedef struct spec_source {
  const char *name; /* SECTION/NAME. */
  const char *text; /* What is in the file. */
} spec_source;

/* Sorted by name. */
extern const spec_source spec_sources[];
extern const size_t spec_source_count;

#endif
