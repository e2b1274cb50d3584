/* SPDX-License-Identifier: MIT */
#include "base/config.h"
#include <fastcgi/error.h>
#include <string.h>

int fcgi__config_copy(void *ours, size_t size, size_t least,
                      const void *given) {
  const unsigned char *bytes = given;
  size_t theirs;
  if (!given)
    return 0;
  memcpy(&theirs, given, sizeof theirs);
  if (theirs < least || theirs < sizeof theirs)
    return FCGI_ERR_INVALID;
  for (size_t i = size; i < theirs; i++)
    if (bytes[i])
      return FCGI_ERR_INVALID;
  memcpy(ours, given, theirs < size ? theirs : size);
  memcpy(ours, &size, sizeof size);
  return 0;
}
