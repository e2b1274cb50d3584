/* SPDX-License-Identifier: MIT */
/* What the parts of `fcgi spec` share. */
#ifndef FCGI_SPEC_SPEC_H
#define FCGI_SPEC_SPEC_H

#include "../params.h"
#include "bytes.h"
#include "case_text.h"

/* The parameter that names the handler of a case, where the application keeps
   the echo contract (docs/conformance.md). */
#define SPEC_HANDLER "SPEC_HANDLER"

/* The application, as the command line and its first answer describe it. */
typedef struct spec_target {
  const char *address; /* Address of the application, as typed. */
  const char *uri;     /* --uri; NULL for "/". */
  const char *script;  /* --script; NULL for none. */
  const char *method;  /* --method; NULL: GET, POST for cases with a body. */
  const char **params; /* Values of -p, as typed. */
  size_t param_count;  /* Number of parameters. */
  const char *limits;  /* --limits: what it is configured with; "" if not. */
  int timeout_ms;      /* --timeout: the longest that an answer may take. */
  int echo;            /* --echo: 1 when it keeps the echo contract. */
  int plain_status;    /* The HTTP status of a plain request. */
  int unclosed;        /* 1: it does not close STDOUT with an empty record. */
  int closes;          /* 1: it closes connections that are to be kept. */
  int multiplexes;     /* FCGI_MPXS_CONNS; -1 when it does not say. */
} spec_target;

typedef enum spec_result { SPEC_PASS = 0, SPEC_FAIL, SPEC_SKIP } spec_result;

/* One case, and what came of it. */
typedef struct spec_case {
  const char *name;   /* SECTION/NAME. */
  char section[32];   /* The part before the slash. */
  case_text text;     /* What the file says. */
  spec_result result; /* How it ended. */
  bytes expected;     /* FAIL: what was expected. */
  bytes came;         /* FAIL: what came instead. SKIP: the reason. */
  double seconds;     /* How long it took. */
} spec_case;

/* Set the result; returns -1, so that a check can return it. */
__attribute__((format(printf, 3, 4))) int
spec_fail(spec_case *c, const char *came, const char *expected, ...);
__attribute__((format(printf, 2, 3))) int spec_skip(spec_case *c,
                                                    const char *reason, ...);

/* The parameters that go in front of those of each request: what the command
   line says, and the handler. tool_params_free them. */
void spec_params(const spec_target *target, const case_text *text,
                 tool_params *params);

#endif
