/* SPDX-License-Identifier: MIT */
/* Drives a web server with keep-alive HTTP clients and checks every answer:
     load PORT CLIENTS GET-PATH POST-PATH
   until standard input ends, then prints one line of JSON. A line of input
   gives the number of right answers of each client so far. GET and POST take
   turns. The application is one of the echo examples: it sends a posted body
   back, and names the query string of a GET. Nothing is asked twice: what is
   not answered, whole and right, has failed. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  BODY = 8192,            /* Of the longest request. */
  ROOM = 2 * BODY + 4096, /* Of any message. */
  PATIENCE_MS = 20000,    /* For one answer. */
  REST_MS = 5             /* After a failure, before the next attempt. */
};

typedef struct client {
  int fd;               /* Its connection, or -1. */
  int busy;             /* 1: a request is open. */
  int is_post;          /* What it asks. */
  unsigned long number; /* Of the request, in all. */
  long long asked;      /* When. */
  unsigned long right;  /* Right answers so far. */
  long long latest;     /* When the latest of them came. */
  long long silence;    /* The longest time without one. */
  char out[ROOM];       /* The request. */
  size_t out_len;       /* Number of bytes to send. */
  size_t out_done;      /* Of which are sent. */
  size_t body_at;       /* Where its body begins. */
  char in[ROOM];        /* What has come of the answer. */
  size_t in_len;        /* Number of bytes received. */
} client;

typedef struct load {
  int port, epoll;           /* Where to, and who is ready. */
  const char *paths[2];      /* Of GET and POST. */
  client *clients;           /* All. */
  int count;                 /* Number of connections. */
  int stopping;              /* 1: ask nothing more. */
  unsigned long asked;       /* Requests so far. */
  unsigned long answered[2]; /* Right answers to GET and POST. */
  unsigned long failed[2];   /* Other ones. */
  long long latest;          /* When the latest right answer came. */
  long long silence;         /* The longest time without one. */
  long long slowest;         /* The longest time for one. */
  char first[160];           /* The first failure. */
} load;

/* A whole answer. */
typedef struct answer {
  int status;      /* 200 and so on. */
  int closes;      /* 1: the connection ends with it. */
  size_t len;      /* Bytes of the body. */
  char body[ROOM]; /* Decoded. */
} answer;

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- Answers -------------------------------------------------------------- */

/* The value of a header line, or NULL; the head ends with an empty line. */
static const char *header(const char *head, const char *name) {
  size_t len = strlen(name);
  for (const char *at = strstr(head, "\r\n"); at && at[2] != '\r';
       at = strstr(at + 2, "\r\n"))
    if (strncasecmp(at + 2, name, len) == 0 && at[2 + len] == ':')
      return at + 3 + len + strspn(at + 3 + len, " ");
  return NULL;
}

/* 1: decoded whole, 0: more has to come, -1: nonsense. */
static int decode_chunks(const char *at, const char *end, answer *out) {
  out->len = 0;
  for (;;) {
    char *after;
    unsigned long size;
    const char *line = memmem(at, (size_t)(end - at), "\r\n", 2);
    if (!line)
      return 0;
    size = strtoul(at, &after, 16);
    if (after == at || size > sizeof out->body - out->len)
      return -1;
    at = line + 2;
    if ((size_t)(end - at) < size + 2)
      return 0;
    memcpy(out->body + out->len, at, size);
    out->len += size;
    at += size + 2;
    if (size == 0)
      return at == end ? 1 : -1;
  }
}

static int decode_plain(const char *at, const char *end, const char *length,
                        answer *out) {
  unsigned long size = strtoul(length, NULL, 10);
  if (size > sizeof out->body)
    return -1;
  if ((size_t)(end - at) < size)
    return 0;
  memcpy(out->body, at, size);
  out->len = size;
  return at + size == end ? 1 : -1;
}

