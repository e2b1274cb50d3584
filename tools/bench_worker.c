/* SPDX-License-Identifier: MIT */
/* One thread's connections: requests out, answers in. */
#include "bench.h"
#include "tool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
  BUFFER = 256 * 1024,  /* Of one recv(2). */
  EVENTS = 256,         /* Of one epoll_wait(2). */
  GATHER = 64,          /* Requests of one sendmsg(2). */
  SWEEP_NS = 100000000, /* Between two looks for timeouts. */
  TIMER = -1,           /* The timer's number among connections. */
  INTERRUPT = -2        /* That of shared->interrupt. */
};

static int open_loop(const bench_worker *worker) {
  return worker->rate > 0;
}

void bench_worker_make(bench_worker *worker, bench_shared *shared,
                       unsigned connections, uint64_t requests) {
  const bench_plan *plan = shared->plan;
  size_t places = (size_t)connections * plan->in_flight;
  *worker = (bench_worker){.shared = shared,
                           .plan = plan,
                           .count = connections,
                           .wanted = requests,
                           .last_start_ns = UINT64_MAX,
                           .timer = -1};
  worker->epoll = epoll_create1(EPOLL_CLOEXEC);
  worker->connections =
      tool_realloc(NULL, connections * sizeof *worker->connections);
  worker->free = tool_realloc(NULL, places * sizeof *worker->free);
  worker->dirty = tool_realloc(NULL, connections * sizeof *worker->dirty);
  worker->buffer = tool_realloc(NULL, BUFFER);
  for (unsigned i = 0; i < connections; i++) {
    bench_connection *c = &worker->connections[i];
    size_t size = plan->in_flight * sizeof *c->slots;
    *c = (bench_connection){.worker = worker, .fd = -1};
    c->slots = memset(tool_realloc(NULL, size), 0, size);
    c->queue = tool_realloc(NULL, plan->in_flight * sizeof *c->queue);
  }
  /* Who rests longest goes first, so that all connections are used alike. */
  for (size_t i = 0; i < places; i++)
    worker->free[i] = (bench_place){.connection = (uint32_t)(i % connections),
                                    .slot = (uint32_t)(i / connections)};
  worker->places = worker->free_len = places;
}

static void disconnect(bench_connection *c) {
  if (c->fd >= 0)
    close(c->fd);
  c->fd = -1;
  c->connecting = c->watched = c->have = 0;
  c->content = c->padding = 0;
  c->queue_len = 0;
  c->sent = 0;
  c->answers = 0;
}

void bench_worker_free(bench_worker *worker) {
  for (unsigned i = 0; i < worker->count; i++) {
    bench_connection *c = &worker->connections[i];
    disconnect(c);
    for (unsigned slot = 0; slot < worker->plan->in_flight; slot++)
      free(c->slots[slot].gathered);
    free(c->slots);
    free(c->queue);
  }
  if (worker->epoll >= 0)
    close(worker->epoll);
  if (worker->timer >= 0)
    close(worker->timer);
  free(worker->connections);
  free(worker->free);
  free(worker->dirty);
  free(worker->buffer);
}

static void release(bench_connection *c, const bench_slot *slot) {
  bench_worker *worker = c->worker;
  size_t at = worker->free_at + worker->free_len++;
  worker->free[at < worker->places ? at : at - worker->places] =
      (bench_place){.connection = (uint32_t)(c - worker->connections),
                    .slot = (uint32_t)(slot - c->slots)};
}

void bench_finish(bench_connection *c, bench_slot *slot, bench_error error) {
  bench_worker *worker = c->worker;
  bench_counts *counts = &worker->counts;
  slot->busy = 0;
  c->answers++;
  counts->finished++;
  if (error == BENCH_OK) {
    counts->right++;
    counts->last_ns = worker->now_ns;
    bench_histogram_add(&counts->latency, worker->now_ns - slot->start_ns);
  } else {
    counts->errors[error]++;
  }
  if (!slot->queued)
    release(c, slot);
}

