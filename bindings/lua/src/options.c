/* SPDX-License-Identifier: MIT */
/* The one table of options: every key is known or refused, so that a typing
   error is found at the start and not in production. */
#include "lua_fcgi.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* How the text or number of an option is checked and stored. */
typedef enum option_type {
  OPTION_OTHER,   /* Read elsewhere, by name. */
  OPTION_SIZE,    /* A positive integer into a size_t. */
  OPTION_UINT32,  /* A positive integer into a uint32_t. */
  OPTION_UINT64,  /* A positive integer into a uint64_t. */
  OPTION_INT,     /* A positive integer into an int. */
  OPTION_SECONDS, /* Seconds, at least a millisecond, into milliseconds. */
  OPTION_WAIT,    /* The same; 0 never waits, math.huge without end. */
  OPTION_TEXT,    /* A string, lent by the table. */
  OPTION_PATH,    /* Likewise; begins with "/", or is empty. */
  OPTION_MODE,    /* Octal digits in a string. */
  OPTION_POLLER,  /* "best", "epoll" or "poll". */
  OPTION_FLAG     /* true or false into 1 or -1. */
} option_type;

typedef struct known_option {
  const char *name; /* The key. */
  option_type type; /* What its value is. */
  int serve_only;   /* Not for fcgi.server. */
  size_t offset;    /* Into fcgi_lua_options. */
} known_option;

#define AT(field) offsetof(fcgi_lua_options, field)

static const known_option options_known[] = {
    {"bind", OPTION_OTHER, 0, 0},
    {"stream", OPTION_OTHER, 0, 0},
    {"handler", OPTION_OTHER, 1, 0},
    {"app", OPTION_TEXT, 1, AT(app)},
    {"args", OPTION_OTHER, 1, 0},
    {"threads", OPTION_OTHER, 1, 0},
    {"listening", OPTION_OTHER, 1, 0},
    {"poller", OPTION_POLLER, 0, AT(config.poller)},
    {"limit_params_size", OPTION_SIZE, 0, AT(config.limit_params_size)},
    {"limit_params", OPTION_UINT32, 0, AT(config.limit_params)},
    {"max_multiplexed", OPTION_UINT32, 0, AT(config.max_multiplexed)},
    {"no_multiplex", OPTION_FLAG, 0, AT(config.no_multiplex)},
    {"limit_connections", OPTION_UINT32, 0, AT(config.limit_connections)},
    {"body_memory", OPTION_SIZE, 0, AT(config.body_memory)},
    {"limit_request_body", OPTION_UINT64, 0, AT(config.limit_request_body)},
    {"temp_dir", OPTION_TEXT, 0, AT(config.temp_dir)},
    {"input_window", OPTION_SIZE, 0, AT(config.input_window)},
    {"output_window", OPTION_SIZE, 0, AT(config.output_window)},
    {"connection_memory", OPTION_SIZE, 0, AT(config.connection_memory)},
    {"server_memory", OPTION_SIZE, 0, AT(config.server_memory)},
    {"io_timeout", OPTION_WAIT, 0, AT(config.io_timeout_ms)},
    {"header_timeout", OPTION_SECONDS, 0, AT(config.header_timeout_ms)},
    {"idle_timeout", OPTION_SECONDS, 0, AT(config.idle_timeout_ms)},
    {"drain_silence", OPTION_SECONDS, 0, AT(config.drain_silence_ms)},
    {"drain_timeout", OPTION_SECONDS, 0, AT(config.drain_timeout_ms)},
    {"drain_bytes", OPTION_UINT64, 0, AT(config.drain_bytes)},
    {"backlog", OPTION_INT, 0, AT(config.backlog)},
    {"socket_mode", OPTION_MODE, 0, AT(config.socket_mode)},
    {"allow_from", OPTION_TEXT, 0, AT(config.allow_from)},
    {"status_path", OPTION_PATH, 0, AT(config.status_path)},
    {"ping_path", OPTION_PATH, 0, AT(config.ping_path)},
    {"root_path", OPTION_PATH, 0, AT(config.root_path)},
    {"request_timeout", OPTION_SECONDS, 0, AT(config.request_timeout_ms)},
    {"slow_log", OPTION_SECONDS, 0, AT(config.slow_log_ms)},
    {"max_requests", OPTION_UINT64, 0, AT(config.max_requests)},
    {"max_requests_jitter", OPTION_UINT64, 0, AT(config.max_requests_jitter)},
    {"workers", OPTION_OTHER, 1, 0},
    {"user", OPTION_OTHER, 1, 0},
    {"group", OPTION_OTHER, 1, 0},
    {"allow_root", OPTION_OTHER, 1, 0},
    {"umask", OPTION_OTHER, 1, 0},
    {"chdir", OPTION_OTHER, 1, 0},
    {"pid", OPTION_OTHER, 1, 0},
    {"socket_user", OPTION_OTHER, 1, 0},
    {"socket_group", OPTION_OTHER, 1, 0},
    {"timeout", OPTION_OTHER, 1, 0},
    {"start_timeout", OPTION_OTHER, 1, 0},
    {"graceful_timeout", OPTION_SECONDS, 1, AT(config.graceful_timeout_ms)},
    {"max_worker_age", OPTION_OTHER, 1, 0},
    {"max_worker_age_jitter", OPTION_OTHER, 1, 0},
    {"max_worker_rss", OPTION_OTHER, 1, 0},
    {"watch", OPTION_OTHER, 1, 0},
    {"access_logfile", OPTION_TEXT, 0, AT(config.access_logfile)},
    {"access_logformat", OPTION_TEXT, 0, AT(config.access_logformat)},
    {"error_logfile", OPTION_TEXT, 0, AT(config.error_logfile)},
    {"peer_users", OPTION_TEXT, 0, AT(config.peer_users)},
    {"roles", OPTION_OTHER, 0, 0},
};

