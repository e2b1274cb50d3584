/* SPDX-License-Identifier: MIT */
/* A server of either poller: connections are handed in or come to a listener,
   web servers say whatever they like on them, and a program makes every call on
   its requests, forks, and lets time pass. What the server sends is whole
   records, and nothing is left behind, also where the allocator fails every few
   calls. */
#include "fuzz/fuzz.h"
#include "fuzz/world.h"

#include <fastcgi/fastcgi.h>

enum { MOST_CALLS = 300, NOBODY = 8 };

/* One call: of a web server, of the server, or on a request. */
static void act(world *w, script *s) {
  uint8_t call = script_byte(s);
  web *peer = &w->webs[call >> 7];
  switch (call & 15) {
  case 0:
    web_leave(peer);
    web_join(peer, w->in);
    break;
  case 1:
    web_leave(peer);
    break;
  case 2:
    web_end_sending(peer);
    break;
  case 3:
    web_receive(peer, script_size(s));
    break;
  case 4:
  case 5:
  case 6:
  case 7:
    web_say(peer, s);
    break;
  case 8:
    world_seldom(w, peer, call >> 4);
    break;
  case 9:
    fcgi_server_stop(w->server,
                     script_byte(s) & 1 ? FCGI_STOP_NOW : FCGI_STOP_GRACEFUL);
    break;
  case 10:
  case 11:
    world_serve(w, 1 + script_byte(s) % 8);
    break;
  default:
    world_arm(w);
    program_call(&w->program, s);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  script s = {data, size};
  world w;
  world_start(&w, &s);
  for (int i = 0; i < MOST_CALLS && s.left > 0; i++)
    act(&w, &s);
  world_serve(&w, NOBODY);
  for (int i = 0; i < WORLD_WEBS; i++)
    web_receive(&w.webs[i], SCRIPT_LONGEST);
  world_finish(&w);
  return 0;
}
