/* SPDX-License-Identifier: MIT */
/* What Lua lacks to make processes: Debian's lua-posix is not for 5.4. */
#include <lauxlib.h>
#include <lua.h>
#include <sys/wait.h>
#include <unistd.h>

/* fork(seconds): after that time, of which Lua knows nothing. */
static int make_fork(lua_State *L) {
  usleep((useconds_t)(luaL_optnumber(L, 1, 0) * 1e6));
  lua_pushinteger(L, fork());
  return 1;
}

static int wait_for(lua_State *L) {
  int status = 0;
  waitpid((pid_t)luaL_checkinteger(L, 1), &status, 0);
  lua_pushinteger(L,
                  WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
  return 1;
}

static int exit_now(lua_State *L) {
  _exit((int)luaL_checkinteger(L, 1));
}

static int wait_for_signal(lua_State *L) {
  (void)L;
  pause();
  return 0;
}

static int own_number(lua_State *L) {
  lua_pushinteger(L, getpid());
  return 1;
}

int luaopen_processes(lua_State *L);

int luaopen_processes(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"fork", make_fork},        {"waitpid", wait_for},  {"_exit", exit_now},
      {"pause", wait_for_signal}, {"getpid", own_number}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