enum {
  OPTIONS = sizeof options_known / sizeof *options_known,
  NAME_MAX_LEN = 32
};

static int least(int a, int b, int c) {
  int two = a < b ? a : b;
  return two < c ? two : c;
}

/* How many letters must change to turn `a` into `b` (Levenshtein). */
static int distance(const char *a, const char *b) {
  int row[NAME_MAX_LEN + 1];
  int width = (int)strlen(b);
  if (strlen(a) > NAME_MAX_LEN || width > NAME_MAX_LEN)
    return INT_MAX;
  for (int j = 0; j <= width; j++)
    row[j] = j;
  for (int i = 1; a[i - 1]; i++) {
    int corner = row[0];
    row[0] = i;
    for (int j = 1; j <= width; j++) {
      int above = row[j];
      int change = corner + (a[i - 1] != b[j - 1]);
      row[j] = least(above + 1, row[j - 1] + 1, change);
      corner = above;
    }
  }
  return row[width];
}

static const known_option *find(const char *name, int serve) {
  for (int i = 0; i < OPTIONS; i++)
    if (!strcmp(options_known[i].name, name) &&
        (serve || !options_known[i].serve_only))
      return &options_known[i];
  return NULL;
}

static const known_option *nearest(const char *name, int serve) {
  const known_option *best = NULL;
  int best_distance = (int)strlen(name) / 3 + 2;
  for (int i = 0; i < OPTIONS; i++) {
    if (options_known[i].serve_only && !serve)
      continue;
    int d = distance(name, options_known[i].name);
    if (d < best_distance) {
      best = &options_known[i];
      best_distance = d;
    }
  }
  return best;
}

static int refuse_with_list(lua_State *L, const char *name, int serve) {
  luaL_Buffer text;
  luaL_buffinit(L, &text);
  for (int i = 0; i < OPTIONS; i++) {
    if (options_known[i].serve_only && !serve)
      continue;
    if (luaL_bufflen(&text))
      luaL_addstring(&text, ", ");
    luaL_addstring(&text, options_known[i].name);
  }
  luaL_pushresult(&text);
  return luaL_error(L, "unknown option '%s'; known are: %s", name,
                    lua_tostring(L, -1));
}

static int refuse(lua_State *L, const char *name, int serve) {
  const known_option *near = nearest(name, serve);
  if (near)
    return luaL_error(L, "unknown option '%s', did you mean '%s'?", name,
                      near->name);
  return refuse_with_list(L, name, serve);
}

static lua_Integer positive(lua_State *L, const char *name, lua_Integer most) {
  int exact = 0;
  lua_Integer value =
      lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &exact) : 0;
  if (!exact || value < 1 || value > most)
    luaL_error(L, "option '%s' must be a whole number from 1 to %I (got %s)",
               name, (LUAI_UACINT)most, luaL_tolstring(L, -1, NULL));
  return value;
}

/* Seconds become milliseconds; a field of 0 would mean the default, so that
   "never waits" is -2 in the core. */
static int milliseconds(lua_State *L, const known_option *option) {
  lua_Number seconds = lua_tonumber(L, -1);
  int wait = option->type == OPTION_WAIT;
  if (wait && seconds == 0 && lua_type(L, -1) == LUA_TNUMBER)
    return -2;
  if (wait && seconds > 1e300)
    return -1;
  if (lua_type(L, -1) != LUA_TNUMBER || !(seconds >= 0.001) || seconds > 2e6)
    luaL_error(L, "option '%s' must be a number of seconds (got %s)",
               option->name, luaL_tolstring(L, -1, NULL));
  return (int)(seconds * 1000);
}

