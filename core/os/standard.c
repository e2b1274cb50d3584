/* SPDX-License-Identifier: MIT */
/* The standard descriptors, 0 to 2. */
#include <fastcgi/server.h>
#include <fcntl.h>
#include <unistd.h>

/* open(2) gives the lowest number that is free. */
void fcgi_standard_hold(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
      return;
}
