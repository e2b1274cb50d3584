/* SPDX-License-Identifier: MIT */
/* An answer taken out of Python objects, so that it can be sent without the
   GIL. It keeps references to everything its pointers point into. */
#ifndef FASTCGI_PYTHON_REPLY_H
#define FASTCGI_PYTHON_REPLY_H

#include "request.h"

#define REPLY_USUAL   "200 OK" /* A status line that the core writes too. */
#define REPLY_HEADERS 32       /* More than these go to allocated memory. */
#define REPLY_WHY     256      /* Bytes of a reason. */
#define REPLY_MEMO    16       /* So many headers are remembered, */
#define REPLY_TEXT    1024     /* if they are no longer than this. */
#define REPLY_PARTS   16       /* Longer lists of blocks are joined first. */

typedef struct reply {
  int status;                       /* HTTP status. */
  char has_length;                  /* 1 when Content-Length is given. */
  char bytes_only;                  /* 1 when str is no body (WSGI). */
  char line;                        /* 1 when header 0 is the status line. */
  char usual;                       /* 1 when the line is REPLY_USUAL. */
  char unsure;                      /* 1 when the core is to judge the lengths
                                       given. */
  char length_text[24];             /* The one that is added. */
  size_t count;                     /* Headers in use. */
  size_t room;                      /* Headers there is room for. */
  fcgi_header *headers;             /* `fixed`, or allocated. */
  PyObject **owners;                /* Two strings a header, or NULL. */
  fcgi_header fixed[REPLY_HEADERS]; /* Room for most answers. */
  PyObject *fixed_owners[2 * REPLY_HEADERS]; /* Their strings. */
  int64_t length;              /* The Content-Length given, or -1. */
  int parts;                   /* Blocks of body. */
  Py_buffer part[REPLY_PARTS]; /* The blocks. */
} reply;

/* Headers that were good: the same strings are it again. */
typedef struct reply_memo {
  PyObject *texts[2 * REPLY_MEMO]; /* Names and values by index, or NULL. */
} reply_memo;

/* Begin with `status` and nothing else; a reply is cleared before it is used
   again. */
void reply_init(reply *self, int status);
void reply_clear(reply *self);

/* Take headers from a dict of str to str or a sequence of (name, value); None
   adds nothing. -1 with an exception. */
int reply_headers(reply *self, PyObject *headers);

/* Take one header from two strings. -1 with an exception. */
int reply_pair(reply *self, PyObject *name, PyObject *value);

/* The same from two bytes objects, as ASGI has them. */
int reply_bytes_pair(reply *self, PyObject *name, PyObject *value);

/* Take one header from C strings that outlive the reply. */
int reply_header(reply *self, const char *name, const char *value);

/* Take the whole body when it is there at once: bytes-like, str (as UTF-8),
   None, or a list or tuple of those: 1. 0 when it must be iterated over, -1
   with an exception. */
int reply_body(reply *self, PyObject *body);

/* Bytes of body taken. */
size_t reply_body_len(const reply *self);

/* 1 when Content-Length is not given, or is the length of the body. */
int reply_length_fits(const reply *self);

/* Add Content-Length `len` when the status allows one and none is given. */
int reply_add_length(reply *self, size_t len, int is_head);

/* Raise ValueError for a head that the core has refused: `what` does not
   happen, and which header, called `kind`, is the reason, or else `why`. */
void reply_refused(const reply *self, const char *what, const char *kind,
                   const char *why);

/* Whether the method is HEAD, whose answer may leave its body out; -1 with an
   exception when the request has ended. */
int reply_is_head(request_object *request);

/* Begin the answer with the status and the headers, and a body of `known` bytes
   or, with -1, of any: 0, or -1 with an exception. It does not block. */
int reply_start(reply *self, request_object *request, int64_t known);

/* 1 when the core is sure to take the status and the headers. */
int reply_is_good(const reply *self, reply_memo *memo);
void reply_memo_clear(reply_memo *memo);

/* Send the whole answer, which is good and has at most one block of body, with
   Content-Length unless the status forbids it, and end the request. Needs no
   GIL. 0, or an error code of the core; the handle is dead either way. */
int reply_respond(const reply *self, fcgi_request *handle);

/* Write the body; needs no GIL. 0, or an error code of the core. */
int reply_write(const reply *self, fcgi_request *handle);

/* Write all the bytes; needs no GIL. 0, or an error code of the core. */
int reply_write_bytes(fcgi_request *handle, const void *data, size_t len);

/* Write the first `len` bytes of a block, without the GIL, and with `flush`
   send them: 0; 1 where nobody reads them; -1 with an exception. */
int reply_send(request_object *request, const Py_buffer *block, Py_ssize_t len,
               int flush);

/* Take one block of a body into `view`: bytes-like, or str as UTF-8. */
int reply_block(PyObject *block, Py_buffer *view);

#endif