/* Lua has no octal numbers: 660 and 0660 are the same number to it, so that
   only a text says clearly what is meant. */
static unsigned octal(lua_State *L, const char *name) {
  char *end = NULL;
  unsigned long mode = 0;
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (*text >= '0' && *text <= '7')
    mode = strtoul(text, &end, 8);
  if (!end || *end || mode < 1 || mode > 0777)
    luaL_error(L,
               "option '%s' must be octal digits in a string, such as "
               "\"0660\"",
               name);
  return (unsigned)mode;
}

static fcgi_poller_kind poller(lua_State *L) {
  static const char *const kinds[] = {"best", "epoll", "poll"};
  if (lua_type(L, -1) == LUA_TSTRING)
    for (int i = 0; i < 3; i++)
      if (!strcmp(lua_tostring(L, -1), kinds[i]))
        return (fcgi_poller_kind)i;
  luaL_error(L, "option 'poller' must be \"best\", \"epoll\" or \"poll\"");
  return FCGI_POLLER_BEST;
}

static const char *text(lua_State *L, const char *name) {
  if (lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "option '%s' must be a string (got a %s)", name,
               luaL_typename(L, -1));
  return lua_tostring(L, -1);
}

static const char *url_path(lua_State *L, const char *name) {
  const char *path = text(L, name);
  if (*path && (*path != '/' || strlen(path) > 255))
    luaL_error(L,
               "option '%s' must be a path that begins with /, below 256 bytes "
               "(got %s)",
               name, path);
  return path;
}

static int flag(lua_State *L, const char *name) {
  if (!lua_isboolean(L, -1))
    luaL_error(L, "option '%s' must be true or false (got a %s)", name,
               luaL_typename(L, -1));
  return lua_toboolean(L, -1) ? 1 : -1;
}

/* Store the value at the top of the stack where the option says. */
static void store(lua_State *L, const known_option *option, void *field) {
  switch (option->type) {
  case OPTION_SIZE:
    *(size_t *)field = (size_t)positive(L, option->name, LUA_MAXINTEGER);
    break;
  case OPTION_UINT32:
    *(uint32_t *)field = (uint32_t)positive(L, option->name, UINT32_MAX);
    break;
  case OPTION_UINT64:
    *(uint64_t *)field = (uint64_t)positive(L, option->name, LUA_MAXINTEGER);
    break;
  case OPTION_INT:
    *(int *)field = (int)positive(L, option->name, INT_MAX);
    break;
  case OPTION_SECONDS:
  case OPTION_WAIT:
    *(int *)field = milliseconds(L, option);
    break;
  case OPTION_TEXT:
    *(const char **)field = text(L, option->name);
    break;
  case OPTION_PATH:
    *(const char **)field = url_path(L, option->name);
    break;
  case OPTION_MODE:
    *(unsigned *)field = octal(L, option->name);
    break;
  case OPTION_POLLER:
    *(fcgi_poller_kind *)field = poller(L);
    break;
  case OPTION_FLAG:
    *(int *)field = flag(L, option->name);
    break;
  case OPTION_OTHER:
    break;
  }
}

static void read_one(lua_State *L, int serve, fcgi_lua_options *options) {
  if (lua_type(L, -2) != LUA_TSTRING)
    luaL_error(L, "options are named: found a %s as a key",
               luaL_typename(L, -2));
  const char *name = lua_tostring(L, -2);
  const known_option *option = find(name, serve);
  if (!option) {
    refuse(L, name, serve);
    return;
  }
  if (!strcmp(name, "stream"))
    options->config.body =
        flag(L, name) > 0 ? FCGI_BODY_STREAM : FCGI_BODY_COLLECT;
  else if (!strcmp(name, "threads"))
    options->threads = positive(L, name, 1024);
  else
    store(L, option, (char *)options + option->offset);
}

void fcgi_lua_options_read(lua_State *L, int index, int serve,
                           fcgi_lua_options *options) {
  luaL_checktype(L, index, LUA_TTABLE);
  *options = (fcgi_lua_options){.config.size = sizeof options->config,
                                .config.log_levels = (2u << FCGI_LOG_INFO) - 1,
                                .threads = 1,
                                .inherit = serve};
  lua_pushnil(L);
  while (lua_next(L, index)) {
    read_one(L, serve, options);
    lua_pop(L, 1);
  }
}
