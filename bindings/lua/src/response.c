/* SPDX-License-Identifier: MIT */
/* Writing an answer: bodies from strings, lists, iterators and files. */
#include "lua_fcgi.h"
#include <errno.h>
#include <string.h>

enum {
  BATCH = 32,   /* Slices of one write. */
  JOINED = 4096 /* A list up to this length leaves as one text. */
};

static const char refused[] =
    "the answer is refused, as its head is not valid or promises another "
    "length: the log has the reason";

int fcgi_lua_fail_answer(lua_State *L, int code) {
  return fcgi_lua_fail(L, code, code == FCGI_ERR_INVALID ? refused : NULL);
}

/* Raises unless the core lets an answer begin so, whose body has `length`
   bytes or, below 0, at least -1 - `length`. */
static void judge(lua_State *L, const fcgi_lua_request *request, int status,
                  const fcgi_lua_headers *list, lua_Integer length) {
  char why[256];
  if (length < 0) {
    lua_Integer first = -1 - length;
    length = first > fcgi_lua_headers_length(list) ? first : -1;
  }
  if (list->has_length &&
      fcgi_request_check_answer(request->handle, status, list->items,
                                list->count, length, why, sizeof why) < 0)
    luaL_error(L, "%s", why);
}

/* Collect the headers at 3, and return the status at 2; raises when they are
   wrong, before anything is written. */
static int gather(lua_State *L, const fcgi_lua_request *request,
                  fcgi_lua_headers *list, lua_Integer length) {
  int exact;
  int type = lua_type(L, 3);
  lua_Integer status = lua_tointegerx(L, 2, &exact);
  if (!exact || status < 200 || status > 599 || lua_type(L, 2) != LUA_TNUMBER)
    luaL_error(L, "the status must be a number from 200 to 599 (got %s)",
               luaL_tolstring(L, 2, NULL));
  if (request->answered)
    luaL_error(L, "the answer has begun already");
  if (type > LUA_TNIL && type != LUA_TTABLE)
    luaL_error(L, "the headers must be a table (got a %s)",
               lua_typename(L, type));
  fcgi_lua_headers_collect(L, type == LUA_TTABLE ? 3 : 0, list);
  judge(L, request, (int)status, list, length);
  return (int)status;
}

int fcgi_lua_begin(lua_State *L, fcgi_lua_request *request,
                   lua_Integer length) {
  int top = lua_gettop(L);
  fcgi_lua_headers list;
  int status = gather(L, request, &list, length);
  /* RFC 9110, 8.6: no Content-Length with 204, none of ours with 304. */
  if (length >= 0 && fcgi_status_has_body(status))
    fcgi_lua_headers_add_length(L, &list, length);
  int code =
      fcgi_request_start(request->handle, status, list.items, list.count);
  request->answered |= code >= 0;
  lua_settop(L, top);
  return code;
}

/* What is wrong with the variables is found while the request can still fail:
   no mistake lets a client in. */
