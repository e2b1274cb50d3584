/* SPDX-License-Identifier: MIT */
/* A case's `send` section as steps, with the parameters of the target put in
   front of those of each request. */
#ifndef FCGI_SPEC_SCRIPT_H
#define FCGI_SPEC_SCRIPT_H

#include "bytes.h"
#include "case_text.h"
#include <fastcgi/params.h>

typedef enum step_kind {
  STEP_SEND = 0,   /* Send `data`. */
  STEP_AWAIT,      /* Read until the line `data` has come. */
  STEP_CLOSE,      /* Close the connection. */
  STEP_RESET,      /* Reset it. */
  STEP_HALF_CLOSE, /* Send nothing more, but read. */
  STEP_WAIT        /* Be silent: the reading that follows waits. */
} step_kind;

typedef struct script_step {
  step_kind kind; /* What the step does. */
  bytes data;     /* STEP_SEND: the bytes, owned. */
} script_step;

/* Zero-initialise it; script_free it. */
typedef struct script {
  script_step *at;    /* The steps. */
  size_t count;       /* Number of steps. */
  int multiplexes;    /* 1: two requests are open at once. */
  int awaits_output;  /* 1: it awaits output before a request has ended. */
  int gone;           /* 1: it ends with the web server closing. */
  fcgi_param *params; /* What goes in front; its texts are the caller's. */
  size_t param_count; /* Number of parameters. */
  long *lengths;      /* Private: the body of each id; NULL: not told. */
  uint8_t *ids;       /* Private: a set of ID_ flags for each id. */
  size_t open;        /* Private: requests begun and not awaited. */
} script;

/* Build the steps of `text`. A parameter that the case itself has is left out
   of `params`. With `measured` a request also gets the CONTENT_LENGTH that it
   has, as CGI wants it (RFC 3875, 4.1.2), where the case does not say one. */
void script_read(script *s, const case_text *text, const fcgi_param *params,
                 size_t count, int measured);
void script_free(script *s);

/* 1 when the case sends ABORT_REQUEST for the id. */
int script_aborts(const script *s, uint16_t id);

/* 1 when some request of the case has a body, sent or promised, that the
   application is to read. */
int script_posts(const case_text *text);

#endif
