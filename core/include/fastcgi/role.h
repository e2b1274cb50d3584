/* SPDX-License-Identifier: MIT */
/* Roles (specification 6): the three of FastCGI 1.0, and custom ones. */
#ifndef FASTCGI_ROLE_H
#define FASTCGI_ROLE_H

#include <stdint.h>

/* The input streams that a request of a role has after its PARAMS. */
typedef enum fcgi_role_streams {
  FCGI_STREAMS_NONE = 0,  /* None: the request is complete at the end of PARAMS.
                             If the web server sends STDIN anyway, it is
                             skipped. */
  FCGI_STREAMS_STDIN,     /* STDIN. */
  FCGI_STREAMS_STDIN_DATA /* STDIN, and after it DATA. */
} fcgi_role_streams;

/* A role that is served. FCGI_ROLE_SPECS lists those of the specification;
   their streams are fixed. */
typedef struct fcgi_role_spec {
  uint16_t number;           /* Number of the role in BEGIN_REQUEST, from 1. */
  fcgi_role_streams streams; /* The streams that follow PARAMS. */
  const char *name;          /* Name that people and handlers see; not empty. */
} fcgi_role_spec;

/* Initialisers of an array of fcgi_role_spec. */
#define FCGI_ROLE_SPEC_RESPONDER                                               \
  { 1, FCGI_STREAMS_STDIN, "responder" }
#define FCGI_ROLE_SPEC_AUTHORIZER                                              \
  { 2, FCGI_STREAMS_NONE, "authorizer" }
#define FCGI_ROLE_SPEC_FILTER                                                  \
  { 3, FCGI_STREAMS_STDIN_DATA, "filter" }
#define FCGI_ROLE_SPECS                                                        \
  FCGI_ROLE_SPEC_RESPONDER, FCGI_ROLE_SPEC_AUTHORIZER, FCGI_ROLE_SPEC_FILTER

#endif
