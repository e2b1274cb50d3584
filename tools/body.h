/* SPDX-License-Identifier: MIT */
/* What -d and --file send. */
#ifndef FCGI_TOOLS_BODY_H
#define FCGI_TOOLS_BODY_H

#include <fastcgi/client.h>
#include <stdint.h>

/* Text, or a file. Zero-initialised is empty; tool_body_free it. */
typedef struct tool_body {
  char *text;       /* The text; NULL when there is none. */
  int has_file;     /* 1: `fd` is sent instead. */
  int fd;           /* Descriptor of a regular file, owned. */
  int64_t len;      /* Number of bytes of the body. */
  int64_t modified; /* A file's time of modification, in seconds. */
} tool_body;

/* Add `value` as -d takes it: DATA, joined to earlier ones by "&", or @FILE,
   where @- is stdin. 0, or an exit status after a complaint. */
int tool_body_add(tool_body *body, const char *value);

/* Open the file at `path`, "-" for stdin; a pipe is read to its end first, so
   that its length is known. 0, or an exit status after a complaint. */
int tool_body_open(tool_body *body, const char *path);

/* Send it on a stream, from its start; end the stream. */
int tool_body_send(const tool_body *body, fcgi_client *client, uint16_t id,
                   fcgi_stream stream);

void tool_body_free(tool_body *body);

#endif
