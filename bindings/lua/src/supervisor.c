/* SPDX-License-Identifier: MIT */
/* require "fcgi.supervisor": fcgi_supervisor_run with its configuration as a
   table, and what a launcher needs of the process. */
#include "lua_fcgi.h"
#include <errno.h>
#include <fastcgi/supervisor.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000 /* For whoever reads what is said. */ };

static int refuse_list(lua_State *L, const char *name) {
  return luaL_error(L, "option '%s' must be a list of strings (got %s)", name,
                    luaL_tolstring(L, -1, NULL));
}

/* The value at the top, a string or a list of them, becomes an array that
   stays on the stack in its place. */
static const char *const *read_list(lua_State *L, const char *name) {
  int single = lua_type(L, -1) == LUA_TSTRING;
  if (!single && !lua_istable(L, -1))
    refuse_list(L, name);
  lua_Integer count = single ? 1 : luaL_len(L, -1);
  const char **list =
      lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list, 1);
  lua_pushvalue(L, -2);
  lua_setiuservalue(L, -2, 1);
  for (lua_Integer i = 1; i <= count && !single; i++) {
    if (lua_geti(L, -2, i) != LUA_TSTRING)
      refuse_list(L, name);
    list[i - 1] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  if (single)
    list[0] = lua_tostring(L, -2);
  list[count] = NULL;
  lua_remove(L, -2);
  return count ? list : NULL;
}

/* What a process that watches has no use for. */
static int is_for_workers(const fcgi_option *option) {
  return option->scope == FCGI_OPTION_FOR_WORKER &&
         (strcmp(option->name, "app") == 0 ||
          strcmp(option->name, "threads") == 0 ||
          strcmp(option->name, "stream") == 0);
}

/* What the table at 1 says of options. What it is read into stays on the
   stack. */
static void read_settings(lua_State *L, fcgi_supervisor_config *config) {
  const fcgi_option *option;
  luaL_checktype(L, 1, LUA_TTABLE);
  fcgi_options *options = fcgi_lua_options_push(L);
  int top = lua_gettop(L);
  for (size_t i = 0; (option = fcgi_option_at(i)); i++) {
    if (option->launchers & 1u << FCGI_LAUNCHER_LUA &&
        !is_for_workers(option) && lua_getfield(L, 1, option->name) != LUA_TNIL)
      fcgi_lua_options_give(L, options, option);
    lua_settop(L, top);
  }
  fcgi_options_supervisor(options, config);
  if (lua_getfield(L, 1, "options") != LUA_TNIL)
    config->options = fcgi_lua_options_at(L, -1);
  if (lua_getfield(L, 1, "command") != LUA_TNIL)
    config->command = read_list(L, "command");
}

/* run{...}: the exit status. Option `watch` has the directories and files whose
   changes replace the workers; a reload reads `options` again. */
int fcgi_lua_supervisor_run(lua_State *L) {
  fcgi_supervisor_config config = {.size = sizeof config};
  lua_settop(L, 1);
  read_settings(L, &config);
  config.self = config.command;
  /* Our workers tell when they are ready. */
  config.ready_after_ms = FCGI_WAIT_FOREVER;
  /* Only the launcher hands options on. */
  config.log_name = config.options ? "fcgi-lua" : "fcgi";
  fcgi_lua_watcher *watcher = NULL;
  if (lua_getfield(L, 1, "watch") == LUA_TTABLE)
    watcher = fcgi_lua_watch_start(L, read_list(L, "watch"));
  int status = fcgi_supervisor_run(&config);
  if (watcher)
    fcgi_lua_watch_stop(watcher);
  lua_pushinteger(L, status);
  return 1;
}

/* A pipe or terminal that takes anything takes PIPE_BUF bytes at once. */
void fcgi_lua_say(const char *text) {
  struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
  size_t left = strlen(text);
  while (left > 0 && poll(&out, 1, PATIENCE_MS) > 0) {
    ssize_t done =
        write(STDERR_FILENO, text, left < PIPE_BUF ? left : PIPE_BUF);
    if (done < 0)
      return;
    text += done;
    left -= (size_t)done;
  }
}

static int say(lua_State *L) {
  fcgi_lua_say(luaL_checkstring(L, 1));
  return 0;
}

int fcgi_lua_is_worker(void) {
  const char *text = getenv("FASTCGI_HANDOVER");
  char *end;
  return text && *text >= '0' && *text <= '9' &&
         strtol(text, &end, 10) == (long)getpid() && *end == ':';
}

static int is_worker(lua_State *L) {
  lua_pushboolean(L, fcgi_lua_is_worker());
  return 1;
}

/* True, or nil, message, errno as the io library has it. */
static int done(lua_State *L, int failed, const char *what) {
  return luaL_fileresult(L, !failed, what);
}

static int change_directory(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  return done(L, chdir(path) < 0, path);
}

static int set_umask(lua_State *L) {
  umask((mode_t)luaL_checkinteger(L, 1) & 0777);
  return 0;
}

/* absolute(path): without symbolic links. */
static int absolute(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  char out[PATH_MAX];
  if (!realpath(path, out))
    return done(L, 1, path);
  lua_pushstring(L, out);
  return 1;
}

/* The working directory as the shell has it, with its links, which may lead to
   another release when the workers are replaced. */
static int working_directory(lua_State *L) {
  const char *name = getenv("PWD");
  char out[PATH_MAX];
  struct stat here, there;
  if (name && *name == '/' && stat(".", &here) == 0 &&
      stat(name, &there) == 0 && here.st_dev == there.st_dev &&
      here.st_ino == there.st_ino)
    lua_pushstring(L, name);
  else if (getcwd(out, sizeof out))
    lua_pushstring(L, out);
  else
    return done(L, 1, ".");
  return 1;
}

static int set_environment(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  return done(L, setenv(name, luaL_checkstring(L, 2), 1) < 0, name);
}

int luaopen_fcgi_supervisor(lua_State *L) {
  static const luaL_Reg functions[] = {{"run", fcgi_lua_supervisor_run},
                                       {"is_worker", is_worker},
                                       {"chdir", change_directory},
                                       {"umask", set_umask},
                                       {"absolute", absolute},
                                       {"working_directory", working_directory},
                                       {"setenv", set_environment},
                                       {"options", fcgi_lua_launch_options},
                                       {"say", say},
                                       {NULL, NULL}};
  luaL_checkversion(L);
  fcgi_standard_hold();
  luaL_newlib(L, functions);
  return 1;
}
