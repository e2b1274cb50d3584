/* SPDX-License-Identifier: MIT */
/* What every request passes through, as one unit for the compiler, which then
   sees each caller of a function beside it: a request costs a tenth less, with
   no tool for whole programs needed. The files stand by themselves and are
   compiled here alone. */
#include "base/alloc.c"
#include "base/buffer.c"
#include "session/exchange.c"
#include "session/life.c"
#include "session/names.c"
#include "session/output.c"
#include "session/params.c"
#include "session/params_feed.c"
#include "session/params_join.c"
#include "session/params_run.c"
#include "session/records.c"
#include "session/session.c"
#include "session/spares.c"
#include "session/table.c"
#include "session/wire.c"
#include "wire/record.c"
