/* SPDX-License-Identifier: MIT */
/* Which roles a session serves. */
#include "session/session.h"
#include <fastcgi/role.h>

static const fcgi_role_spec standard[] = {FCGI_ROLE_SPECS};

const fcgi_role_spec *fcgi__role_find(const fcgi_session *session,
                                      uint16_t number) {
  const fcgi_role_spec *roles = session->roles ? session->roles : standard;
  size_t count =
      session->roles ? session->role_count : sizeof standard / sizeof *standard;
  for (size_t i = 0; i < count; i++)
    if (roles[i].number == number)
      return &roles[i];
  return NULL;
}