static int decode(client *c, answer *out) {
  const char *end = c->in + c->in_len, *body, *value;
  c->in[c->in_len] = '\0';
  body = strstr(c->in, "\r\n\r\n");
  if (!body)
    return 0;
  if (sscanf(c->in, "HTTP/1.1 %d ", &out->status) != 1)
    return -1;
  value = header(c->in, "Connection");
  out->closes = value && strncasecmp(value, "close", 5) == 0;
  if ((value = header(c->in, "Content-Length")))
    return decode_plain(body + 4, end, value, out);
  value = header(c->in, "Transfer-Encoding");
  return value ? decode_chunks(body + 4, end, out) : -1;
}

static int is_right(const client *c, const answer *got) {
  char wanted[64];
  int len = snprintf(wanted, sizeof wanted, "QUERY_STRING=n%lu\n", c->number);
  if (got->status != 200)
    return 0;
  if (c->is_post)
    return got->len == c->out_len - c->body_at &&
           memcmp(got->body, c->out + c->body_at, got->len) == 0;
  return memmem(got->body, got->len, wanted, (size_t)len) != NULL;
}

/* --- Clients -------------------------------------------------------------- */

static void hang_up(client *c) {
  if (c->fd >= 0)
    close(c->fd);
  c->fd = -1;
}

static void count_silence(long long *latest, long long *silence) {
  long long now = now_ms();
  if (now - *latest > *silence)
    *silence = now - *latest;
  *latest = now;
}

static void fail(load *l, client *c, const char *why) {
  if (!l->failed[0] && !l->failed[1])
    snprintf(l->first, sizeof l->first, "%s %lu after %lld ms: %.100s",
             c->is_post ? "POST" : "GET", c->number, now_ms() - c->asked, why);
  l->failed[c->is_post]++;
  c->busy = 0;
  c->asked = now_ms() + REST_MS;
  hang_up(c);
}

static void succeed(load *l, client *c, int closes) {
  long long took = now_ms() - c->asked;
  if (took > l->slowest)
    l->slowest = took;
  l->answered[c->is_post]++;
  c->right++;
  count_silence(&l->latest, &l->silence);
  count_silence(&c->latest, &c->silence);
  c->busy = 0;
  c->asked = 0;
  if (closes)
    hang_up(c);
}

static int dial(load *l, client *c) {
  const int one = 1;
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)l->port),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                              .data.ptr = c};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
    return -1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  return epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void compose(load *l, client *c) {
  size_t size;
  c->number = l->asked++;
  c->is_post = (int)(c->number & 1);
  size = c->is_post ? c->number * 7919 % BODY + 1 : 0;
  c->body_at = (size_t)snprintf(
      c->out, sizeof c->out,
      "%s %s?n%lu HTTP/1.1\r\nHost: load\r\nContent-Length: %zu\r\n\r\n",
      c->is_post ? "POST" : "GET", l->paths[c->is_post], c->number, size);
  c->out_len = c->body_at + size;
  for (size_t i = 0; i < size; i++)
    c->out[c->body_at + i] = (char)('a' + (c->number + i * 7) % 26);
  c->out_done = c->in_len = 0;
}

static void send_rest(load *l, client *c) {
  while (c->busy && c->out_done < c->out_len) {
    ssize_t sent = send(c->fd, c->out + c->out_done, c->out_len - c->out_done,
                        MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN)
      return;
    if (sent < 0) {
      fail(l, c, strerror(errno));
      return;
    }
    c->out_done += (size_t)sent;
  }
}

static void ask(load *l, client *c) {
  compose(l, c);
  c->asked = now_ms();
  c->busy = 1;
  if (c->fd < 0 && dial(l, c) < 0)
    fail(l, c, strerror(errno));
  else
    send_rest(l, c);
}

