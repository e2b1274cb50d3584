/* SPDX-License-Identifier: MIT */
/* For development: a thread that looks once a second whether Lua files have
   changed, and has the supervisor of its process replace the workers. */
#include "lua_fcgi.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  LOOK_MS = 1000, /* From one look to the next. */
  DEPTH = 16      /* Directories below each other. */
};

struct fcgi_lua_watcher {
  const char *const *places; /* Files and directories. */
  int stop[2];               /* Something to read: time to end. */
  pthread_t thread;          /* The one that looks. */
};

/* What one look has found. */
typedef struct look {
  uint64_t sum;         /* Of all files; the order does not matter. */
  struct timespec last; /* When the youngest was changed. */
  char youngest[1024];  /* Its path. */
} look;

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
  return hash ^ (hash >> 29);
}

static void add_file(look *l, const char *path, const struct stat *about) {
  uint64_t hash = mix(0, (uint64_t)about->st_mtim.tv_sec);
  int later = about->st_mtim.tv_sec > l->last.tv_sec ||
              (about->st_mtim.tv_sec == l->last.tv_sec &&
               about->st_mtim.tv_nsec > l->last.tv_nsec);
  hash = mix(hash, (uint64_t)about->st_mtim.tv_nsec);
  hash = mix(hash, (uint64_t)about->st_size);
  for (const char *c = path; *c; c++)
    hash = mix(hash, (unsigned char)*c);
  l->sum += hash;
  if (!later)
    return;
  l->last = about->st_mtim;
  snprintf(l->youngest, sizeof l->youngest, "%s", path);
}

static int is_lua(const char *name) {
  size_t len = strlen(name);
  return len > 4 && strcmp(name + len - 4, ".lua") == 0;
}

static void add_directory(look *l, const char *path, int depth);

static void add_entry(look *l, const char *directory, const char *name,
                      int depth) {
  char path[1024];
  struct stat about;
  int len = snprintf(path, sizeof path, "%s/%s", directory, name);
  if (len >= (int)sizeof path || stat(path, &about) < 0)
    return;
  if (S_ISDIR(about.st_mode))
    add_directory(l, path, depth + 1);
  else if (is_lua(name))
    add_file(l, path, &about);
}

static void add_directory(look *l, const char *path, int depth) {
  DIR *directory = depth < DEPTH ? opendir(path) : NULL;
  const struct dirent *entry;
  while (directory && (entry = readdir(directory)))
    if (entry->d_name[0] != '.')
      add_entry(l, path, entry->d_name, depth);
  if (directory)
    closedir(directory);
}

static void take_look(look *l, const char *const *places) {
  *l = (look){.sum = 0};
  for (; *places; places++) {
    struct stat about;
    if (stat(*places, &about) < 0)
      continue;
    if (S_ISDIR(about.st_mode))
      add_directory(l, *places, 0);
    else
      add_file(l, *places, &about);
  }
}

static void *watch(void *data) {
  fcgi_lua_watcher *watcher = data;
  struct pollfd stop = {.fd = watcher->stop[0], .events = POLLIN};
  look before, now;
  char line[sizeof now.youngest + 64];
  take_look(&before, watcher->places);
  while (poll(&stop, 1, LOOK_MS) == 0) {
    take_look(&now, watcher->places);
    if (now.sum == before.sum)
      continue;
    before = now;
    snprintf(line, sizeof line, "fcgi: the code has changed, last %s\n",
             now.youngest);
    fcgi_lua_say(line);
    kill(getpid(), SIGHUP);
  }
  return NULL;
}

/* All signals are the supervisor's. */
static int start_thread(fcgi_lua_watcher *watcher) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&watcher->thread, NULL, watch, watcher);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

fcgi_lua_watcher *fcgi_lua_watch_start(lua_State *L,
                                       const char *const *places) {
  static const char *const nothing[] = {NULL};
  fcgi_lua_watcher *watcher = lua_newuserdatauv(L, sizeof *watcher, 0);
  watcher->places = places ? places : nothing;
  if (pipe2(watcher->stop, O_CLOEXEC) < 0)
    luaL_error(L, "no pipe for the watcher: %s", strerror(errno));
  int error = start_thread(watcher);
  if (!error)
    return watcher;
  close(watcher->stop[0]);
  close(watcher->stop[1]);
  luaL_error(L, "no thread for the watcher: %s", strerror(error));
  return NULL;
}

void fcgi_lua_watch_stop(fcgi_lua_watcher *watcher) {
  close(watcher->stop[1]); /* Which poll(2) reports. */
  pthread_join(watcher->thread, NULL);
  close(watcher->stop[0]);
}
