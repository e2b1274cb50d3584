/* SPDX-License-Identifier: MIT */
/* A web server at the other end of a connection, which says what a script
   wants, and checks that what it hears is whole records. */
#ifndef FUZZ_WEB_H
#define FUZZ_WEB_H

#include "fuzz/script.h"

#include <stdint.h>
#include <sys/socket.h>

typedef struct web {
  int joined;        /* 1: `fd` is open. */
  int fd;            /* Descriptor of this end of the connection. */
  uint8_t header[8]; /* Of the record that comes. */
  size_t have;       /* Bytes of it. */
  size_t rest;       /* Bytes of content and padding to come. */
} web;

/* Connect: the other end is handed over through `in`. */
void web_join(web *w, int in);

/* Connect to what fcgi_server_address names: 127.0.0.1:port or unix:@name.
   Where that fails it stays apart. */
void web_connect(web *w, const char *address);

/* Close, whatever is unread. Nothing where it has not joined. */
void web_leave(web *w);

/* Send no more, and go on reading. */
void web_end_sending(web *w);

/* Read up to `most` bytes of what has come, and check it. */
void web_receive(web *w, size_t most);

/* Send the next thing of the script: bytes, a record, or a whole request. */
void web_say(web *w, script *s);

/* Send so many short requests without a body at once. */
void web_say_many(web *w, int count);

#endif
