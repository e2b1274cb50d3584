/* SPDX-License-Identifier: MIT */
/* libfastcgi: all of it. */
#ifndef FASTCGI_FASTCGI_H
#define FASTCGI_FASTCGI_H

#include <fastcgi/alloc.h>
#include <fastcgi/client.h>
#include <fastcgi/error.h>
#include <fastcgi/event.h>
#include <fastcgi/handler.h>
#include <fastcgi/options.h>
#include <fastcgi/pairs.h>
#include <fastcgi/params.h>
#include <fastcgi/peer.h>
#include <fastcgi/protocol.h>
#include <fastcgi/record.h>
#include <fastcgi/request.h>
#include <fastcgi/resource.h>
#include <fastcgi/role.h>
#include <fastcgi/serve.h>
#include <fastcgi/server.h>
#include <fastcgi/session.h>
#include <fastcgi/shared.h>
#include <fastcgi/spares.h>
#include <fastcgi/status.h>
#include <fastcgi/supervisor.h>
#include <fastcgi/timeout.h>
#include <fastcgi/version.h>

#endif
