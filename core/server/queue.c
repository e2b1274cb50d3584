/* SPDX-License-Identifier: MIT */
#include "server/queue.h"
#ifdef __linux__
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is asked of the kernel about one unix socket, as sock_diag(7) says. */
typedef struct question {
  struct nlmsghdr header;      /* Of every netlink message. */
  struct unix_diag_req socket; /* Which one, and what. */
} question;

static int ask(int netlink, ino_t inode) {
  const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  question asked = {
      .header = {.nlmsg_len = sizeof asked,
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST},
      .socket = {.sdiag_family = AF_UNIX,
                 .udiag_states = ~0u,
                 .udiag_ino = (uint32_t)inode,
                 .udiag_show = UDIAG_SHOW_RQLEN,
                 .udiag_cookie = {~0u, ~0u}},
  };
  return sendto(netlink, &asked, sizeof asked, 0,
                (const struct sockaddr *)&kernel,
                sizeof kernel) == (ssize_t)sizeof asked
             ? 0
             : -1;
}

/* The attribute with the lengths, or -1: an error came instead. */
static int64_t find_length(struct nlmsghdr *header, size_t len) {
  const size_t fixed = NLMSG_LENGTH(sizeof(struct unix_diag_msg));
  struct rtattr *at;
  unsigned rest;
  if (len < fixed || header->nlmsg_len > len || header->nlmsg_len < fixed ||
      header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
    return -1;
  at = (void *)((char *)header + NLMSG_ALIGN(fixed));
  rest = header->nlmsg_len - (unsigned)NLMSG_ALIGN(fixed);
  for (; RTA_OK(at, rest); at = RTA_NEXT(at, rest)) {
    struct unix_diag_rqlen lengths;
    if (at->rta_type != UNIX_DIAG_RQLEN || RTA_PAYLOAD(at) < sizeof lengths)
      continue;
    memcpy(&lengths, RTA_DATA(at), sizeof lengths);
    return lengths.udiag_rqueue;
  }
  return -1;
}

static int64_t length_of_unix(int fd) {
  union {
    struct nlmsghdr header; /* Aligns the bytes. */
    char bytes[512];        /* The answer. */
  } got;
  struct stat found;
  ssize_t len = -1;
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (netlink < 0)
    return -1;
  if (fstat(fd, &found) == 0 && ask(netlink, found.st_ino) == 0)
    len = recv(netlink, &got, sizeof got, MSG_DONTWAIT);
  close(netlink);
  return len < 0 ? -1 : find_length(&got.header, (size_t)len);
}

/* tcp(7): of a listener, `tcpi_unacked` is the length of its queue. */
static int64_t length_of_tcp(int fd) {
  struct tcp_info info;
  socklen_t len = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0
             ? (int64_t)info.tcpi_unacked
             : -1;
}

int64_t fcgi__queue_length(int fd) {
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
    return -1;
  return address.ss_family == AF_UNIX ? length_of_unix(fd) : length_of_tcp(fd);
}

#else

int64_t fcgi__queue_length(int fd) {
  (void)fd;
  return -1;
}

#endif

void fcgi__queue_note(fcgi__board *board, int64_t length) {
  _Atomic int64_t *most = &board->head->listen_queue_max;
  int64_t before = atomic_load(most);
  atomic_store(&board->head->listen_queue, length);
  while (length > before &&
         !atomic_compare_exchange_weak(most, &before, length))
    ;
}
