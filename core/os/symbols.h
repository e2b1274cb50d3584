/* SPDX-License-Identifier: MIT */
/* Names of functions, from the files that the process has mapped. */
#ifndef FCGI_OS_SYMBOLS_H
#define FCGI_OS_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

enum { FCGI__SYMBOL = 96 }; /* Bytes of a name. */

/* The function at byte `offset` of the ELF file at `path`, static ones too
   where it is not stripped: 1 with its name and how far into it that is, or
   0. */
int fcgi__symbol_find(const char *path, uint64_t offset,
                      char name[FCGI__SYMBOL], uint64_t *into);

#endif
