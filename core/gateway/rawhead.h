/* SPDX-License-Identifier: MIT */
/* The head of an answer as a CGI program writes it (RFC 3875, 6.2): lines that
   end in LF, with or without a CR before it, up to an empty one. */
#ifndef FCGI_GATEWAY_RAWHEAD_H
#define FCGI_GATEWAY_RAWHEAD_H

#include "gateway/head.h"

/* Where a head ends, found out in pieces. Zero-initialised it is at its
   beginning. */
typedef struct fcgi__rawhead {
  uint8_t done;    /* 1: the empty line has come. */
  uint8_t in_line; /* 1: a line has begun and has not ended. */
  uint8_t in_end;  /* 1: the CR of an empty line has come. */
} fcgi__rawhead;

/* How many of `len` further bytes are head, up to and with the empty line. */
size_t fcgi__rawhead_scan(fcgi__rawhead *scan, const char *data, size_t len);

/* One line of a head: a field, the empty line, or neither. */
typedef struct fcgi__rawhead_field {
  fcgi_header field; /* Its name is empty where there is no colon. */
  const char *begin; /* The whole line. */
  size_t len;        /* Bytes of it, with the end of the line. */
} fcgi__rawhead_field;

/* 1 and the line at `*at`, which moves behind it; 0 at `end`. */
int fcgi__rawhead_next(const char **at, const char *end,
                       fcgi__rawhead_field *out);

/* 1: the line ends in CR and LF. */
int fcgi__rawhead_is_crlf(const fcgi__rawhead_field *line);

/* Judge a whole head and fill in `*head`, whose status is the one that web
   servers show. What they understand in different ways is a fault, and
   `*culprit` the field at fault. */
fcgi__head_fault fcgi__rawhead_judge(const char *data, size_t len,
                                     fcgi__head *head, fcgi_header *culprit);

#endif
