/* SPDX-License-Identifier: MIT */
#include "supervisor/privileges.h"
#include "base/number.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum { DATABASE_LINE = 16384 };
#define MOST_ID ((uint64_t)UINT32_MAX - 1)

/* 1: `text` is the number of somebody, 0: it is a name, -1: it is a number that
   nobody can have. (uid_t)-1 means "nobody in particular" to chown(2). */
static int as_number(const char *text, uint64_t *number) {
  if (!fcgi__number_is(text))
    return 0;
  return fcgi__number_parse(text, 0, MOST_ID, number) == 0 ? 1 : -1;
}

static int refuse(char *why, size_t why_len, const char *what,
                  const char *name) {
  snprintf(why, why_len, "%s %s: no such %s; create it or name another", what,
           name, what);
  return -1;
}

static int refuse_number(char *why, size_t why_len, const char *what,
                         const char *number) {
  snprintf(why, why_len,
           "%s %.64s: numbers end at %llu; give a name or another "
           "number",
           what, number, (unsigned long long)MOST_ID);
  return -1;
}

static int find_user(fcgi__identity *out, const char *user, char *why,
                     size_t why_len) {
  char line[DATABASE_LINE];
  struct passwd entry, *found = NULL;
  uint64_t number = 0;
  int is_number = as_number(user, &number);
  if (is_number < 0)
    return refuse_number(why, why_len, "user", user);
  if (is_number)
    getpwuid_r((uid_t)number, &entry, line, sizeof line, &found);
  else
    getpwnam_r(user, &entry, line, sizeof line, &found);
  if (!found && !is_number)
    return refuse(why, why_len, "user", user);
  out->uid = found ? found->pw_uid : (uid_t)number;
  out->gid = found ? found->pw_gid : (gid_t)number;
  if (found) {
    snprintf(out->name, sizeof out->name, "%s", found->pw_name);
    snprintf(out->home, sizeof out->home, "%s", found->pw_dir);
  }
  return 0;
}

static int find_group(fcgi__identity *out, const char *group, char *why,
                      size_t why_len) {
  char line[DATABASE_LINE];
  struct group entry, *found = NULL;
  uint64_t number = 0;
  int is_number = as_number(group, &number);
  if (is_number < 0)
    return refuse_number(why, why_len, "group", group);
  if (!is_number) {
    getgrnam_r(group, &entry, line, sizeof line, &found);
    if (!found)
      return refuse(why, why_len, "group", group);
  }
  out->gid = found ? found->gr_gid : (gid_t)number;
  return 0;
}

int fcgi__identity_find(fcgi__identity *out, const char *user,
                        const char *group, char *why, size_t why_len) {
  *out = (fcgi__identity){
      .asked = user || group, .uid = geteuid(), .gid = getegid()};
  if (user && find_user(out, user, why, why_len))
    return -1;
  if (group && find_group(out, group, why, why_len))
    return -1;
  out->wanted = out->uid != geteuid() || out->gid != getegid();
  return 0;
}

static int fail(char *why, size_t why_len, const char *what) {
  snprintf(why, why_len,
           "cannot change the user or group (%s: %s); start as root, or leave "
           "out --user and --group",
           what, strerror(errno));
  return -1;
}

/* Nothing of root's may stay: not its groups, and not the way back. */
static int change(const fcgi__identity *identity, char *why, size_t why_len) {
  if (identity->name[0] ? initgroups(identity->name, identity->gid) < 0
                        : setgroups(1, &identity->gid) < 0)
    return fail(why, why_len, "setgroups");
  if (setgid(identity->gid) < 0)
    return fail(why, why_len, "setgid");
  if (setuid(identity->uid) < 0)
    return fail(why, why_len, "setuid");
  if (identity->uid != 0 && setuid(0) == 0) {
    errno = EPERM;
    return fail(why, why_len, "the way back to root is open");
  }
  return 0;
}

/* A new supervisor in the place of an old one is that user already, but
   execve(2) has made it open to others of the same user again. */
int fcgi__identity_become(const fcgi__identity *identity, char *why,
                          size_t why_len) {
  if (!identity->asked)
    return 0;
  if (identity->wanted && change(identity, why, why_len))
    return -1;
#ifdef __linux__
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
  return 0;
}