static void mark(bench_connection *c) {
  bench_worker *worker = c->worker;
  if (c->dirty)
    return;
  c->dirty = 1;
  worker->dirty[worker->dirty_len++] = (uint32_t)(c - worker->connections);
}

static void queue(bench_connection *c, bench_slot *slot) {
  unsigned size = c->worker->plan->in_flight;
  slot->queued = 1;
  slot->closed = 0;
  slot->compare = NULL;
  slot->len = 0;
  slot->sent_ns = c->worker->now_ns;
  c->queue[(c->queue_at + c->queue_len++) % size] = (uint16_t)(slot - c->slots);
  mark(c);
}

/* Every request that was on a connection has ended or goes out again. A kept
   connection may close while a request is on its way; web servers send that
   again, once. */
static void lose(bench_connection *c, bench_error error) {
  bench_worker *worker = c->worker;
  int kept = error == BENCH_CLOSED && worker->plan->keep && c->answers > 0;
  disconnect(c);
  for (unsigned i = 0; i < worker->plan->in_flight; i++) {
    bench_slot *slot = &c->slots[i];
    int was_queued = slot->queued;
    slot->queued = 0;
    if (slot->busy && kept && slot->len == 0 && !slot->resent) {
      slot->resent = 1;
      worker->counts.resent++;
      queue(c, slot);
    } else if (slot->busy) {
      bench_finish(c, slot, error);
    } else if (was_queued) {
      release(c, slot);
    }
  }
}

static void watch(bench_connection *c, int writable) {
  struct epoll_event event = {.events = EPOLLIN};
  uint8_t wanted = writable ? 2 : 1;
  if (c->watched == wanted)
    return;
  if (writable)
    event.events |= EPOLLOUT;
  event.data.u64 = (uint64_t)(c - c->worker->connections);
  epoll_ctl(c->worker->epoll, c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd,
            &event);
  c->watched = wanted;
}

/* No connection: where there never was one, the run ends. */
static void refuse(bench_connection *c, int error) {
  bench_shared *shared = c->worker->shared;
  struct timespec pause = {.tv_nsec = 1000000};
  int none = 0;
  if (!atomic_load(&shared->connected))
    atomic_compare_exchange_strong(&shared->no_connection, &none, error);
  lose(c, BENCH_CONNECT);
  nanosleep(&pause, NULL);
}

/* 1 when the connection can be sent on. */
static int connected(bench_connection *c) {
  bench_worker *worker = c->worker;
  if (c->fd >= 0)
    return !c->connecting;
  c->fd = bench_connect(worker->plan);
  if (c->fd < 0 && errno == EAGAIN) {
    worker->waiting += !c->waiting;
    c->waiting = 1;
    return 0;
  }
  if (c->fd < 0) {
    refuse(c, errno);
    return 0;
  }
  worker->counts.opened++;
  c->connecting = errno == EINPROGRESS;
  if (!c->connecting)
    atomic_store_explicit(&worker->shared->connected, 1, memory_order_relaxed);
  watch(c, c->connecting);
  return !c->connecting;
}

/* What one sendmsg(2) is to take. */
static int gather(const bench_connection *c, struct iovec *parts) {
  int count = 0;
  for (unsigned i = 0; i < c->queue_len && count < GATHER; i++) {
    unsigned at = (c->queue_at + i) % c->worker->plan->in_flight;
    const bench_bytes *bytes = c->slots[c->queue[at]].bytes;
    size_t skip = i == 0 ? c->sent : 0;
    parts[count++] = (struct iovec){.iov_base = bytes->at + skip,
                                    .iov_len = bytes->len - skip};
  }
  return count;
}

static void sent(bench_connection *c, size_t len) {
  c->worker->counts.sent += len;
  c->sent += len;
  while (c->queue_len > 0) {
    bench_slot *slot = &c->slots[c->queue[c->queue_at]];
    if (c->sent < slot->bytes->len)
      return;
    c->sent -= slot->bytes->len;
    c->queue_at = (c->queue_at + 1) % c->worker->plan->in_flight;
    c->queue_len--;
    slot->queued = 0;
    if (!slot->busy)
      release(c, slot);
  }
}

