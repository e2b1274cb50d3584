/* SPDX-License-Identifier: MIT */
/* Listening sockets: made, or inherited. */
#ifndef FCGI_OS_LISTENER_H
#define FCGI_OS_LISTENER_H

#include "os/address.h"
#include "os/allow.h"
#include <stddef.h>
#include <sys/types.h>

/* The name that we gave a unix socket in the file system. It is told apart from
   anybody else's by its inode, and found again from its directory, wherever the
   process goes and whatever becomes of the path. */
typedef struct fcgi__socket_file {
  char name[108]; /* The last component of the path; "": there is none. */
  int directory;  /* What holds it, open; nothing when there is no name. */
  dev_t device;   /* With `inode`, which file it is. */
  ino_t inode;    /* Its number on that device. */
  pid_t maker;    /* The process that made it, not one forked later. */
} fcgi__socket_file;

typedef struct fcgi__listener {
  int fd;                 /* Non-blocking only if we made it (see below). */
  int own;                /* 1: ours to close. An inherited one is not ours. */
  int family;             /* AF_UNIX, AF_INET, AF_INET6. */
  fcgi__socket_file file; /* The unix socket's file that we made. */
} fcgi__listener;

typedef struct fcgi__listen_options {
  int backlog;              /* listen(2). */
  unsigned mode;            /* Mode of a unix socket. */
  int has_owner;            /* 1: `user` and `group` are its owners. */
  uid_t user;               /* (uid_t)-1: as it is made. */
  gid_t group;              /* Group of the socket file; (gid_t)-1:
                               unchanged. */
  int loopback_only;        /* 1: refuse what other machines can reach. */
  const char *tcp_refused;  /* Why no TCP socket is listened on; NULL or "":
                               it is. */
  const fcgi__allow *allow; /* Who may reach a TCP socket that is made, in the
                               kernel; NULL: that is not asked there. */
} fcgi__listen_options;

/* Open `address`; NULL means every inherited listener. Fills at most `max`
   listeners and returns how many (at least 1), or a negative error with one
   line in `why`: what happened, the address, what to do. FCGI_ERR_INVALID for
   a bad address, FCGI_ERR_SYSTEM with errno otherwise. */
int fcgi__listener_open(fcgi__listener *out, size_t max, const char *address,
                        const fcgi__listen_options *options, char *why,
                        size_t why_len);

/* Say in `why` what is wrong with an address that is to be opened: 0, or a
   negative error. Opens nothing. */
int fcgi__listener_check(const char *address,
                         const fcgi__listen_options *options, char *why,
                         size_t why_len);

/* 1 when a process cannot listen on both of two good addresses; 0 as well when
   one of them is not good. */
int fcgi__listener_is_same(const char *a, const char *b);

/* 1 for a listening socket, else 0 with errno: EBADF, ENOTSOCK, or EINVAL for
   a socket that does not listen. */
int fcgi__listener_is_one(int fd);

/* 1 when `address` NULL has something to open. */
int fcgi__listener_is_inherited(void);

/* Stop listening, if it is ours, and remove the socket file; the descriptor's
   number stays taken, by a copy of `instead`, until it is closed. */
void fcgi__listener_retire(fcgi__listener *listener, int instead);

/* The file of a socket that another process of ours has made and passed on with
   its directory, which is taken over: 0, or -1 when it is not there any more.
 */
int fcgi__socket_file_adopt(fcgi__socket_file *out, int fd, int directory);

/* 1 when the name is that of our socket, now, or within a moment. */
int fcgi__socket_file_is_there(const fcgi__socket_file *file);
int fcgi__socket_file_stays(const fcgi__socket_file *file);

/* Forget the file, or remove it first if it is still ours. */
void fcgi__socket_file_leave(fcgi__socket_file *file);
void fcgi__socket_file_remove(fcgi__socket_file *file);

/* Close what is ours and remove the socket file if it is still the one we
   made. */
void fcgi__listener_close(fcgi__listener *listener);

#endif
