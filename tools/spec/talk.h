/* SPDX-License-Identifier: MIT */
/* What an application says on one connection, request by request: as it came,
   or as a case wants it. */
#ifndef FCGI_SPEC_TALK_H
#define FCGI_SPEC_TALK_H

#include "bytes.h"
#include <fastcgi/record.h>

/* All that is said about one request, from its first record to END_REQUEST. */
typedef struct exchange {
  uint16_t id;         /* Id of the request. */
  bytes out;           /* What came on STDOUT, owned. */
  bytes err;           /* What came on STDERR, owned. */
  int out_closed;      /* 1: the empty STDOUT came. */
  int err_closed;      /* 1: the empty STDERR came. */
  int ended;           /* 1: END_REQUEST came. */
  uint32_t app_status; /* appStatus of END_REQUEST. */
  uint8_t status;      /* A fcgi_protocol_status. */
  int http;            /* Wanted: the HTTP status; 0: `out` as it is. */
  int aborted;         /* Wanted: 1 when the case aborts it. */
} exchange;

/* Zero-initialise it; talk_free it. */
typedef struct talk {
  exchange *at;        /* Exchanges in the order they began. */
  size_t count;        /* Number of entries in use. */
  bytes *values;       /* GET_VALUES_RESULTs, as lines NAME=VALUE. */
  size_t values_count; /* Number of values. */
  bytes unknown;       /* UNKNOWN_TYPEs: the types. */
  bytes problem;       /* The first rule of FastCGI that was broken. */
} talk;

void talk_free(talk *t);

/* A record has come. */
void talk_record(talk *t, const fcgi_record *record, const uint8_t *content);

/* A line of a case's `answer` section is wanted. */
void talk_want(talk *t, const char *line);

/* The exchange `index` (0: the first) of a request, or NULL. */
exchange *talk_find(const talk *t, uint16_t id, size_t index);

/* How often a line, such as "end 1", "stdout_end 1" or "values", is among what
   came. */
size_t talk_count(const talk *t, const char *line);

/* Describe an exchange for a person. */
void talk_describe(bytes *out, const exchange *e);

#endif
