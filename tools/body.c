/* SPDX-License-Identifier: MIT */
#include "body.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int cannot(const char *path) {
  return tool_complain(TOOL_TRANSPORT, "cannot read %s: %s", path,
                       strerror(errno));
}

static int write_all(int fd, const char *data, size_t len) {
  while (len > 0) {
    ssize_t took = write(fd, data, len);
    if (took < 0)
      return -1;
    data += took;
    len -= (size_t)took;
  }
  return 0;
}

/* The content of a pipe in a file that nobody else sees, or -1. */
static int spool(int from) {
  char data[65536];
  FILE *file = tmpfile();
  int fd = file ? dup(fileno(file)) : -1;
  ssize_t len = 0;
  if (file)
    fclose(file);
  while (fd >= 0 && (len = read(from, data, sizeof data)) > 0)
    if (write_all(fd, data, (size_t)len) != 0)
      break;
  if (fd >= 0 && len != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

int tool_body_open(tool_body *body, const char *path) {
  int from_stdin = strcmp(path, "-") == 0;
  int fd = from_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
  struct stat about;
  if (fd < 0 || fstat(fd, &about) != 0)
    return cannot(path);
  if (!S_ISREG(about.st_mode)) {
    int pipe_fd = fd;
    fd = spool(pipe_fd);
    if (fd < 0 || fstat(fd, &about) != 0)
      return cannot(path);
    close(pipe_fd);
  }
  body->has_file = 1;
  body->fd = fd;
  body->len = about.st_size;
  body->modified = about.st_mtime;
  return 0;
}

int tool_body_add(tool_body *body, const char *value) {
  size_t old = (size_t)body->len, len = strlen(value);
  if (body->has_file || (value[0] == '@' && body->text))
    return tool_complain(TOOL_USAGE, "call: -d @FILE must be the only -d");
  if (value[0] == '@')
    return tool_body_open(body, value + 1);
  body->text = tool_realloc(body->text, old + len + 2);
  if (old > 0)
    body->text[old++] = '&';
  memcpy(body->text + old, value, len + 1);
  body->len = (int64_t)(old + len);
  return 0;
}

int tool_body_send(const tool_body *body, fcgi_client *client, uint16_t id,
                   fcgi_stream stream) {
  if (!body->has_file)
    return fcgi_client_send(client, id, stream, body->text, (size_t)body->len);
  lseek(body->fd, 0, SEEK_SET);
  return fcgi_client_send_fd(client, id, stream, body->fd);
}

void tool_body_free(tool_body *body) {
  free(body->text);
  if (body->has_file)
    close(body->fd);
}
