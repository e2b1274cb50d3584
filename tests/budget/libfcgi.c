/* SPDX-License-Identifier: MIT */
/* libfcgi PATH: the same answer on libfcgi, for its instructions. */
#include <fcgiapp.h>

int main(int argc, char **argv) {
  FCGX_Request request;
  if (argc != 2 || FCGX_Init() != 0 ||
      FCGX_InitRequest(&request, FCGX_OpenSocket(argv[1], 16), 0) != 0)
    return 1;
  while (FCGX_Accept_r(&request) >= 0) {
    FCGX_PutS("Status: 200\r\nContent-Type: text/plain\r\n"
              "Content-Length: 6\r\n\r\nHello\n",
              request.out);
    FCGX_Finish_r(&request);
  }
  return 0;
}
