/* SPDX-License-Identifier: MIT */
/* Files by name, where others may change what a name leads to. */
#ifndef FCGI_OS_FILENAME_H
#define FCGI_OS_FILENAME_H

#include <sys/types.h>

/* The directory that holds the last component of `path`, which `name` points
   to: a descriptor for the ...at calls, or -1 with errno. For root a symbolic
   link of a user's on the way is an error, ELOOP: that user would choose where
   root acts. Links of root's are followed. */
int fcgi__filename_directory(const char *path, const char **name);

/* Keep other starters of this library away from the directory of `path` until
   what is returned is closed, or -1. Anybody who can read the directory could
   hold the lock, so after a moment it is done without. */
int fcgi__filename_lock(const char *path);

/* open(2) with the same rule, which here holds for the last component too; in
   the directory of a user root opens no file that has another name besides. */
int fcgi__filename_open(const char *path, int flags, mode_t mode);

/* Whether open(2) could write to the file, or make it: 0 or errno. Nothing is
   made. */
int fcgi__filename_check(const char *path);

/* What errno means after one of these, for a person. */
const char *fcgi__filename_error(int error);

#endif
