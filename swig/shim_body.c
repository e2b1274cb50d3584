/* SPDX-License-Identifier: MIT */
/* Reading a request and answering it. */
#include "shim_request.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_AT_ONCE = 65536 };

typedef ptrdiff_t (*reader)(fcgi_request *, void *, size_t);

/* --- Reading -------------------------------------------------------------- */

/* Room for at least one more byte, and for `most` at the most. */
static int grow(shim_bytes *bytes, size_t *room, size_t most) {
  size_t larger = *room ? *room * 2 : READ_AT_ONCE;
  if (bytes->len < *room)
    return 1;
  if (larger > most)
    larger = most;
  char *grown = realloc(bytes->data, larger);
  if (!grown)
    return 0;
  bytes->data = grown;
  *room = larger;
  return 1;
}

/* Read until `most` bytes or the end, or once for `some`. */
static int gather(fcgi_request *core, reader read, size_t most, bool some,
                  shim_bytes *bytes) {
  size_t room = 0;
  ptrdiff_t got = 1;
  while (got > 0 && bytes->len < most) {
    if (!grow(bytes, &room, most))
      return FCGI_ERR_NOMEM;
    got = read(core, bytes->data + bytes->len, room - bytes->len);
    if (got > 0)
      bytes->len += (size_t)got;
    if (some)
      break;
  }
  return got < 0 ? (int)got : 0;
}

static shim_bytes read_with(shim_request *request, shim_error *error,
                            reader read, int64_t size, bool some) {
  shim_bytes bytes = {0};
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return bytes;
  int code =
      gather(core, read, size < 0 ? SIZE_MAX : (size_t)size, some, &bytes);
  shim_request_release(request);
  if (code == 0 && !bytes.data && !(bytes.data = malloc(1)))
    code = FCGI_ERR_NOMEM;
  if (code) {
    shim_bytes_free(&bytes);
    shim_fail(error, code, NULL);
  }
  return bytes;
}

shim_bytes shim_request_read(shim_request *request, shim_error *error,
                             int64_t size) {
  return read_with(request, error, fcgi_request_read, size, false);
}

shim_bytes shim_request_read_some(shim_request *request, shim_error *error,
                                  int64_t size) {
  return read_with(request, error, fcgi_request_read, size, true);
}

shim_bytes shim_request_read_data(shim_request *request, shim_error *error,
                                  int64_t size) {
  return read_with(request, error, fcgi_request_read_data, size, false);
}

/* --- Headers -------------------------------------------------------------- */

/* Make room for one more header; its texts are one allocation, the name's. */
static fcgi_header *add_header(shim_request *request, size_t space) {
  fcgi_header *grown =
      realloc(request->headers, (request->header_count + 1) * sizeof *grown);
  char *texts = malloc(space + 1);
  if (grown)
    request->headers = grown;
  if (!grown || !texts) {
    free(texts);
    return NULL;
  }
  fcgi_header *header = &grown[request->header_count++];
  header->name = texts;
  return header;
}

static int keep_header(shim_request *request, const char *name, size_t name_len,
                       const char *value, size_t value_len) {
  fcgi_header *header = add_header(request, name_len + value_len);
  if (!header)
    return FCGI_ERR_NOMEM;
  char *texts = (char *)(uintptr_t)header->name;
  if (name_len > 0)
    memcpy(texts, name, name_len);
  if (value_len > 0)
    memcpy(texts + name_len, value, value_len);
  *header = (fcgi_header){texts, name_len, texts + name_len, value_len};
  return 0;
}

void shim_request_header(shim_request *request, shim_error *error,
                         const char *name, size_t name_len, const char *value,
                         size_t value_len) {
  if (!shim_request_claim(request, error))
    return;
  int code = keep_header(request, name, name_len, value, value_len);
  shim_request_release(request);
  if (code)
    shim_fail(error, code, NULL);
}

/* --- Writing -------------------------------------------------------------- */

static void done(shim_request *request, shim_error *error, int code) {
  shim_request_release(request);
  if (code < 0)
    shim_fail(error, code, NULL);
}

/* What is wrong with the head of an answer takes the place of the code's own
   text. */
static int judge(const shim_request *request, fcgi_request *core, int status,
                 int64_t len, shim_error *error) {
  char why[256];
  int code =
      fcgi_request_check_answer(core, status, request->headers,
                                request->header_count, len, why, sizeof why);
  if (code)
    shim_fail(error, code, why);
  return code;
}

void shim_request_start(shim_request *request, shim_error *error, int status) {
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return;
  if (judge(request, core, status, -1, error)) {
    shim_request_release(request);
    return;
  }
  int code =
      fcgi_request_start(core, status, request->headers, request->header_count);
  done(request, error, code);
}

static int write_all(fcgi_request *core, const char *data, size_t len) {
  while (len > 0) {
    ptrdiff_t took = fcgi_request_write(core, data, len);
    if (took < 0) /* What nobody reads counts as written. */
      return took == FCGI_ERR_CLOSED ? 0 : (int)took;
    data += took;
    len -= (size_t)took;
  }
  return 0;
}

void shim_request_write(shim_request *request, shim_error *error,
                        const void *data, size_t len) {
  fcgi_request *core = shim_request_claim(request, error);
  if (core)
    done(request, error, write_all(core, data, len));
}

void shim_request_flush(shim_request *request, shim_error *error) {
  fcgi_request *core = shim_request_claim(request, error);
  if (core)
    done(request, error, fcgi_request_flush(core));
}

void shim_request_log(shim_request *request, shim_error *error,
                      const char *text, size_t text_len) {
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return;
  int code = fcgi_request_write_stderr(core, text, text_len);
  if (code == 0 && (text_len == 0 || text[text_len - 1] != '\n'))
    code = fcgi_request_write_stderr(core, "\n", 1);
  done(request, error, code);
}

static int send_path(fcgi_request *core, const char *path, int64_t offset,
                     int64_t len) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return FCGI_ERR_SYSTEM;
  int code = fcgi_request_send_file(core, fd, (uint64_t)offset,
                                    len < 0 ? FCGI_TO_END : (uint64_t)len);
  int saved = errno;
  close(fd);
  errno = saved;
  return code;
}

void shim_request_send_file(shim_request *request, shim_error *error,
                            const char *path, size_t path_len, int64_t offset,
                            int64_t len) {
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return;
  char *copy = shim_copy(path, path_len);
  int code = FCGI_ERR_NOMEM;
  if (copy && (offset < 0 || strlen(copy) != path_len))
    code = FCGI_ERR_INVALID;
  else if (copy)
    code = send_path(core, copy, offset, len);
  int saved = errno;
  done(request, error, code);
  if (code == FCGI_ERR_SYSTEM)
    snprintf(error->text, sizeof error->text, "%.180s: %.60s", copy,
             strerror(saved));
  free(copy);
}

void shim_request_reply(shim_request *request, shim_error *error, int status,
                        const char *type, size_t type_len, const void *data,
                        size_t len) {
  fcgi_request *core = shim_request_claim(request, error);
  if (!core)
    return;
  if (type_len > 0 &&
      keep_header(request, "Content-Type", 12, type, type_len)) {
    shim_request_finish(request, error, fcgi_request_fail(core));
    return;
  }
  if (judge(request, core, status, (int64_t)len, error)) {
    fcgi_request_fail(core);
    shim_request_finish(request, error, 0);
    return;
  }
  shim_request_finish(request, error,
                      fcgi_request_respond(core, status, request->headers,
                                           request->header_count, data, len));
}
