/* SPDX-License-Identifier: MIT */
/* Where a thread of this process waits, in names of functions of C. */
#ifndef FCGI_OS_BACKTRACE_H
#define FCGI_OS_BACKTRACE_H

#include <stddef.h>

/* The functions that a sleeping thread is in, one a line: those of the program
   first, then those of libraries, each with its depth; "" where that cannot be
   found. The thread is not interrupted: its stack is searched for addresses
   that a call returns to, so that one may be there which has returned already.
 */
void fcgi__backtrace(long thread_id, char *out, size_t len);

/* The function that a call returns into at this address, such as "list_users
   (shop)"; "" where that cannot be found. */
void fcgi__backtrace_place(const void *address, char *out, size_t len);

#endif
