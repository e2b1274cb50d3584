/* SPDX-License-Identifier: MIT */
/* What comes to the sockets for connections, of a reload and of workers that
   share, and is none: nothing of it stays. */
#include "board/scoreboard.h"
#include "server/server.h"
#include "support/serving.h"

#include <dirent.h>
#include <fastcgi/error.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 250 };

typedef struct place {
  fcgi_server *server; /* That takes connections over. */
  int pair[2];         /* To it. */
  int is_queue;        /* 1: as workers do that share. */
} place;

/* As a supervisor's variables do it: a place on the scoreboard, and the pair.
 */
static void join_queue(place *p) {
  fcgi_server_event event = {.size = sizeof event};
  fcgi__starter *starter = &p->server->starter;
  fcgi__queue *queue = &p->server->share.queue;
  fcgi__board board;
  char address[64];
  snprintf(address, sizeof address, "unix:@fastcgi-garbage-%ld",
           (long)getpid());
  assert_int_equal(fcgi_server_listen(p->server, address), 0);
  assert_int_equal(fcgi__board_new(&board, 1), 0);
  snprintf(starter->board, sizeof starter->board, "%ld:%d:0", (long)getpid(),
           dup(board.fd));
  fcgi__board_free(&board);
  atomic_store(&queue->out, p->pair[0]);
  atomic_store(&queue->in, p->pair[1]);
  assert_int_equal(fcgi_server_next(p->server, &event, 0), 0);
  assert_int_equal(atomic_load(&queue->in), p->pair[1]);
}

static int open_place(void **state, int is_queue) {
  const fcgi_server_config config = {.size = sizeof config};
  place *p = calloc(1, sizeof *p);
  p->is_queue = is_queue;
  assert_int_equal(
      socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p->pair), 0);
  assert_int_equal(fcgi_server_new(&p->server, &config, NULL, 0), 0);
  if (is_queue)
    join_queue(p);
  else
    assert_int_equal(fcgi_server_take_over(p->server, p->pair[1]), 0);
  *state = p;
  return 0;
}

static int set_up(void **state) {
  return open_place(state, 0);
}

static int set_up_queue(void **state) {
  return open_place(state, 1);
}

static int tear_down(void **state) {
  place *p = *state;
  fcgi_server_free(p->server);
  close(p->pair[0]);
  close(p->pair[1]);
  free(p);
  return 0;
}

static int count_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(folder))
    count++;
  closedir(folder);
  return count;
}

static void send_message(const place *p, const char *text, size_t len,
                         const int *fds, int count) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MOST * sizeof(int))];
  } rights = {.bytes = {0}};
  struct iovec iov = {.iov_base = (char *)(size_t)text, .iov_len = len};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = rights.bytes;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, (size_t)count * sizeof(int));
  }
  assert_int_equal(sendmsg(p->pair[0], &message, MSG_NOSIGNAL), len);
}

static void serve(const place *p) {
  fcgi_server_event event = {.size = sizeof event};
  for (int i = 0; i < 3; i++)
    assert_int_equal(fcgi_server_next(p->server, &event, 10), 0);
}

/* A good one still passes: its first request is served. */
static void expect_served(const place *p) {
  static const unsigned char begin[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0,
                                        0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 0,
                                        0, 0, 1, 5, 0, 1, 0, 0, 0, 0};
  fcgi_server_event event = {.size = sizeof event};
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  send_message(p, "c", 1, &ends[1], 1);
  close(ends[1]);
  assert_int_equal(write(ends[0], begin, sizeof begin), sizeof begin);
  for (int i = 0; i < 200 && event.type != FCGI_EVENT_REQUEST; i++)
    assert_true(fcgi_server_next(p->server, &event, 100) >= 0);
  assert_int_equal(event.type, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_end(event.request, 0), 0);
  close(ends[0]);
}

/* Send copies of `fd` along with `text`: none of them stays. */
static void expect_refused(const place *p, int fd, int count, const char *text,
                           size_t len) {
  int fds[MOST], before = count_descriptors();
  for (int i = 0; i < count; i++)
    fds[i] = fd;
  send_message(p, text, len, fds, count);
  serve(p);
  assert_int_equal(count_descriptors(), before);
}

static void test_more_descriptors_than_one(void **state) {
  static const int counts[] = {2, 3, 4, 5, 100, MOST};
  place *p = *state;
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    expect_refused(p, ends[1], counts[i], "c", 1);
  close(ends[0]);
  close(ends[1]);
  expect_served(p);
}

static void test_another_text(void **state) {
  place *p = *state;
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  expect_refused(p, ends[1], 1, "x", 1);
  expect_refused(p, ends[1], 1, "xcccccccccccccccccccccccccccccccc", 33);
  if (!p->is_queue) { /* Only there a note follows. */
    expect_refused(p, ends[1], 1, "cc", 2);
    expect_refused(p, ends[1], 1, "cccccccccccccccccccc", 20);
  }
  expect_refused(p, ends[1], 1, "", 0);
  expect_refused(p, ends[1], 0, "c", 1);
  close(ends[0]);
  close(ends[1]);
  expect_served(p);
}

static void refuse_and_close(const place *p, int fd) {
  assert_true(fd >= 0);
  expect_refused(p, fd, 1, "c", 1);
  close(fd);
}