/* One that has read a whole answer asks again at once. */
static void receive(load *l, client *c) {
  answer got;
  int done;
  ssize_t len = recv(c->fd, c->in + c->in_len, sizeof c->in - 1 - c->in_len, 0);
  if (len < 0 && errno == EAGAIN)
    return;
  if (len <= 0) {
    fail(l, c, len < 0 ? strerror(errno) : "closed without a whole answer");
    return;
  }
  c->in_len += (size_t)len;
  done = decode(c, &got);
  if (done < 0)
    fail(l, c, "a broken answer");
  else if (done > 0 && !is_right(c, &got))
    fail(l, c, c->in);
  else if (done > 0)
    succeed(l, c, got.closes);
}

static void serve(load *l, client *c) {
  size_t before;
  send_rest(l, c);
  do {
    before = c->in_len;
    if (c->busy)
      receive(l, c);
  } while (c->busy && c->in_len > before);
  if (!c->busy && !l->stopping && c->asked <= now_ms())
    ask(l, c);
}

/* Those that rest after a failure, and those that wait for too long. */
static int tend(load *l) {
  long long now = now_ms();
  int busy = 0;
  for (int i = 0; i < l->count; i++) {
    client *c = &l->clients[i];
    if (c->busy && now - c->asked > PATIENCE_MS)
      fail(l, c, "no answer in time");
    if (!c->busy && !l->stopping && c->asked <= now)
      ask(l, c);
    busy += c->busy;
  }
  return busy;
}

static void print_right(const load *l) {
  for (int i = 0; i < l->count; i++)
    printf("%s%lu", i ? ", " : "[", l->clients[i].right);
  puts("]");
  fflush(stdout);
}

static void take_input(load *l) {
  char byte;
  if (read(STDIN_FILENO, &byte, 1) <= 0) {
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    l->stopping = 1;
  } else if (byte == '\n') {
    print_right(l);
  }
}

static void begin(load *l) {
  l->latest = now_ms();
  for (int i = 0; i < l->count; i++) {
    l->clients[i].fd = -1;
    l->clients[i].latest = l->latest;
  }
}

static void end(load *l) {
  count_silence(&l->latest, &l->silence);
  for (int i = 0; i < l->count; i++)
    count_silence(&l->clients[i].latest, &l->clients[i].silence);
}

static void run(load *l) {
  struct epoll_event ready[64];
  struct epoll_event input = {.events = EPOLLIN | EPOLLHUP};
  l->epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_ctl(l->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
  begin(l);
  while (tend(l) > 0 || !l->stopping) {
    int count = epoll_wait(l->epoll, ready, 64, REST_MS);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.ptr)
        serve(l, ready[i].data.ptr);
      else
        take_input(l);
    }
  }
  end(l);
}

static void print(load *l) {
  for (char *at = l->first; *at; at++)
    if (*at < ' ' || *at == '"' || *at == '\\')
      *at = ' ';
  printf("{\"get\": %lu, \"post\": %lu, \"failed_get\": %lu, "
         "\"failed_post\": %lu, \"silence_ms\": %lld, \"slowest_ms\": %lld, "
         "\"first_failure\": \"%s\", \"silences_ms\": [",
         l->answered[0], l->answered[1], l->failed[0], l->failed[1], l->silence,
         l->slowest, l->first);
  for (int i = 0; i < l->count; i++)
    printf("%s%lld", i ? ", " : "", l->clients[i].silence);
  puts("]}");
}

int main(int argc, char **argv) {
  load l = {.port = 0};
  if (argc != 5) {
    fputs("usage: load PORT CLIENTS GET-PATH POST-PATH\n", stderr);
    return 2;
  }
  l.port = atoi(argv[1]);
  l.count = atoi(argv[2]);
  l.paths[0] = argv[3];
  l.paths[1] = argv[4];
  l.clients = calloc((size_t)l.count, sizeof *l.clients);
  if (!l.clients)
    return 1;
  run(&l);
  print(&l);
  free(l.clients);
  return 0;
}
