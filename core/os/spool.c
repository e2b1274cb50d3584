/* SPDX-License-Identifier: MIT */
#include "os/spool.h"
#include "os/file.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int append_file(fcgi__spool *body, const uint8_t *data, size_t len,
                       const char *dir) {
  if (body->fd < 0)
    body->fd = fcgi__file_temporary(dir);
  if (body->fd < 0 || !fcgi__file_may_have(body->file_len + len))
    return FCGI_ERR_SYSTEM;
  while (len > 0) {
    ssize_t done = pwrite(body->fd, data, len, (off_t)body->file_len);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return FCGI_ERR_SYSTEM;
    data += done;
    len -= (size_t)done;
    body->file_len += (uint64_t)done;
  }
  return 0;
}

/* A reader that lags keeps the start of the buffer unused. The rest is moved
   down once more than half is read. */
static void compact(fcgi__spool *body) {
  enum { LARGE = 65536 };
  fcgi__buffer *memory = &body->memory;
  if (body->head == 0 ||
      (body->head < memory->len &&
       (body->fd >= 0 || body->head < LARGE || body->head < memory->len / 2)))
    return;
  memmove(memory->data, memory->data + body->head, memory->len - body->head);
  memory->len -= body->head;
  body->head = 0;
  body->gone = 1;
}

/* What is read makes room for more, as more comes: memory, and then the file. A
   file that cannot be cut is written on at its end. */
static void reuse_room(fcgi__spool *body) {
  compact(body);
  if (body->file_len > 0 && body->file_head == body->file_len &&
      ftruncate(body->fd, 0) == 0) {
    body->file_head = body->file_len = 0;
    body->gone = 1;
  }
}

int fcgi__spool_append(fcgi__spool *body, const fcgi_allocator *allocator,
                       const void *data, size_t len, size_t limit,
                       const char *dir) {
  const uint8_t *bytes = data;
  size_t room = len;
  int error;
  reuse_room(body);
  if (body->file_len > 0)
    room = 0; /* What comes later is read later. */
  else if (limit > 0)
    room = limit > body->memory.len ? limit - body->memory.len : 0;
  room = room < len ? room : len;
  error = fcgi__buffer_append(&body->memory, allocator, bytes, room);
  if (!error && room < len)
    error = append_file(body, bytes + room, len - room, dir);
  return error;
}

int fcgi__spool_rewind(fcgi__spool *body) {
  if (body->gone)
    return FCGI_ERR_STATE;
  body->head = 0;
  body->file_head = 0;
  return 0;
}

ptrdiff_t fcgi__spool_read(fcgi__spool *body, void *data, size_t len) {
  size_t held = body->memory.len - body->head;
  ssize_t done;
  if (held > 0) {
    len = len < held ? len : held;
    memcpy(data, body->memory.data + body->head, len);
    body->head += len;
    return (ptrdiff_t)len;
  }
  if (body->fd < 0 || body->file_head == body->file_len)
    return 0;
  if (len > body->file_len - body->file_head)
    len = (size_t)(body->file_len - body->file_head);
  do
    done = pread(body->fd, data, len, (off_t)body->file_head);
  while (done < 0 && errno == EINTR);
  if (done <= 0)
    return FCGI_ERR_SYSTEM;
  body->file_head += (uint64_t)done;
  return done;
}

uint64_t fcgi__spool_unread(const fcgi__spool *body) {
  return body->memory.len - body->head + (body->file_len - body->file_head);
}

void fcgi__spool_clear(fcgi__spool *body, const fcgi_allocator *allocator) {
  fcgi__buffer_clear(&body->memory, allocator);
  if (body->fd >= 0)
    close(body->fd);
  *body = (fcgi__spool){.fd = -1};
}
