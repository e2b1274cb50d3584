/* SPDX-License-Identifier: MIT */
/* One line of a log, of bounded length, in which nothing that a client sends
   can look like anything else: it is neither another line nor a command to a
   terminal. */
#ifndef FCGI_OBSERVE_LOGTEXT_H
#define FCGI_OBSERVE_LOGTEXT_H

#include <stddef.h>

enum { FCGI__LOG_LINE = 8192 }; /* Bytes of a line, with its newline. */

typedef enum fcgi__log_style {
  FCGI__LOG_PLAIN, /* Bytes that are not shown are \xHH. */
  FCGI__LOG_JSON   /* The inside of a JSON string. */
} fcgi__log_style;

typedef struct fcgi__log_text {
  size_t len;                /* Bytes in use. */
  unsigned char cut;         /* 1: there was more. */
  char data[FCGI__LOG_LINE]; /* No NUL at its end. */
} fcgi__log_text;

/* Append characters that are the library's own. */
void fcgi__log_put(fcgi__log_text *line, const char *data, size_t len);
void fcgi__log_print(fcgi__log_text *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Append what somebody else chose. Control characters, quotes, backslashes and
   what is not UTF-8 are escaped, and where more than `most` bytes would come of
   it, the rest is "...". */
void fcgi__log_escape(fcgi__log_text *line, const char *data, size_t len,
                      fcgi__log_style style, size_t most);

/* End the line: "..." where it is cut, and the newline. */
void fcgi__log_finish(fcgi__log_text *line);

#endif
