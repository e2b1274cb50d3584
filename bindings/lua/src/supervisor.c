/* SPDX-License-Identifier: MIT */
/* require "fcgi.supervisor": fcgi_supervisor_run with its configuration as a
   table, and what a launcher needs of the process. */
#include "lua_fcgi.h"
#include <errno.h>
#include <fastcgi/supervisor.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  MOST_WORKERS = 4096,
  PATIENCE_MS = 1000 /* For whoever reads what is said. */
};

typedef enum setting_type {
  SETTING_TEXT,    /* A string, lent by the table. */
  SETTING_LIST,    /* A string or a list of them, an array that ends in NULL. */
  SETTING_COUNT,   /* An integer from 1 into an int or unsigned. */
  SETTING_BYTES,   /* An integer from 1 into a uint64_t. */
  SETTING_MODE,    /* Octal digits in a string. */
  SETTING_FLAG,    /* A boolean into an int. */
  SETTING_SECONDS, /* Seconds into int milliseconds; math.huge: no limit. */
  SETTING_LONG     /* Seconds into int64_t milliseconds; likewise: never. */
} setting_type;

typedef struct setting {
  const char *name;  /* The key. */
  setting_type type; /* What its value is. */
  size_t offset;     /* Into fcgi_supervisor_config. */
} setting;

#define AT(field) offsetof(fcgi_supervisor_config, field)

static const setting settings[] = {
    {"command", SETTING_LIST, AT(command)},
    {"bind", SETTING_LIST, AT(bind)},
    {"workers", SETTING_COUNT, AT(workers)},
    {"backlog", SETTING_COUNT, AT(backlog)},
    {"socket_mode", SETTING_MODE, AT(socket_mode)},
    {"socket_user", SETTING_TEXT, AT(socket_user)},
    {"socket_group", SETTING_TEXT, AT(socket_group)},
    {"allow_from", SETTING_TEXT, AT(allow_from)},
    {"user", SETTING_TEXT, AT(user)},
    {"group", SETTING_TEXT, AT(group)},
    {"allow_root", SETTING_FLAG, AT(allow_root)},
    {"umask", SETTING_MODE, AT(umask)},
    {"chdir", SETTING_TEXT, AT(chdir)},
    {"pid", SETTING_TEXT, AT(pid)},
    {"start_timeout", SETTING_SECONDS, AT(start_timeout_ms)},
    {"graceful_timeout", SETTING_SECONDS, AT(graceful_timeout_ms)},
    {"timeout", SETTING_SECONDS, AT(timeout_ms)},
    {"max_worker_age", SETTING_LONG, AT(max_worker_age_ms)},
    {"max_worker_age_jitter", SETTING_LONG, AT(max_worker_age_jitter_ms)},
    {"max_worker_rss", SETTING_BYTES, AT(max_worker_rss)},
    {"check_only", SETTING_FLAG, AT(check_only)},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static int refuse(lua_State *L, const setting *row, const char *wanted) {
  return luaL_error(L, "option '%s' must be %s (got %s)", row->name, wanted,
                    luaL_tolstring(L, -1, NULL));
}

/* The value at the top, a string or a list of them, becomes an array that
   stays on the stack in its place. */
static const char *const *read_list(lua_State *L, const setting *row) {
  int single = lua_type(L, -1) == LUA_TSTRING;
  if (!single && !lua_istable(L, -1))
    refuse(L, row, "a string or a list of strings");
  lua_Integer count = single ? 1 : luaL_len(L, -1);
  const char **list =
      lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list, 1);
  lua_pushvalue(L, -2);
  lua_setiuservalue(L, -2, 1);
  for (lua_Integer i = 1; i <= count && !single; i++) {
    if (lua_geti(L, -2, i) != LUA_TSTRING)
      refuse(L, row, "a list of strings");
    list[i - 1] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  if (single)
    list[0] = lua_tostring(L, -2);
  list[count] = NULL;
  lua_remove(L, -2);
  return count ? list : NULL;
}

static lua_Integer read_count(lua_State *L, const setting *row,
                              lua_Integer most) {
  int fine;
  lua_Integer number = lua_tointegerx(L, -1, &fine);
  if (!fine || number < 1 || number > most)
    refuse(L, row, "a whole number from 1");
  return number;
}

static unsigned read_mode(lua_State *L, const setting *row) {
  const char *text =
      lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "none";
  char *end;
  unsigned long mode = strtoul(text, &end, 8);
  if (*text < '0' || *text > '7' || *end || mode > 0777)
    refuse(L, row, "octal digits in a string, such as \"0660\"");
  return (unsigned)mode;
}

/* Milliseconds, 0 for what has no limit. */
static int64_t read_seconds(lua_State *L, const setting *row) {
  lua_Number seconds = lua_tonumber(L, -1);
  if (lua_type(L, -1) != LUA_TNUMBER || !(seconds > 0))
    refuse(L, row, "a number of seconds");
  if (seconds > 1e12)
    return 0;
  return seconds < 0.001 ? 1 : (int64_t)(seconds * 1000);
}

static int read_short_seconds(lua_State *L, const setting *row) {
  int64_t ms = read_seconds(L, row);
  return ms == 0 && row->offset != AT(timeout_ms) ? INT_MAX
         : ms > INT_MAX                           ? INT_MAX
                                                  : (int)ms;
}

static int read_flag(lua_State *L, const setting *row) {
  if (!lua_isboolean(L, -1))
    refuse(L, row, "true or false");
  return lua_toboolean(L, -1);
}

/* The value at the top; what has to stay takes its place. */
static void read_setting(lua_State *L, const setting *row,
                         fcgi_supervisor_config *config) {
  void *field = (char *)config + row->offset;
  switch (row->type) {
  case SETTING_TEXT:
    if (lua_type(L, -1) != LUA_TSTRING)
      refuse(L, row, "a string");
    *(const char **)field = lua_tostring(L, -1);
    break;
  case SETTING_LIST:
    *(const char *const **)field = read_list(L, row);
    break;
  case SETTING_COUNT:
    *(int *)field = (int)read_count(L, row, INT_MAX);
    break;
  case SETTING_BYTES:
    *(uint64_t *)field = (uint64_t)read_count(L, row, LUA_MAXINTEGER);
    break;
  case SETTING_MODE:
    *(unsigned *)field = read_mode(L, row);
    break;
  case SETTING_FLAG:
    *(int *)field = read_flag(L, row);
    break;
  case SETTING_SECONDS:
    *(int *)field = read_short_seconds(L, row);
    break;
  case SETTING_LONG:
    *(int64_t *)field = read_seconds(L, row);
    break;
  }
}

/* Everything that the table at 1 says stays on the stack. */
static void read_settings(lua_State *L, fcgi_supervisor_config *config) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkstack(L, SETTINGS + 8, NULL);
  for (int i = 0; i < SETTINGS; i++)
    if (lua_getfield(L, 1, settings[i].name) != LUA_TNIL)
      read_setting(L, &settings[i], config);
  lua_getfield(L, 1, "umask");
  config->has_umask = !lua_isnil(L, -1);
  lua_pop(L, 1);
}

