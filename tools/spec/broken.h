/* SPDX-License-Identifier: MIT */
/* How the readers of cases fail. */
#ifndef FCGI_SPEC_BROKEN_H
#define FCGI_SPEC_BROKEN_H

/* A case is malformed, or memory is short: say so and end. Whoever links the
   readers defines it: the command, and the tests. */
_Noreturn __attribute__((format(printf, 1, 2))) void
spec_broken(const char *format, ...);

#endif