/* One request needs no message of parts, which costs the kernel more. */
static ssize_t send_some(bench_connection *c) {
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  struct iovec parts[GATHER];
  struct msghdr message = {.msg_iov = parts};
  message.msg_iovlen = (size_t)gather(c, parts);
  if (message.msg_iovlen == 1)
    return send(c->fd, parts[0].iov_base, parts[0].iov_len, flags);
  return sendmsg(c->fd, &message, flags);
}

/* An application may close its reading side after it has answered, so what it
   wrote is read before the connection counts as lost. */
static void send_queued(bench_connection *c) {
  while (c->queue_len > 0 && connected(c)) {
    ssize_t n = send_some(c);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno != EAGAIN) {
      watch(c, 0);
      return;
    }
    if (n >= 0)
      sent(c, (size_t)n);
    if (c->queue_len > 0 && n < 0) {
      watch(c, 1);
      return;
    }
  }
  if (c->fd >= 0 && !c->connecting)
    watch(c, 0);
}

static void send_dirty(bench_worker *worker) {
  while (worker->dirty_len > 0) {
    bench_connection *c =
        &worker->connections[worker->dirty[--worker->dirty_len]];
    c->dirty = 0;
    send_queued(c);
  }
}

/* When request `number` of this worker is to start. */
static uint64_t intended(const bench_worker *worker, uint64_t number) {
  return worker->shared->start_ns +
         (uint64_t)(((double)number + worker->phase) / worker->rate * 1e9);
}

/* 1 when one more request is to be started, and from when it counts. */
static int due(const bench_worker *worker, uint64_t *start_ns) {
  uint64_t number = worker->counts.started;
  if (number >= worker->wanted)
    return 0;
  *start_ns = open_loop(worker) ? intended(worker, number) : worker->now_ns;
  return *start_ns < worker->last_start_ns && *start_ns <= worker->now_ns;
}

static void start_due(bench_worker *worker) {
  uint64_t start_ns;
  while (worker->free_len > 0 && due(worker, &start_ns)) {
    bench_place place = worker->free[worker->free_at];
    bench_connection *c = &worker->connections[place.connection];
    bench_slot *slot = &c->slots[place.slot];
    uint64_t variant = worker->counts.started++ % worker->plan->variants;
    if (++worker->free_at == worker->places)
      worker->free_at = 0;
    worker->free_len--;
    slot->bytes =
        &worker->plan->bytes[variant * worker->plan->in_flight + place.slot];
    slot->start_ns = start_ns;
    slot->busy = 1;
    slot->resent = 0;
    queue(c, slot);
  }
}

static void receive(bench_connection *c) {
  bench_worker *worker = c->worker;
  ssize_t n = recv(c->fd, worker->buffer, BUFFER, MSG_DONTWAIT);
  bench_error error = BENCH_CLOSED;
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n > 0) {
    worker->counts.received += (uint64_t)n;
    error = bench_scan(c, worker->buffer, (size_t)n);
  }
  if (error != BENCH_OK)
    lose(c, error);
  else if (!worker->plan->keep && !c->slots[0].busy)
    lose(c, BENCH_CLOSED);
}

/* connect(2) has come to an end. */
static void conclude(bench_connection *c) {
  int error = 0;
  socklen_t len = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
  c->connecting = 0;
  if (error) {
    refuse(c, error);
    return;
  }
  atomic_store_explicit(&c->worker->shared->connected, 1, memory_order_relaxed);
  mark(c);
}

static void expired(bench_connection *c) {
  const bench_worker *worker = c->worker;
  uint64_t most = (uint64_t)(worker->plan->timeout * 1e9);
  for (unsigned i = 0; i < worker->plan->in_flight; i++)
    if (c->slots[i].busy && worker->now_ns - c->slots[i].sent_ns > most) {
      lose(c, BENCH_TIMEOUT);
      return;
    }
}

static void sweep(bench_worker *worker) {
  if (worker->now_ns - worker->swept_ns < SWEEP_NS)
    return;
  worker->swept_ns = worker->now_ns;
  for (unsigned i = 0; i < worker->count; i++)
    expired(&worker->connections[i]);
}

