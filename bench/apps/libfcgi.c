/* SPDX-License-Identifier: MIT */
/* libfcgi PATH [THREADS]: the same application on libfcgi, FCGX_Accept_r in
   each thread as its threaded.c has it. */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static char page[10240];

static void answer(FCGX_Request *request) {
  const char *path = FCGX_GetParam("PATH_INFO", request->envp);
  const char *length = FCGX_GetParam("CONTENT_LENGTH", request->envp);
  if (path && strcmp(path, "/page") == 0) {
    FCGX_PutS("Content-Type: text/html\r\nContent-Length: 10240\r\n\r\n",
              request->out);
    FCGX_PutStr(page, sizeof page, request->out);
  } else if (length && *length) {
    char data[65536];
    long long total = 0;
    int n;
    while ((n = FCGX_GetStr(data, sizeof data, request->in)) > 0)
      total += n;
    FCGX_FPrintF(request->out, "Content-Type: text/plain\r\n\r\n%ld\n",
                 (long)total);
  } else {
    FCGX_PutS("Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nHello\n",
              request->out);
  }
}

static void *serve(void *socket) {
  FCGX_Request request;
  FCGX_InitRequest(&request, (int)(intptr_t)socket, 0);
  while (FCGX_Accept_r(&request) >= 0) {
    answer(&request);
    FCGX_Finish_r(&request);
  }
  return NULL;
}

int main(int argc, char **argv) {
  int threads = argc > 2 ? atoi(argv[2]) : 1, socket;
  memset(page, 'x', sizeof page);
  FCGX_Init();
  socket = FCGX_OpenSocket(argv[1], 1024);
  if (socket < 0)
    return 1;
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    pthread_create(&thread, NULL, serve, (void *)(intptr_t)socket);
  }
  serve((void *)(intptr_t)socket);
  return 0;
}
