/* SPDX-License-Identifier: MIT */
#include "support/mailbox.h"
#include "support/unit.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char filling[] = "FILL=1";

/* Linux finds a free name in the abstract name space. */
void mailbox_open(mailbox *box) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  socklen_t len = sizeof name.sun_family;
  box->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_true(box->fd >= 0);
  assert_int_equal(bind(box->fd, (struct sockaddr *)&name, len), 0);
  len = sizeof name;
  assert_int_equal(getsockname(box->fd, (struct sockaddr *)&name, &len), 0);
  snprintf(box->name, sizeof box->name, "@%.*s",
           (int)(len - offsetof(struct sockaddr_un, sun_path)) - 1,
           name.sun_path + 1);
}

void mailbox_close(mailbox *box) {
  close(box->fd);
}

/* Each message comes from a socket of its own: the queue of the receiver is
   what fills, not the memory of a sender. */
void mailbox_fill(mailbox *box) {
  struct sockaddr_un name;
  socklen_t len = sizeof name;
  ssize_t sent;
  assert_int_equal(getsockname(box->fd, (struct sockaddr *)&name, &len), 0);
  do {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sent = sendto(fd, filling, sizeof filling - 1, MSG_DONTWAIT,
                  (struct sockaddr *)&name, len);
    close(fd);
  } while (sent > 0);
  assert_int_equal(errno, EAGAIN);
}

const char *mailbox_take(mailbox *box) {
  ssize_t got = recv(box->fd, box->text, sizeof box->text - 1, MSG_DONTWAIT);
  box->text[got > 0 ? got : 0] = '\0';
  return box->text;
}

void mailbox_empty(mailbox *box) {
  char text[sizeof filling];
  while (recv(box->fd, text, sizeof text, MSG_DONTWAIT | MSG_PEEK) > 0 &&
         memcmp(text, filling, sizeof filling - 1) == 0)
    assert_true(recv(box->fd, text, sizeof text, MSG_DONTWAIT) > 0);
}
