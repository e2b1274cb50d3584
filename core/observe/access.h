/* SPDX-License-Identifier: MIT */
/* The access log: a line for each request once its answer has left. */
#ifndef FCGI_OBSERVE_ACCESS_H
#define FCGI_OBSERVE_ACCESS_H

#include "base/buffer.h"
#include "observe/logtext.h"
#include <fastcgi/event.h>
#include <fastcgi/params.h>
#include <stdint.h>
#include <time.h>

/* What is noted of a request until its line is written. */
typedef struct fcgi__access {
  struct timespec began; /* When its parameters were complete. */
  uint64_t started_us;   /* The same moment, monotonic. */
  uint64_t ended_us;     /* When it was ended; 0: not yet. */
  uint64_t written;      /* Bytes of STDOUT, the head among them. */
  uint64_t unsent;       /* Those of them that never left. */
  uint64_t head_len;     /* Bytes of the head. */
  fcgi__buffer head;     /* The head itself, or its beginning. */
} fcgi__access;

/* What a part of a line shows. */
typedef struct fcgi__access_view {
  const fcgi_params *params;  /* The request's. */
  const fcgi__access *access; /* What was noted. */
  int status;                 /* That left, or 0. */
  uint64_t bytes;             /* Of the body, that left. */
  uint64_t took_us;           /* From the parameters to the end. */
} fcgi__access_view;

typedef struct fcgi__access_part {
  void (*put)(fcgi__log_text *line, const struct fcgi__access_part *part,
              const fcgi__access_view *view); /* Writes it. */
  char *name;                                 /* For it: a text, a parameter or
                                                 a header. */
  size_t name_len;                            /* Bytes of that. */
} fcgi__access_part;

typedef struct fcgi__access_format {
  fcgi__access_part *parts; /* In order. */
  size_t count;             /* Number of parts. */
  char *names;              /* Where their names are. */
  char problem[192];        /* Why the format was refused, or "". */
} fcgi__access_format;

/* What can be in a line: part by part. A value that is lacking is "-". */
#define FCGI__ACCESS_PUT_MAP(X)                                                \
  X(text)                                                                      \
  X(dash)                                                                      \
  X(param)                                                                     \
  X(query)                                                                     \
  X(time)                                                                      \
  X(status)                                                                    \
  X(bytes)                                                                     \
  X(bytes_clf)                                                                 \
  X(seconds)                                                                   \
  X(milliseconds)                                                              \
  X(microseconds)                                                              \
  X(decimal)                                                                   \
  X(pid)                                                                       \
  X(header)                                                                    \
  X(request_line)                                                              \
  X(path)                                                                      \
  X(json)
#define FCGI__ACCESS_PUT(name)                                                 \
  void fcgi__access_put_##name(fcgi__log_text *line,                           \
                               const fcgi__access_part *part,                  \
                               const fcgi__access_view *view);
FCGI__ACCESS_PUT_MAP(FCGI__ACCESS_PUT)
#undef FCGI__ACCESS_PUT

/* The value of a header of the answer, or NULL. */
const char *fcgi__access_header(const fcgi__access *access, const char *name,
                                size_t name_len, size_t *len);

/* Read a format, NULL for "combined": 0, FCGI_ERR_NOMEM, or FCGI_ERR_INVALID
   with `out->problem` set. */
int fcgi__access_parse(fcgi__access_format *out,
                       const fcgi_allocator *allocator, const char *text);
void fcgi__access_clear(fcgi__access_format *format,
                        const fcgi_allocator *allocator);
/* Write the line of a request. */
void fcgi__access_line(fcgi__log_text *line, const fcgi__access_format *format,
                       const fcgi__access_view *view);

/* Make a format of its text; a wrong one is told by fcgi__access_check. 0, or
   FCGI_ERR_NOMEM. */
int fcgi__access_new(fcgi__access_format **out, const fcgi_allocator *allocator,
                     const char *text);
/* 0, or FCGI_ERR_INVALID with the reason in `why`; NULL is fine. */
int fcgi__access_check(const fcgi__access_format *format, char *why,
                       size_t size);
void fcgi__access_free(fcgi__access_format *format,
                       const fcgi_allocator *allocator);

/* A request begins: what to note of it. NULL without memory: then it has no
   line. */
fcgi__access *fcgi__access_begin(const fcgi_allocator *allocator);
/* Keep its head, as far as a line may ask for it; `sent` bytes of it are on
   their way. */
void fcgi__access_head(fcgi__access *access, const fcgi_allocator *allocator,
                       const void *data, size_t len, size_t sent);
/* The program has ended it. */
void fcgi__access_ended(fcgi__access *access);
/* Its line; `status` is the answer's, 0 where it has none, and `unsent` bytes
   of its STDOUT never left. */
void fcgi__access_write(fcgi__log_text *line, const fcgi__access_format *format,
                        const fcgi_params *params, fcgi__access *access,
                        int status, uint64_t unsent);
/* Free it; NULL is fine. */
void fcgi__access_drop(fcgi__access *access, const fcgi_allocator *allocator);

#endif
