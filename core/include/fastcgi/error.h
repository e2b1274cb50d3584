/* SPDX-License-Identifier: MIT */
/* Error codes. A fallible function returns 0 or more on success and one of
   these negative codes on failure. */
#ifndef FASTCGI_ERROR_H
#define FASTCGI_ERROR_H

#include <fastcgi/export.h>

/* X(name, number, text): the one list that the enum, the texts and the
   constants of every binding are made from. */
#define FCGI_ERROR_MAP(X)                                                      \
  X(NOMEM, -1, "out of memory")                                                \
  X(INVALID, -2, "invalid argument")                                           \
  X(STATE, -3, "not allowed in this state")                                    \
  X(PROTOCOL, -4, "the peer broke the FastCGI protocol")                       \
  X(LIMIT, -5, "a configured limit was reached")                               \
  X(AGAIN, -6, "not possible now without blocking")                            \
  X(TIMEOUT, -7, "timed out")                                                  \
  X(CLOSED, -8, "closed")                                                      \
  X(ABORTED, -9, "the request was aborted")                                    \
  X(TRUNCATED, -10, "the body ended before CONTENT_LENGTH bytes")              \
  X(SYSTEM, -11, "a system call failed")                                       \
  X(UNSUPPORTED, -12, "not supported here")                                    \
  X(DAMAGED, -13, "shared memory was damaged, and has been emptied")

typedef enum fcgi_error {
#define FCGI_ERROR_ENUM(name, number, text) FCGI_ERR_##name = number,
  FCGI_ERROR_MAP(FCGI_ERROR_ENUM)
#undef FCGI_ERROR_ENUM
} fcgi_error;

/* Returns one sentence without a full stop for a code: "success" for 0 and
   more, "unknown error" for a code that is not in the list. Static; any
   thread. */
FCGI_EXPORT const char *fcgi_error_text(int code);

/* Returns the short name of a code, such as "NOMEM": "OK" for 0 and more,
   "UNKNOWN" for a code that is not in the list. Static; any thread. */
FCGI_EXPORT const char *fcgi_error_name(int code);

#endif
