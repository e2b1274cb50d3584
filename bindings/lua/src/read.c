/* SPDX-License-Identifier: MIT */
/* Reading a body like a file. Bytes that came with a line's end, or before an
   error, wait in the request's value for the next read. */
#include "lua_fcgi.h"
#include <stdlib.h>
#include <string.h>

enum { LINE_STEP = 8192, READ_STEP = 65536 };

/* The stream that is read. */
typedef struct source {
  fcgi_request *handle;  /* The request that is read, lent. */
  fcgi_lua_ahead *ahead; /* Bytes that come before those of `read`. */
  ptrdiff_t (*read)(fcgi_request *, void *, size_t); /* Gives the rest. */
} source;

static source body_of(fcgi_lua_request *request) {
  return (source){request->handle, &request->body, fcgi_request_read};
}

static source data_of(fcgi_lua_request *request) {
  return (source){request->handle, &request->data, fcgi_request_read_data};
}

static size_t ahead_left(const source *from) {
  return from->ahead->len - from->ahead->at;
}

/* Room for `size` bytes of read-ahead; 0 when out of memory. */
static int ahead_room(const source *from, size_t size) {
  if (size <= from->ahead->size)
    return 1;
  char *grown = realloc(from->ahead->bytes, size);
  if (!grown)
    return 0;
  from->ahead->bytes = grown;
  from->ahead->size = size;
  return 1;
}

static size_t ahead_take(const source *from, void *out, size_t most) {
  size_t taken = ahead_left(from) < most ? ahead_left(from) : most;
  if (taken)
    memcpy(out, from->ahead->bytes + from->ahead->at, taken);
  from->ahead->at += taken;
  return taken;
}

/* Put back what a failed read had already, so that nothing is lost. */
static void ahead_put(lua_State *L, const source *from, const char *data,
                      size_t len) {
  if (!ahead_room(from, len))
    luaL_error(L, "out of memory");
  if (len)
    memcpy(from->ahead->bytes, data, len);
  from->ahead->at = 0;
  from->ahead->len = len;
}

/* Bytes of the body into `out`, those read ahead first. */
static ptrdiff_t next_bytes(const source *from, void *out, size_t most) {
  if (ahead_left(from))
    return (ptrdiff_t)ahead_take(from, out, most);
  return from->read(from->handle, out, most);
}

/* Give up a read: the bytes had so far go back and the code is returned. */
static int stop_reading(lua_State *L, const source *from, luaL_Buffer *had,
                        ptrdiff_t code) {
  luaL_pushresult(had);
  size_t len;
  const char *data = lua_tolstring(L, -1, &len);
  ahead_put(L, from, data, len);
  return fcgi_lua_fail(L, (int)code, NULL);
}

/* Up to `most` bytes, fewer only at the body's end. */
static int read_bytes(lua_State *L, const source *from, size_t most,
                      int nil_at_end) {
  luaL_Buffer bytes;
  luaL_buffinit(L, &bytes);
  size_t total = 0;
  while (total < most) {
    size_t step = most - total < READ_STEP ? most - total : READ_STEP;
    char *room = luaL_prepbuffsize(&bytes, step);
    ptrdiff_t got = next_bytes(from, room, step);
    if (got < 0)
      return stop_reading(L, from, &bytes, got);
    if (got == 0)
      break;
    luaL_addsize(&bytes, (size_t)got);
    total += (size_t)got;
  }
  luaL_pushresult(&bytes);
  if (nil_at_end && total == 0 && most)
    lua_pushnil(L);
  return 1;
}

/* 1 when bytes are read ahead, 0 at the end, or an error. */
static ptrdiff_t fill_ahead(lua_State *L, const source *from) {
  if (ahead_left(from))
    return 1;
  if (!ahead_room(from, LINE_STEP))
    return luaL_error(L, "out of memory");
  from->ahead->at = from->ahead->len = 0;
  ptrdiff_t got = from->read(from->handle, from->ahead->bytes, LINE_STEP);
  if (got > 0)
    from->ahead->len = (size_t)got;
  return got;
}

static int read_line(lua_State *L, const source *from, int keep_end) {
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  ptrdiff_t got;
  size_t total = 0;
  while ((got = fill_ahead(L, from)) > 0) {
    const char *start = from->ahead->bytes + from->ahead->at;
    const char *end = memchr(start, '\n', ahead_left(from));
    size_t len = end ? (size_t)(end - start) : ahead_left(from);
    luaL_addlstring(&line, start, len + (end && keep_end));
    from->ahead->at += len + (end != NULL);
    total += len + (end != NULL);
    if (end)
      break;
  }
  if (got < 0)
    return stop_reading(L, from, &line, got);
  luaL_pushresult(&line);
  if (total == 0)
    lua_pushnil(L);
  return 1;
}

/* What io.read takes: a count, "a", "l" or "L", with or without "*". */
static int read_format(lua_State *L, const source *from, int index) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    lua_Integer most = luaL_checkinteger(L, index);
    luaL_argcheck(L, most >= 0, index, "a count cannot be negative");
    return read_bytes(L, from, (size_t)most, 1);
  }
  const char *format = luaL_optstring(L, index, "l");
  format += *format == '*';
  switch (*format) {
  case 'a':
    return read_bytes(L, from, SIZE_MAX, 0);
  case 'l':
    return read_line(L, from, 0);
  case 'L':
    return read_line(L, from, 1);
  default:
    return luaL_argerror(L, index, "expected a count, \"a\", \"l\" or \"L\"");
  }
}

int fcgi_lua_read(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  source body = body_of(request);
  lua_settop(L, 2);
  return read_format(L, &body, 2);
}

/* All of it by default: a filter seldom wants a line. */
int fcgi_lua_read_data(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  source data = data_of(request);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_pushliteral(L, "a");
    lua_replace(L, 2);
  }
  return read_format(L, &data, 2);
}

/* What has come already, or the next bytes to come: an echo must not wait for
   more than its peer sent. */
int fcgi_lua_read_some(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  lua_Integer most = luaL_optinteger(L, 2, READ_STEP);
  luaL_argcheck(L, most > 0, 2, "a count must be positive");
  luaL_Buffer bytes;
  size_t step = most < READ_STEP ? (size_t)most : READ_STEP;
  char *room = luaL_buffinitsize(L, &bytes, step);
  source body = body_of(request);
  ptrdiff_t got = next_bytes(&body, room, step);
  if (got < 0)
    return fcgi_lua_fail(L, (int)got, NULL);
  luaL_pushresultsize(&bytes, (size_t)got);
  if (got == 0)
    lua_pushnil(L);
  return 1;
}

/* The iterator of lines. Like that of io.lines it raises when reading fails:
   a loop over a body cut short must not look like a loop over a whole one. */
static int next_line(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_at(L, lua_upvalueindex(1));
  if (!request)
    return luaL_error(L, "the request is finished");
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  source body = body_of(request);
  int results = read_format(L, &body, 1);
  if (results == 3)
    return luaL_error(L, "reading the body: %s", lua_tostring(L, -2));
  return results;
}

int fcgi_lua_lines(lua_State *L) {
  fcgi_lua_request_check(L);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    lua_pushliteral(L, "l");
    lua_replace(L, 2);
  }
  lua_pushcclosure(L, next_line, 2);
  return 1;
}
