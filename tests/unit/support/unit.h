/* SPDX-License-Identifier: MIT */
/* cmocka with the headers that it wants to be included before it. */
#ifndef UNIT_SUPPORT_UNIT_H
#define UNIT_SUPPORT_UNIT_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

/* A copy of `len` bytes in a heap block of just that size, so that the address
   sanitizer sees a read past its end; free(3) it. */
void *unit_exact_copy(const void *data, size_t len);

#endif