/* Requests that were due and had no slot until the timeout after the last start
   are late without end. */
static void give_up(bench_worker *worker) {
  bench_counts *counts = &worker->counts;
  uint64_t most = (uint64_t)(worker->plan->timeout * 1e9), start_ns;
  if (!open_loop(worker) || worker->last_start_ns == UINT64_MAX ||
      worker->now_ns < worker->last_start_ns + most)
    return;
  while (due(worker, &start_ns)) {
    counts->started++;
    counts->finished++;
    counts->errors[BENCH_TIMEOUT]++;
  }
}

/* Connections that found the backlog full try again. */
static void try_again(bench_worker *worker) {
  if (worker->waiting == 0)
    return;
  worker->waiting = 0;
  for (unsigned i = 0; i < worker->count; i++)
    if (worker->connections[i].waiting) {
      worker->connections[i].waiting = 0;
      mark(&worker->connections[i]);
    }
}

/* The timer wakes for the next intended start. */
static void set_timer(bench_worker *worker) {
  struct itimerspec at = {.it_value = {.tv_nsec = 0}};
  uint64_t next;
  if (!open_loop(worker) || worker->counts.started >= worker->wanted)
    return;
  next = intended(worker, worker->counts.started);
  if (next <= worker->now_ns || next >= worker->last_start_ns)
    return;
  at.it_value.tv_sec = (time_t)(next / 1000000000u);
  at.it_value.tv_nsec = (long)(next % 1000000000u);
  timerfd_settime(worker->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void serve(bench_worker *worker, const struct epoll_event *event) {
  bench_connection *c;
  uint64_t count;
  if (event->data.u64 == (uint64_t)TIMER) {
    if (read(worker->timer, &count, sizeof count) < 0)
      return;
    worker->now_ns = bench_now();
    return;
  }
  if (event->data.u64 == (uint64_t)INTERRUPT) {
    worker->interrupted = 1;
    return;
  }
  c = &worker->connections[event->data.u64];
  if (c->fd >= 0 && c->connecting)
    conclude(c);
  else if (c->fd >= 0 && event->events & ~(uint32_t)EPOLLOUT)
    receive(c);
  if (event->events & EPOLLOUT)
    mark(c);
}

/* 1 while requests are under way or still to be started. */
static int goes_on(const bench_worker *worker) {
  const bench_counts *counts = &worker->counts;
  uint64_t next;
  if (worker->interrupted)
    return 0;
  if (atomic_load_explicit(&worker->shared->no_connection,
                           memory_order_relaxed) &&
      !atomic_load_explicit(&worker->shared->connected, memory_order_relaxed))
    return 0;
  if (counts->started > counts->finished)
    return 1;
  if (counts->started >= worker->wanted)
    return 0;
  next = open_loop(worker) ? intended(worker, counts->started) : worker->now_ns;
  return next < worker->last_start_ns;
}

static void watch_clock_and_signals(bench_worker *worker) {
  struct epoll_event event = {.events = EPOLLIN,
                              .data.u64 = (uint64_t)INTERRUPT};
  epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->shared->interrupt, &event);
  if (!open_loop(worker))
    return;
  event.data.u64 = (uint64_t)TIMER;
  worker->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->timer, &event);
}

void *bench_worker_run(void *data) {
  bench_worker *worker = data;
  struct epoll_event events[EVENTS];
  watch_clock_and_signals(worker);
  worker->now_ns = worker->swept_ns = bench_now();
  start_due(worker);
  send_dirty(worker);
  while (goes_on(worker)) {
    int count;
    set_timer(worker);
    count =
        epoll_wait(worker->epoll, events, EVENTS, worker->waiting ? 1 : 100);
    worker->now_ns = bench_now();
    for (int i = 0; i < count; i++) {
      serve(worker, &events[i]);
      start_due(worker);
      send_dirty(worker);
      worker->now_ns = bench_now();
    }
    sweep(worker);
    give_up(worker);
    try_again(worker);
    start_due(worker);
    send_dirty(worker);
  }
  return NULL;
}
