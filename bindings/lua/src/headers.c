/* SPDX-License-Identifier: MIT */
/* The headers of an answer, from a Lua table. */
#include "lua_fcgi.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int is_status(const fcgi_header *header) {
  return header->name_len == 6 && !strcasecmp(header->name, "Status");
}

static int is_length(const fcgi_header *header) {
  return header->name_len == 14 && !strcasecmp(header->name, "Content-Length");
}

/* Raise for the first header that the core would refuse, saying which it is. */
static void check(lua_State *L, fcgi_lua_headers *list) {
  for (size_t i = 0; i < list->count; i++) {
    const fcgi_header *header = &list->items[i];
    size_t at;
    fcgi_header_fault fault = fcgi_header_check(header, &at);
    list->has_length |= is_length(header);
    if (is_status(header))
      luaL_error(L, "header 'Status' is given as the status, not as a header");
    if (fault == FCGI_HEADER_BAD_NAME)
      luaL_error(L, "'%s' is not a header name", header->name);
    if (fault == FCGI_HEADER_BAD_VALUE)
      luaL_error(L, "header '%s' has a line break or NUL in its value",
                 header->name);
  }
}

static void append(lua_State *L, fcgi_lua_headers *list, fcgi_header header) {
  if (list->count == list->room) {
    size_t room = list->room * 2;
    fcgi_header *items = lua_newuserdatauv(L, room * sizeof *items, 0);
    memcpy(items, list->items, list->count * sizeof *items);
    lua_replace(L, list->block);
    list->items = items;
    list->room = room;
  }
  list->items[list->count++] = header;
}

/* Add the value at the top. The text of a number stays on the stack, to anchor
   it; a string is anchored by its table. */
static void add_value(lua_State *L, fcgi_lua_headers *list,
                      fcgi_header header) {
  int type = lua_type(L, -1);
  if (type != LUA_TSTRING && type != LUA_TNUMBER)
    luaL_error(L,
               "header '%s' is a %s; it must be a string, a number or a "
               "list of them",
               header.name, lua_typename(L, type));
  header.value = lua_tolstring(L, -1, &header.value_len);
  append(L, list, header);
  if (type == LUA_TSTRING)
    lua_pop(L, 1);
  else
    luaL_checkstack(L, 8, "too many headers");
}

/* Add what is at the top for a header whose name is below it, and leave the
   name at the top for lua_next. */
static void add_values(lua_State *L, fcgi_lua_headers *list,
                       fcgi_header header) {
  int values = lua_gettop(L);
  lua_Integer count = (lua_Integer)lua_rawlen(L, values);
  luaL_checkstack(L, 8, "too many headers");
  if (lua_istable(L, values))
    for (lua_Integer i = 1; i <= count; i++) {
      lua_rawgeti(L, values, i);
      add_value(L, list, header);
    }
  else
    add_value(L, list, header);
  lua_pushvalue(L, values - 1);
}

/* Collect the table at `index`. What the stack holds above it when this
   returns anchors the texts of numbers. */
static void collect(lua_State *L, int index, fcgi_lua_headers *list) {
  lua_pushnil(L);
  while (lua_next(L, index)) {
    fcgi_header header;
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "a header's name must be a string (got a %s)",
                 luaL_typename(L, -2));
    header.name = lua_tolstring(L, -2, &header.name_len);
    if (lua_type(L, -1) == LUA_TSTRING) { /* Nearly always. */
      header.value = lua_tolstring(L, -1, &header.value_len);
      append(L, list, header);
      lua_pop(L, 1);
    } else
      add_values(L, list, header);
  }
}

/* Write a number that is not negative; returns its length. snprintf takes
   longer than the rest of a small answer's headers. */
static size_t digits(char *out, lua_Integer number) {
  char backwards[24];
  size_t len = 0;
  do
    backwards[len++] = (char)('0' + number % 10);
  while (number /= 10);
  for (size_t i = 0; i < len; i++)
    out[i] = backwards[len - 1 - i];
  return len;
}

lua_Integer fcgi_lua_headers_length(const fcgi_lua_headers *list) {
  lua_Integer length = LUA_MAXINTEGER;
  for (size_t i = 0; list->has_length && i < list->count; i++)
    if (is_length(&list->items[i]))
      length = strtoll(list->items[i].value, NULL, 10);
  return length;
}

void fcgi_lua_headers_add_length(lua_State *L, fcgi_lua_headers *list,
                                 lua_Integer length) {
  if (list->has_length)
    return;
  size_t len = digits(list->length, length);
  append(L, list, (fcgi_header){"Content-Length", 14, list->length, len});
}

void fcgi_lua_headers_collect(lua_State *L, int index, fcgi_lua_headers *list) {
  list->items = list->few;
  list->count = 0;
  list->has_length = 0;
  list->room = sizeof list->few / sizeof *list->few;
  lua_pushnil(L);
  list->block = lua_gettop(L);
  if (index)
    collect(L, index, list);
  check(L, list);
}