static void test_what_is_no_connection(void **state) {
  place *p = *state;
  int ends[2], listener = socket(AF_INET, SOCK_STREAM, 0);
  refuse_and_close(p, open("/dev/null", O_RDWR));
  refuse_and_close(p, open("/", O_RDONLY | O_DIRECTORY));
  refuse_and_close(p, socket(AF_INET, SOCK_DGRAM, 0));
  assert_int_equal(listen(listener, 1), 0);
  refuse_and_close(p, listener);
  assert_int_equal(pipe(ends), 0);
  refuse_and_close(p, ends[0]);
  refuse_and_close(p, ends[1]);
  assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  refuse_and_close(p, ends[0]);
  close(ends[1]);
  expect_served(p);
}

/* A worker of another version may say less or more, or what is not so. */
static void test_any_note_is_good(void **state) {
  static const unsigned char bytes[] = {0, 1, 0x7f, 0x80, 0xff};
  static const size_t lengths[] = {1, 9, 17, 20, 25, 66, 200};
  place *p = *state;
  for (size_t i = 0; i < sizeof bytes * sizeof lengths / sizeof *lengths; i++) {
    char text[200];
    int ends[2], before = count_descriptors();
    memset(text, bytes[i % sizeof bytes], sizeof text);
    text[0] = 'c';
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    send_message(p, text, lengths[i / sizeof bytes], &ends[1], 1);
    close(ends[1]);
    serve(p);
    close(ends[0]);
    serve(p);
    assert_int_equal(count_descriptors(), before);
  }
  expect_served(p);
}

/* It has neither bytes nor descriptors, which an end has not either. */
static void test_an_empty_message_is_no_end(void **state) {
  place *p = *state;
  for (int i = 0; i < 3; i++) {
    send_message(p, "", 0, NULL, 0);
    serve(p);
  }
  expect_served(p);
}

/* What was sent before the end is taken, whatever came before that. */
static void test_an_end_after_empty_messages(void **state) {
  static const unsigned char begin[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1,
                                        0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 0,
                                        0, 0, 1, 5, 0, 1, 0, 0, 0, 0};
  fcgi_server_event event = {.size = sizeof event};
  place *p = *state;
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  assert_int_equal(write(ends[0], begin, sizeof begin), sizeof begin);
  send_message(p, "", 0, NULL, 0);
  send_message(p, "c", 1, &ends[1], 1);
  send_message(p, "", 0, NULL, 0);
  shutdown(p->pair[0], SHUT_WR);
  close(ends[1]);
  for (int i = 0; i < 200 && event.type != FCGI_EVENT_REQUEST; i++)
    assert_true(fcgi_server_next(p->server, &event, 100) >= 0);
  assert_int_equal(event.type, FCGI_EVENT_REQUEST);
  assert_int_equal(fcgi_request_end(event.request, 0), 0);
  serve(p);
  /* The place is free again. */
  assert_int_equal(fcgi_server_take_over(p->server, p->pair[1]), 0);
  close(ends[0]);
}

/* Whether calls on it wait is not the socket's word but ours: who has passed it
   may have a copy, and both share that word. */
static void test_a_socket_that_makes_calls_wait(void **state) {
  static const unsigned char begin[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1,
                                        0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 0,
                                        0, 0, 1, 5, 0, 1, 0, 0, 0, 0};
  static const char answer[1 << 20] = "a: b\r\n\r\n";
  fcgi_server_event event = {.size = sizeof event};
  place *p = *state;
  int ends[2];
  alarm(60); /* Ends the process where a call waits for ever. */
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  send_message(p, "c", 1, &ends[1], 1);
  serve(p);
  assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
  assert_int_equal(write(ends[0], begin, 3), 3);
  serve(p);
  assert_int_equal(write(ends[0], begin + 3, sizeof begin - 3),
                   sizeof begin - 3);
  for (int i = 0; i < 200 && event.type != FCGI_EVENT_REQUEST; i++)
    assert_true(fcgi_server_next(p->server, &event, 100) >= 0);
  assert_int_equal(event.type, FCGI_EVENT_REQUEST);
  fcgi_request_set_timeout(event.request, 0);
  assert_true(fcgi_request_write(event.request, answer, sizeof answer) > 0);
  assert_int_equal(fcgi_request_write(event.request, answer, sizeof answer),
                   FCGI_ERR_AGAIN);
  close(ends[0]);
  close(ends[1]);
  fcgi_request_end(event.request, 0);
  alarm(0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define QUEUE_TEST(name)                                                       \
  cmocka_unit_test_setup_teardown(name, set_up_queue, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_more_descriptors_than_one),
      TEST(test_another_text),
      TEST(test_what_is_no_connection),
      TEST(test_an_empty_message_is_no_end),
      TEST(test_an_end_after_empty_messages),
      TEST(test_a_socket_that_makes_calls_wait),
  };
  const struct CMUnitTest of_queue[] = {
      QUEUE_TEST(test_more_descriptors_than_one),
      QUEUE_TEST(test_another_text),
      QUEUE_TEST(test_what_is_no_connection),
      QUEUE_TEST(test_an_empty_message_is_no_end),
      QUEUE_TEST(test_any_note_is_good),
  };
  return cmocka_run_group_tests_name("handover_garbage", tests, NULL, NULL) |
         cmocka_run_group_tests_name("queue_garbage", of_queue, NULL, NULL);
}
