/* SPDX-License-Identifier: MIT */
/* Roles (specification 6): the three of FastCGI 1.0, and custom ones. */
#ifndef FASTCGI_ROLE_H
#define FASTCGI_ROLE_H

#include <stdint.h>

/* The input streams that a request of a role takes after its PARAMS. */
typedef enum fcgi_role_streams {
  FCGI_STREAMS_NONE = 0,  /* It takes none: a request is whole at the end of
                             PARAMS, and STDIN that comes all the same is
                             skipped. */
  FCGI_STREAMS_STDIN,     /* It takes STDIN. */
  FCGI_STREAMS_STDIN_DATA /* It takes STDIN, and then DATA. */
} fcgi_role_streams;

/* A role that is served. FCGI_ROLE_SPECS lists those of the specification;
   their streams are fixed. */
typedef struct fcgi_role_spec {
  uint16_t number;           /* Its number in BEGIN_REQUEST, above 0. */
  fcgi_role_streams streams; /* The streams that follow PARAMS. */
  const char *name;          /* Its name for people and handlers, not empty. */
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
