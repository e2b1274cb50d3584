/* SPDX-License-Identifier: MIT */
#include "supervisor/inbox.h"
#include "supervisor/spawn.h"
#include "supervisor/upgrade.h"
#include "supervisor/worker.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SCM_CREDENTIALS

/* Without them nobody could tell who says what. */
int fcgi__inbox_open(fcgi__supervisor *s) {
  (void)s;
  errno = EOPNOTSUPP;
  return -1;
}

void fcgi__inbox_take(fcgi__supervisor *s) {
  (void)s;
}

#else

enum {
  MESSAGE = 4096, /* What is read of one; no message of ours is longer. */
  AT_ONCE = 64    /* Messages before other work: anybody can send. */
};

/* What a worker may say, one to a line, and what it means. */
static const struct {
  const char *word;
  void (*act)(fcgi__supervisor *s, fcgi__worker *worker);
} words[] = {
    {"READY=1", fcgi__worker_is_ready},
    {"STOPPING=1", fcgi__worker_is_stopping},
    {"WATCHDOG=1", fcgi__worker_is_alive},
    {"FASTCGI=RETIRE", fcgi__worker_is_spent},
    {"FASTCGI=STOP_BY_PIPE", fcgi__worker_hears},
};

/* An address without a name gets a free one from Linux, in the abstract name
   space: no file is left behind, whoever we become. */
static int name_it(fcgi__supervisor *s, int fd) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  socklen_t len = sizeof name.sun_family;
  const int on = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
      bind(fd, (struct sockaddr *)&name, len) < 0)
    return -1;
  len = sizeof name;
  if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
    return -1;
  len -= (socklen_t)offsetof(struct sockaddr_un, sun_path);
  snprintf(s->notify_name, sizeof s->notify_name, "@%.*s", (int)len - 1,
           name.sun_path + 1);
  return 0;
}

int fcgi__inbox_open(fcgi__supervisor *s) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return -1;
  if (name_it(s, fd) < 0) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  s->notify = fd;
  return 0;
}

/* Room for the sender alone: descriptors that somebody sends along are not
   taken. */
typedef union credentials {
  struct cmsghdr header;                        /* Aligns the bytes. */
  char bytes[CMSG_SPACE(sizeof(struct ucred))]; /* The control message. */
} credentials;

/* One message: its length, or -1 when there is none. One that is cut says
   nothing, as one whose sender is not known. */
static ssize_t receive(int fd, char *text, size_t len, pid_t *sender) {
  struct iovec iov = {.iov_base = text, .iov_len = len - 1};
  credentials from;
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = from.bytes,
                           .msg_controllen = sizeof from.bytes};
  ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  struct cmsghdr *header = got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
  struct ucred who = {.pid = 0};
  if (header && header->cmsg_level == SOL_SOCKET &&
      header->cmsg_type == SCM_CREDENTIALS)
    memcpy(&who, CMSG_DATA(header), sizeof who);
  *sender = got >= 0 && message.msg_flags & MSG_TRUNC ? 0 : who.pid;
  text[got > 0 ? got : 0] = '\0';
  return got;
}

/* The worker is looked up for each word: the one before may have moved it. */
static void hear(fcgi__supervisor *s, pid_t sender, const char *word) {
  fcgi__worker *worker = fcgi__worker_find(s, sender);
  if (!worker && sender == s->successor && strcmp(word, "READY=1") == 0)
    fcgi__upgrade_is_ready(s);
  for (size_t i = 0; worker && i < sizeof words / sizeof *words; i++) {
    if (strcmp(word, words[i].word) != 0)
      continue;
    s->tells = 1;
    words[i].act(s, worker);
    return;
  }
}

void fcgi__inbox_take(fcgi__supervisor *s) {
  char text[MESSAGE], *rest, *word;
  pid_t sender;
  for (int i = 0;
       i < AT_ONCE && receive(s->notify, text, sizeof text, &sender) >= 0; i++)
    for (rest = text; (word = strsep(&rest, "\n"));)
      if (sender > 0)
        hear(s, sender, word);
}

#endif
