/* SPDX-License-Identifier: MIT */
/* A thread that stops a server as the bytes of a pipe say. */
#include "serve/ending.h"
#include <errno.h>
#include <fastcgi/error.h>
#include <fastcgi/serve.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fcgi_stopper {
  fcgi__ending ending; /* What it does. */
  pthread_t thread;    /* Who does it. */
  int signals;         /* Where the numbers come from. */
  int over[2];         /* A pipe whose end ends the thread. */
  pid_t pid;           /* Whose thread it is: not that of a fork(2). */
};

/* One message, with room for who has sent it. */
typedef struct stopper_message {
  struct iovec data;                /* Where the bytes go. */
  struct msghdr about;              /* As recvmsg(2) wants it. */
  _Alignas(size_t) char rights[64]; /* Its control messages. */
} stopper_message;

static int is_stop(int number) {
  return number == SIGTERM || number == SIGINT || number == SIGQUIT;
}

#ifdef SCM_CREDENTIALS

/* 1 when this process has sent it, as far as the message tells. */
static int is_own(const stopper_message *message) {
  struct msghdr about = message->about;
  struct cmsghdr *header = CMSG_FIRSTHDR(&about);
  struct ucred sender;
  if (!header || header->cmsg_level != SOL_SOCKET ||
      header->cmsg_type != SCM_CREDENTIALS)
    return 1;
  memcpy(&sender, CMSG_DATA(header), sizeof sender);
  return sender.pid == getpid();
}

#else

static int is_own(const stopper_message *message) {
  (void)message;
  return 1;
}

#endif

/* Bytes of a pipe, or of a socket, which may tell whose they are: a child that
   the program has forked still has the descriptor that its signals go to. */
static ssize_t receive(int fd, unsigned char *numbers, size_t size) {
  stopper_message message = {.data = {numbers, size}};
  ssize_t len;
  message.about = (struct msghdr){.msg_iov = &message.data,
                                  .msg_iovlen = 1,
                                  .msg_control = message.rights,
                                  .msg_controllen = sizeof message.rights};
  len = recvmsg(fd, &message.about, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (len < 0 && errno == ENOTSOCK)
    return read(fd, numbers, size);
  return len > 0 && !is_own(&message) ? 0 : len;
}

static void take(fcgi_stopper *stopper) {
  unsigned char numbers[64];
  ssize_t len = receive(stopper->signals, numbers, sizeof numbers);
  for (ssize_t i = 0; i < len; i++)
    if (is_stop(numbers[i]))
      fcgi__ending_signal(&stopper->ending, numbers[i]);
}

static void *run(void *data) {
  fcgi_stopper *stopper = data;
  struct pollfd ready[] = {{.fd = stopper->signals, .events = POLLIN},
                           {.fd = stopper->over[0], .events = POLLIN}};
  for (;;) {
    int count = poll(ready, 2, fcgi__ending_wait_ms(&stopper->ending));
    if (count > 0 && ready[1].revents)
      return NULL;
    if (count > 0 && ready[0].revents & POLLIN)
      take(stopper);
    else if (count > 0)
      ready[0].fd = -1; /* Nobody writes there any more. */
    fcgi__ending_tick(&stopper->ending);
  }
}

/* It blocks every signal, which are the program's. */
static int start(fcgi_stopper *stopper) {
  sigset_t all, before;
  int error;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(&stopper->thread, NULL, run, stopper);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

int fcgi_stopper_new(fcgi_stopper **out, fcgi_server *server, int signals,
                     int graceful_timeout_ms) {
  fcgi_stopper *stopper = calloc(1, sizeof *stopper);
  int error;
  if (!stopper)
    return FCGI_ERR_NOMEM;
  fcgi__ending_init(&stopper->ending, server);
  if (graceful_timeout_ms > 0)
    stopper->ending.most_ms = graceful_timeout_ms;
  stopper->signals = signals;
  stopper->pid = getpid();
  error = pipe2(stopper->over, O_CLOEXEC) < 0 ? errno : 0;
  if (!error && (error = start(stopper)) != 0) {
    close(stopper->over[0]);
    close(stopper->over[1]);
  }
  if (error) {
    free(stopper);
    errno = error;
    return FCGI_ERR_SYSTEM;
  }
  *out = stopper;
  return 0;
}

void fcgi_stopper_free(fcgi_stopper *stopper) {
  if (!stopper)
    return;
  if (stopper->pid == getpid()) {
    /* A fork may hold a copy of the end that is closed below. */
    ssize_t written = write(stopper->over[1], "", 1);
    (void)written; /* It is the first byte there, so there is room. */
    pthread_join(stopper->thread, NULL);
  }
  close(stopper->over[1]);
  close(stopper->over[0]);
  free(stopper);
}
