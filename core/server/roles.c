/* SPDX-License-Identifier: MIT */
/* The roles that a server serves. */
#include "server/server.h"
#include <fastcgi/error.h>
#include <string.h>

static int is_standard(const fcgi_role_spec *role) {
  static const fcgi_role_spec standard[] = {FCGI_ROLE_SPECS};
  for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
    if (standard[i].number == role->number)
      return standard[i].streams == role->streams;
  return 1;
}

static int is_good(const fcgi_role_spec *role) {
  return role->number != 0 && role->name && *role->name &&
         role->streams >= FCGI_STREAMS_NONE &&
         role->streams <= FCGI_STREAMS_STDIN_DATA && is_standard(role);
}

static int check(const fcgi_role_spec *roles, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!is_good(&roles[i]))
      return FCGI_ERR_INVALID;
    for (size_t j = 0; j < i; j++)
      if (roles[j].number == roles[i].number ||
          strcmp(roles[j].name, roles[i].name) == 0)
        return FCGI_ERR_INVALID;
  }
  return count > 0 ? 0 : FCGI_ERR_INVALID;
}

/* One allocation holds the list and then the names. */
static fcgi_role_spec *copy(const fcgi_allocator *allocator,
                            const fcgi_role_spec *roles, size_t count) {
  size_t size = count * sizeof *roles;
  for (size_t i = 0; i < count; i++)
    size += strlen(roles[i].name) + 1;
  fcgi_role_spec *made = fcgi__realloc(allocator, NULL, size);
  char *name = made ? (char *)(made + count) : NULL;
  for (size_t i = 0; made && i < count; i++) {
    made[i] = roles[i];
    made[i].name = strcpy(name, roles[i].name);
    name += strlen(name) + 1;
  }
  return made;
}

int fcgi_server_set_roles(fcgi_server *server, const fcgi_role_spec *roles,
                          size_t count) {
  int error = check(roles, count);
  fcgi_role_spec *made;
  if (error)
    return error;
  if (fcgi_server_forked(server))
    return fcgi__server_refuse_fork(server);
  /* Sessions are lent the list, and requests name what is in it. */
  if (atomic_load(&server->segment_count) > 0)
    return FCGI_ERR_STATE;
  made = copy(&server->allocator, roles, count);
  if (!made)
    return FCGI_ERR_NOMEM;
  fcgi__free(&server->allocator, server->roles);
  server->roles = made;
  server->session_config.roles = made;
  server->session_config.role_count = count;
  return 0;
}
