/* SPDX-License-Identifier: MIT */
/* Files as answers: regular ones by their descriptor, what io.popen and others
   give by reading it. */
#include "lua_fcgi.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 16384 }; /* Bytes read at once. */

/* A part of a file that is asked for. */
typedef struct file_part {
  FILE *stream;       /* The file that Lua has open, or NULL. */
  int fd;             /* Its descriptor, or that of a path. */
  lua_Integer offset; /* The first byte. */
  lua_Integer len;    /* Bytes, or -1: all up to the end. */
} file_part;

static int fail_with(int error) {
  errno = error;
  return FCGI_ERR_SYSTEM;
}

/* fread, which a signal does not end. */
static size_t read_block(FILE *stream, char *data, size_t len) {
  size_t got;
  do {
    clearerr(stream);
    got = fread(data, 1, len, stream);
  } while (got == 0 && ferror(stream) && errno == EINTR);
  return got;
}

/* What cannot seek is read from where it stands, its buffer first. */
static int send_stream(fcgi_lua_request *request, const file_part *part) {
  char data[BLOCK];
  lua_Integer left = part->len < 0 ? LUA_MAXINTEGER : part->len;
  if (part->offset > 0)
    return fail_with(ESPIPE);
  while (left > 0) {
    size_t want = left < BLOCK ? (size_t)left : BLOCK, taken = 0;
    size_t got = read_block(part->stream, data, want);
    struct iovec block = {data, got};
    int code;
    if (got == 0 && ferror(part->stream))
      return FCGI_ERR_SYSTEM;
    if (got == 0)
      return part->len < 0 ? 0 : fail_with(ENODATA);
    code = fcgi_lua_send_slices(request, &block, 1, &taken);
    if (code != 0)
      return code;
    left -= (lua_Integer)got;
  }
  return 0;
}

/* What was written to the file is read from it too, and what cannot be read
   is not sent. */
static int settle(const file_part *part) {
  int flags = fcntl(part->fd, F_GETFL);
  if (flags < 0 || fflush(part->stream) != 0)
    return FCGI_ERR_SYSTEM;
  return (flags & O_ACCMODE) == O_WRONLY ? fail_with(EBADF) : 0;
}

/* 0, 1 where nobody reads it, or an error, which is EINVAL where there is no
   end to send to. */
static int send_part(fcgi_lua_request *request, const file_part *part) {
  struct stat file;
  int code = 0;
  if (fstat(part->fd, &file) < 0)
    return FCGI_ERR_SYSTEM;
  if (S_ISDIR(file.st_mode))
    return fail_with(EISDIR);
  if (!S_ISREG(file.st_mode) && part->stream)
    return send_stream(request, part);
  if (part->len < 0 && !S_ISREG(file.st_mode))
    return fail_with(EINVAL);
  if (part->stream)
    code = settle(part);
  if (code < 0 || part->len == 0)
    return code;
  code =
      fcgi_request_send_file(request->handle, part->fd, (uint64_t)part->offset,
                             part->len < 0 ? FCGI_TO_END : (uint64_t)part->len);
  request->answered |= code >= 0 || code == FCGI_ERR_INVALID;
  return code;
}

/* Open the path at 2, or take the open Lua file there. */
static void find_file(lua_State *L, file_part *part) {
  luaL_Stream *stream = luaL_testudata(L, 2, LUA_FILEHANDLE);
  if (stream) {
    luaL_argcheck(L, stream->closef, 2, "the file is closed");
    part->stream = stream->f;
    part->fd = fileno(stream->f);
  } else {
    part->fd = open(luaL_checkstring(L, 2), O_RDONLY | O_CLOEXEC);
  }
}

int fcgi_lua_send_file(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  file_part part = {.offset = luaL_optinteger(L, 3, 0),
                    .len = luaL_optinteger(L, 4, -1)};
  luaL_argcheck(L, part.offset >= 0, 3, "an offset cannot be negative");
  luaL_argcheck(L, part.len >= 0 || lua_isnoneornil(L, 4), 4,
                "a length cannot be negative");
  find_file(L, &part);
  int code = part.fd < 0 ? FCGI_ERR_SYSTEM : send_part(request, &part);
  int error = errno;
  if (!part.stream && part.fd >= 0)
    close(part.fd);
  if (code == FCGI_ERR_SYSTEM && !part.stream)
    return fcgi_lua_fail(
        L, code,
        lua_pushfstring(L, "%s: %s", lua_tostring(L, 2), strerror(error)));
  errno = error;
  if (code < 0)
    return fcgi_lua_fail_answer(L, code);
  lua_settop(L, 1);
  return 1;
}