/* run{...}: the exit status. Option `watch` has the directories and files whose
   changes replace the workers. */
int fcgi_lua_supervisor_run(lua_State *L) {
  fcgi_supervisor_config config = {.size = sizeof config};
  lua_settop(L, 1);
  read_settings(L, &config);
  config.self = config.command;
  /* Our workers tell when they are ready. */
  config.ready_after_ms = FCGI_READY_WHEN_TOLD;
  lua_getfield(L, 1, "quiet");
  if (lua_toboolean(L, -1))
    config.log_levels = 1u << FCGI_LOG_ERROR | 1u << FCGI_LOG_WARNING;
  /* Only the launcher asks for a check. */
  config.log_name = config.check_only ? "fcgi-lua" : "fcgi";
  fcgi_lua_watcher *watcher = NULL;
  if (lua_getfield(L, 1, "watch") == LUA_TTABLE) {
    const setting row = {"watch", SETTING_LIST, 0};
    watcher = fcgi_lua_watch_start(L, read_list(L, &row));
  }
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

/* The processors that this process may use. */
static int count_cpus(lua_State *L) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    count = CPU_COUNT(&set);
#endif
  lua_pushinteger(L, count < 1              ? 1
                     : count > MOST_WORKERS ? MOST_WORKERS
                                            : count);
  return 1;
}

int luaopen_fcgi_supervisor(lua_State *L) {
  static const luaL_Reg functions[] = {{"run", fcgi_lua_supervisor_run},
                                       {"is_worker", is_worker},
                                       {"chdir", change_directory},
                                       {"umask", set_umask},
                                       {"absolute", absolute},
                                       {"working_directory", working_directory},
                                       {"setenv", set_environment},
                                       {"cpus", count_cpus},
                                       {"say", say},
                                       {NULL, NULL}};
  luaL_checkversion(L);
  fcgi_standard_hold();
  luaL_newlib(L, functions);
  return 1;
}
