/* SPDX-License-Identifier: MIT */
/* Reading a body like a file. Bytes that came with a line's end, or before an
   error, wait in the request's value for the next read. */
#include "lua_fcgi.h"
#include <stdlib.h>
#include <string.h>

enum { LINE_STEP = 8192, READ_STEP = 65536 };

static size_t ahead_left(const fcgi_lua_request *request) {
  return request->ahead_len - request->ahead_at;
}

/* Room for `size` bytes of read-ahead; 0 when out of memory. */
static int ahead_room(fcgi_lua_request *request, size_t size) {
  if (size <= request->ahead_size)
    return 1;
  char *grown = realloc(request->ahead, size);
  if (!grown)
    return 0;
  request->ahead = grown;
  request->ahead_size = size;
  return 1;
}

static size_t ahead_take(fcgi_lua_request *request, void *out, size_t most) {
  size_t taken = ahead_left(request) < most ? ahead_left(request) : most;
  if (taken)
    memcpy(out, request->ahead + request->ahead_at, taken);
  request->ahead_at += taken;
  return taken;
}

/* Put back what a failed read had already, so that nothing is lost. */
static void ahead_put(lua_State *L, fcgi_lua_request *request, const char *data,
                      size_t len) {
  if (!ahead_room(request, len))
    luaL_error(L, "out of memory");
  if (len)
    memcpy(request->ahead, data, len);
  request->ahead_at = 0;
  request->ahead_len = len;
}

/* Bytes of the body into `out`, those read ahead first. */
static ptrdiff_t next_bytes(fcgi_lua_request *request, void *out, size_t most) {
  if (ahead_left(request))
    return (ptrdiff_t)ahead_take(request, out, most);
  return fcgi_request_read(request->handle, out, most);
}

/* Give up a read: the bytes had so far go back and the code is returned. */
static int stop_reading(lua_State *L, fcgi_lua_request *request,
                        luaL_Buffer *had, ptrdiff_t code) {
  luaL_pushresult(had);
  size_t len;
  const char *data = lua_tolstring(L, -1, &len);
  ahead_put(L, request, data, len);
  return fcgi_lua_fail(L, (int)code, NULL);
}

/* Up to `most` bytes, fewer only at the body's end. */
static int read_bytes(lua_State *L, fcgi_lua_request *request, size_t most,
                      int nil_at_end) {
  luaL_Buffer bytes;
  luaL_buffinit(L, &bytes);
  size_t total = 0;
  while (total < most) {
    size_t step = most - total < READ_STEP ? most - total : READ_STEP;
    char *room = luaL_prepbuffsize(&bytes, step);
    ptrdiff_t got = next_bytes(request, room, step);
    if (got < 0)
      return stop_reading(L, request, &bytes, got);
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
static ptrdiff_t fill_ahead(lua_State *L, fcgi_lua_request *request) {
  if (ahead_left(request))
    return 1;
  if (!ahead_room(request, LINE_STEP))
    return luaL_error(L, "out of memory");
  request->ahead_at = request->ahead_len = 0;
  ptrdiff_t got = fcgi_request_read(request->handle, request->ahead, LINE_STEP);
  if (got > 0)
    request->ahead_len = (size_t)got;
  return got;
}

static int read_line(lua_State *L, fcgi_lua_request *request, int keep_end) {
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  ptrdiff_t got;
  size_t total = 0;
  while ((got = fill_ahead(L, request)) > 0) {
    const char *start = request->ahead + request->ahead_at;
    const char *end = memchr(start, '\n', ahead_left(request));
    size_t len = end ? (size_t)(end - start) : ahead_left(request);
    luaL_addlstring(&line, start, len + (end && keep_end));
    request->ahead_at += len + (end != NULL);
    total += len + (end != NULL);
    if (end)
      break;
  }
  if (got < 0)
    return stop_reading(L, request, &line, got);
  luaL_pushresult(&line);
  if (total == 0)
    lua_pushnil(L);
  return 1;
}

/* What io.read takes: a count, "a", "l" or "L", with or without "*". */
static int read_format(lua_State *L, fcgi_lua_request *request, int index) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    lua_Integer most = luaL_checkinteger(L, index);
    luaL_argcheck(L, most >= 0, index, "a count cannot be negative");
    return read_bytes(L, request, (size_t)most, 1);
  }
  const char *format = luaL_optstring(L, index, "l");
  format += *format == '*';
  switch (*format) {
  case 'a':
    return read_bytes(L, request, SIZE_MAX, 0);
  case 'l':
    return read_line(L, request, 0);
  case 'L':
    return read_line(L, request, 1);
  default:
    return luaL_argerror(L, index, "expected a count, \"a\", \"l\" or \"L\"");
  }
}

int fcgi_lua_read(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  lua_settop(L, 2);
  return read_format(L, request, 2);
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
  ptrdiff_t got = next_bytes(request, room, step);
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
  fcgi_lua_request *request = lua_touserdata(L, lua_upvalueindex(1));
  if (!fcgi_lua_request_open(request))
    return luaL_error(L, "the request is finished");
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  int results = read_format(L, request, 1);
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
