/* SPDX-License-Identifier: MIT */
#include "os/carrier.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  TAG = 'c',     /* The one byte that a descriptor travels with. */
  TAG_LOOK = 'l' /* The one that says: look at the listeners. */
};

/* Room for one descriptor, aligned as its header wants. */
typedef union fcgi__rights {
  struct cmsghdr header;               /* Aligns the bytes. */
  char bytes[CMSG_SPACE(sizeof(int))]; /* The control message. */
} fcgi__rights;

/* Room for all that one message may bring (SCM_MAX_FD of Linux is 253): what
   does not fit the kernel closes, what does is ours to close. */
enum { MOST_RIGHTS = 256 };
typedef union fcgi__received {
  struct cmsghdr header;                             /* Aligns the bytes. */
  char bytes[CMSG_SPACE(MOST_RIGHTS * sizeof(int))]; /* Control messages. */
} fcgi__received;

/* A number that the kernel knows about a socket, or -1. */
static int option_of(int fd, int option) {
  int value = -1;
  socklen_t len = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static int family_of(int fd) {
  struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
  socklen_t len = sizeof name;
  return getsockname(fd, (struct sockaddr *)&name, &len) == 0 ? name.ss_family
                                                              : -1;
}

int fcgi__carrier_is_one(int fd) {
  return option_of(fd, SO_TYPE) == SOCK_SEQPACKET && family_of(fd) == AF_UNIX;
}

/* A stream that somebody is at the other end of, or was a moment ago. */
static int is_connection(int fd) {
  int family = family_of(fd);
  return option_of(fd, SO_TYPE) == SOCK_STREAM &&
         option_of(fd, SO_ACCEPTCONN) == 0 &&
         (family == AF_UNIX || family == AF_INET || family == AF_INET6);
}

/* Where the socket is full there is something to take, and the socket to look
   at, anyway. */
void fcgi__carrier_look(int out) {
  const char tag = TAG_LOOK;
  if (send(out, &tag, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
    return;
}

int fcgi__carrier_send_noted(int out, int fd, const void *note, size_t len) {
  char tag = TAG;
  union {
    const void *from; /* As it is given. */
    void *to;         /* As sendmsg(2) declares it, and does not write. */
  } lent = {.from = note};
  struct iovec parts[] = {{&tag, 1}, {lent.to, len}};
  fcgi__rights rights = {.bytes = {0}};
  struct msghdr message = {.msg_iov = parts,
                           .msg_iovlen = len > 0 ? 2 : 1,
                           .msg_control = rights.bytes,
                           .msg_controllen = sizeof rights.bytes};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(out, &message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
                 (ssize_t)(len + 1)
             ? 0
             : -1;
}

int fcgi__carrier_send(int out, int fd) {
  return fcgi__carrier_send_noted(out, fd, NULL, 0);
}

/* The only descriptor of a message, or -1; others than one are closed. */
static int take_rights(struct msghdr *message) {
  struct cmsghdr *at = CMSG_FIRSTHDR(message);
  int only = -1, count = 0, fd;
  for (; at; at = CMSG_NXTHDR(message, at)) {
    size_t bytes = at->cmsg_len - CMSG_LEN(0);
    if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
      continue;
    for (size_t i = 0; i + sizeof fd <= bytes; i += sizeof fd) {
      memcpy(&fd, CMSG_DATA(at) + i, sizeof fd);
      if (count++ == 0)
        only = fd;
      else
        close(fd);
    }
  }
  if (count > 1) {
    close(only);
    only = -1;
  }
  return only;
}

int fcgi__carrier_bytes(int in) {
  int bytes = 0;
  return ioctl(in, FIONREAD, &bytes) == 0 ? bytes : -1;
}

/* Nothing was received: 1 when nothing ever will be, as an empty message looks
   the same. What lies behind one has bytes. */
static int is_end(int in) {
#ifdef POLLRDHUP
  struct pollfd at = {.fd = in, .events = POLLRDHUP};
  return poll(&at, 1, 0) > 0 && fcgi__carrier_bytes(in) == 0;
#else
  (void)in;
  return 1;
#endif
}

/* What a message of ours has behind its tag, as far as there is room. */
static void take_note(const char *bytes, size_t count, void *note, size_t len) {
  size_t found = count > 1 ? count - 1 : 0;
  if (found > len)
    found = len;
  if (len == 0)
    return;
  memset(note, 0, len);
  memcpy(note, bytes + 1, found);
}

/* A message without a note may have no bytes but its tag. */
static int is_ours(const char *bytes, ssize_t len, size_t note_len) {
  return len > 0 && bytes[0] == TAG && (note_len > 0 || len == 1);
}

int fcgi__carrier_receive_noted(int in, int *fd, void *note, size_t len) {
  char bytes[FCGI__CARRIER_NOTE + 1] = {0};
  struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
  fcgi__received rights;
  struct msghdr message = {.msg_iov = &iov,
                           .msg_iovlen = 1,
                           .msg_control = rights.bytes,
                           .msg_controllen = sizeof rights.bytes};
  ssize_t got = recvmsg(in, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  *fd = -1;
  if (got < 0)
    return errno != EINTR && errno != EAGAIN ? 0 : -1;
  *fd = take_rights(&message);
  if (*fd >= 0 && (!is_ours(bytes, got, len) || !is_connection(*fd))) {
    close(*fd);
    *fd = -1;
    return 1;
  }
  take_note(bytes, (size_t)got, note, len);
  return got > 0 || message.msg_controllen > 0 || !is_end(in);
}

int fcgi__carrier_receive(int in, int *fd) {
  return fcgi__carrier_receive_noted(in, fd, NULL, 0);
}

/* The kernel hands out no descriptor where there is no room for one. */
int fcgi__carrier_look_ahead(int in, void *note, size_t len) {
  char bytes[FCGI__CARRIER_NOTE + 1];
  ssize_t got = recv(in, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
  if (got <= 0)
    return 0;
  take_note(bytes, (size_t)got, note, len);
  return 1;
}

int fcgi__carrier_is_shut(int in) {
  struct pollfd at = {.fd = in};
  return poll(&at, 1, 0) > 0 && (at.revents & (POLLHUP | POLLERR | POLLNVAL));
}