int fcgi_lua_allow(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  fcgi_lua_headers list;
  if (request->answered)
    luaL_error(L, "the answer has begun already");
  lua_settop(L, 2);
  if (!lua_isnil(L, 2))
    luaL_checktype(L, 2, LUA_TTABLE);
  fcgi_lua_headers_collect(L, lua_isnil(L, 2) ? 0 : 2, &list);
  int code = fcgi_request_allow(fcgi_lua_request_detach(request), list.items,
                                list.count);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

int fcgi_lua_start(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  lua_settop(L, 3);
  int code = fcgi_lua_begin(L, request, -1);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_settop(L, 1);
  return 1;
}

int fcgi_lua_send_slices(fcgi_lua_request *request, const struct iovec *slices,
                         int count, size_t *taken) {
  size_t want = 0;
  for (int i = 0; i < count; i++)
    want += slices[i].iov_len;
  if (want == 0)
    return 0;
  ptrdiff_t sent = fcgi_request_writev(request->handle, slices, count);
  if (sent >= 0 || sent == FCGI_ERR_INVALID)
    request->answered = 1;
  if (sent == FCGI_ERR_CLOSED)
    *taken += want;
  if (sent < 0)
    return sent == FCGI_ERR_CLOSED ? 1 : (int)sent;
  *taken += (size_t)sent;
  return (size_t)sent < want ? FCGI_ERR_AGAIN : 0;
}

/* Point a slice at the text of the string or number at `index`. */
static struct iovec slice_at(lua_State *L, int index) {
  size_t len;
  const char *text = lua_tolstring(L, index, &len);
  union {
    const char *read;
    void *base;
  } text_base = {text}; /* iovec has no const; nothing is written through it. */
  return (struct iovec){text_base.base, len};
}

int fcgi_lua_write(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  int top = lua_gettop(L);
  struct iovec slices[BATCH];
  size_t taken = 0;
  int code = 0;
  for (int i = 2; i <= top; i++)
    luaL_checkstring(L, i);
  for (int i = 2; i <= top && code >= 0;) {
    int count = 0;
    while (count < BATCH && i <= top)
      slices[count++] = slice_at(L, i++);
    code = fcgi_lua_send_slices(request, slices, count, &taken);
  }
  if (code < 0) {
    fcgi_lua_fail_answer(L, code);
    lua_pushinteger(L, (lua_Integer)taken);
    return 4;
  }
  lua_settop(L, 1);
  return 1;
}

int fcgi_lua_flush(lua_State *L) {
  int code = fcgi_request_flush(fcgi_lua_request_check(L)->handle);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_settop(L, 1);
  return 1;
}

int fcgi_lua_set_timeout(lua_State *L) {
  const fcgi_lua_request *request = fcgi_lua_request_check(L);
  fcgi_request_set_timeout(request->handle, fcgi_lua_wait(L, 2));
  return 0;
}

/* Each call is a line of its own in the web server's log. */
int fcgi_lua_log(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  int code = fcgi_request_write_stderr(request->handle, text, len);
  if (code >= 0 && (len == 0 || text[len - 1] != '\n'))
    code = fcgi_request_write_stderr(request->handle, "\n", 1);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_settop(L, 1);
  return 1;
}

/* The bytes of the list at 4, which are copied to `out` while they fit; raises
   unless all are strings or numbers. */
static size_t join(lua_State *L, char out[JOINED]) {
  lua_Integer count = (lua_Integer)lua_rawlen(L, 4);
  size_t total = 0;
  for (lua_Integer i = 1; i <= count; i++) {
    size_t len;
    lua_rawgeti(L, 4, i);
    const char *text = lua_tolstring(L, -1, &len);
    if (!text)
      luaL_error(L, "body[%I] is a %s; it must be a string or a number",
                 (LUAI_UACINT)i, luaL_typename(L, -1));
    if (len <= JOINED && total <= JOINED - len)
      memcpy(out + total, text, len);
    total += len;
    lua_pop(L, 1);
  }
  return total;
}

static int send_list(lua_State *L, fcgi_lua_request *request) {
  lua_Integer count = (lua_Integer)lua_rawlen(L, 4);
  struct iovec slices[BATCH];
  size_t taken = 0;
  int code = 0;
  luaL_checkstack(L, BATCH, "body");
  for (lua_Integer i = 1; i <= count && code >= 0;) {
    int filled = 0;
    for (; filled < BATCH && i <= count; i++) {
      lua_rawgeti(L, 4, i);
      slices[filled++] = slice_at(L, -1);
    }
    code = fcgi_lua_send_slices(request, slices, filled, &taken);
    lua_settop(L, 4);
  }
  return code;
}

/* End a whole answer. One that could not be written whole fails, so that the
   web server sees that it is cut. */
static int finish(lua_State *L, fcgi_lua_request *request, int code) {
  int error = errno;
  if (code < 0)
    fcgi_lua_request_release(request, 1);
  else
    code = fcgi_lua_request_end(request, 0);
  errno = error;
  if (code < 0)
    return fcgi_lua_fail_answer(L, code);
  lua_pushboolean(L, 1);
  return 1;
}

static void check_piece(lua_State *L) {
  if (!lua_isnil(L, -1) && !lua_isstring(L, -1))
    luaL_error(L,
               "the body's iterator returned a %s; it must return a string, or "
               "nil at the end",
               luaL_typename(L, -1));
}

/* Send what the iterator gave, at the top; an empty text flushes. 1 goes on,
   0 is the end, or an error. */
static int send_piece(lua_State *L, fcgi_lua_request *request) {
  size_t taken = 0;
  if (lua_isnil(L, -1))
    return 0;
  struct iovec piece = slice_at(L, -1);
  int code = piece.iov_len ? fcgi_lua_send_slices(request, &piece, 1, &taken)
                           : fcgi_request_flush(request->handle);
  return code < 0 ? code : code == 0;
}

/* Draw the body from the iterator at 4. It may yield, and then Lua comes back
   in here with the piece at the top. The head waits for the first piece: an
   iterator that fails at once is answered 500. */
static int send_pieces(lua_State *L, int status, lua_KContext context) {
  fcgi_lua_request *request = NULL;
  int code = 1;
  (void)context;
  while (code > 0) {
    if (status == LUA_OK) {
      lua_pushvalue(L, 4);
      lua_callk(L, 0, 1, 0, send_pieces);
    }
    status = LUA_OK;
    request = fcgi_lua_request_at(L, 1);
    if (!request)
      return luaL_error(L, "the body's iterator finished the request");
    check_piece(L);
    if (!request->answered)
      code = fcgi_lua_begin(L, request, -1 - (lua_Integer)lua_rawlen(L, -1));
    if (code >= 0)
      code = send_piece(L, request);
    lua_settop(L, 4);
  }
  return finish(L, request, code);
}

/* Head, body and end in one call of the core. */
static int respond(lua_State *L, fcgi_lua_request *request, const char *body,
                   size_t len) {
  fcgi_lua_headers list;
  int status = gather(L, request, &list, (lua_Integer)len);
  int code = fcgi_request_respond(fcgi_lua_request_detach(request), status,
                                  list.items, list.count, body, len);
  if (code < 0)
    return fcgi_lua_fail(L, code, NULL);
  lua_pushboolean(L, 1);
  return 1;
}

static int reply_text(lua_State *L, fcgi_lua_request *request) {
  size_t len;
  const char *body = lua_tolstring(L, 4, &len); /* nil has no length. */
  return respond(L, request, body, body ? len : 0);
}

static int reply_list(lua_State *L, fcgi_lua_request *request) {
  char joined[JOINED];
  size_t len = join(L, joined);
  if (len <= sizeof joined)
    return respond(L, request, joined, len);
  int code = fcgi_lua_begin(L, request, (lua_Integer)len);
  if (code >= 0)
    code = send_list(L, request);
  return finish(L, request, code);
}

/* The iterator may outlive a lent request: it is known by its value. */
static int reply_pieces(lua_State *L, fcgi_lua_request *request) {
  if (request->answered)
    return luaL_error(L, "the answer has begun already");
  if (lua_isnil(L, 1)) {
    luaL_getmetatable(L, FCGI_LUA_REQUEST);
    fcgi_lua_request_push(L, request, lua_gettop(L));
    lua_replace(L, 1);
    lua_settop(L, 4);
  }
  return send_pieces(L, LUA_OK, 0);
}

int fcgi_lua_answer(lua_State *L, fcgi_lua_request *request) {
  switch (lua_type(L, 4)) {
  case LUA_TNIL:
  case LUA_TSTRING:
  case LUA_TNUMBER:
    return reply_text(L, request);
  case LUA_TTABLE:
    if (!fcgi_lua_callable(L, 4))
      return reply_list(L, request);
    break;
  default:
    if (!fcgi_lua_callable(L, 4))
      return luaL_error(L,
                        "the body must be a string, a list of strings or "
                        "an iterator (got a %s)",
                        luaL_typename(L, 4));
  }
  return reply_pieces(L, request);
}

int fcgi_lua_reply(lua_State *L) {
  fcgi_lua_request *request = fcgi_lua_request_check(L);
  lua_settop(L, 4);
  int results = fcgi_lua_answer(L, request);
  if (request->ref == LUA_NOREF && request->has_ctx)
    fcgi_lua_ctx_end(L, request, 1);
  return results;
}
