/* SPDX-License-Identifier: MIT */
#include "os/backlog.h"
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

static const fcgi__backlog unknown = {-1, -1};

/* Reads the attribute with the lengths: of a listener, what waits and the
   backlog. */
static fcgi__backlog find_lengths(struct nlmsghdr *header, size_t len) {
  const size_t fixed = NLMSG_LENGTH(sizeof(struct unix_diag_msg));
  struct rtattr *at;
  unsigned rest;
  if (len < fixed || header->nlmsg_len > len || header->nlmsg_len < fixed ||
      header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
    return unknown;
  at = (void *)((char *)header + NLMSG_ALIGN(fixed));
  rest = header->nlmsg_len - (unsigned)NLMSG_ALIGN(fixed);
  for (; RTA_OK(at, rest); at = RTA_NEXT(at, rest)) {
    struct unix_diag_rqlen lengths;
    if (at->rta_type != UNIX_DIAG_RQLEN || RTA_PAYLOAD(at) < sizeof lengths)
      continue;
    memcpy(&lengths, RTA_DATA(at), sizeof lengths);
    return (fcgi__backlog){lengths.udiag_rqueue, lengths.udiag_wqueue};
  }
  return unknown;
}

static fcgi__backlog read_unix(int fd) {
  union {
    struct nlmsghdr header; /* Aligns the bytes. */
    char bytes[512];        /* The answer. */
  } got;
  struct stat found;
  ssize_t len = -1;
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (netlink < 0)
    return unknown;
  if (fstat(fd, &found) == 0 && ask(netlink, found.st_ino) == 0)
    len = recv(netlink, &got, sizeof got, MSG_DONTWAIT);
  close(netlink);
  return len < 0 ? unknown : find_lengths(&got.header, (size_t)len);
}

/* tcp(7): of a listener, `tcpi_unacked` is the length of its queue and
   `tcpi_sacked` the backlog. */
static fcgi__backlog read_tcp(int fd) {
  struct tcp_info info;
  socklen_t len = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0
             ? (fcgi__backlog){info.tcpi_unacked, info.tcpi_sacked}
             : unknown;
}

fcgi__backlog fcgi__backlog_read(int fd) {
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
    return unknown;
  return address.ss_family == AF_UNIX ? read_unix(fd) : read_tcp(fd);
}

#else

fcgi__backlog fcgi__backlog_read(int fd) {
  (void)fd;
  return (fcgi__backlog){-1, -1};
}

#endif

void fcgi__backlog_add(fcgi__backlog *sum, int fd) {
  fcgi__backlog one = fcgi__backlog_read(fd);
  if (one.length < 0)
    return;
  sum->length = sum->length < 0 ? one.length : sum->length + one.length;
  sum->limit = sum->limit < 0 ? one.limit : sum->limit + one.limit;
}
