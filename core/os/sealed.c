/* SPDX-License-Identifier: MIT */
#include "os/sealed.h"
#include "os/file.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__

static int open_file(const char *name) {
  return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static int seal(int fd) {
  return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

/* Whoever made it may still have it open: it could be cut while we look. */
static int keeps_its_size(int fd) {
  int seals = fcntl(fd, F_GET_SEALS);
  return seals >= 0 && seals & F_SEAL_SHRINK;
}

#else

static int open_file(const char *name) {
  char path[] = "/tmp/fastcgi-memory.XXXXXX";
  int fd = mkstemp(path);
  (void)name;
  if (fd >= 0) {
    unlink(path);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  return fd;
}

static int seal(int fd) {
  (void)fd;
  return 0;
}

static int keeps_its_size(int fd) {
  (void)fd;
  return 1;
}

#endif

int fcgi__sealed_new(const char *name, size_t size) {
  int fd = open_file(name);
  if (fd >= 0 && (!fcgi__file_may_have(size) ||
                  ftruncate(fd, (off_t)size) != 0 || seal(fd) != 0)) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  return fd;
}

int fcgi__sealed_is_one(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && keeps_its_size(fd);
}

int fcgi__sealed_map(int fd, size_t least, void **memory, size_t *size) {
  struct stat found;
  void *mapped;
  if (fstat(fd, &found) != 0)
    return FCGI_ERR_SYSTEM;
  if (!fcgi__sealed_is_one(fd) || found.st_size < (off_t)least)
    return FCGI_ERR_PROTOCOL;
  mapped = mmap(NULL, (size_t)found.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                fd, 0);
  if (mapped == MAP_FAILED)
    return FCGI_ERR_SYSTEM;
  *memory = mapped;
  *size = (size_t)found.st_size;
  return 0;
}
