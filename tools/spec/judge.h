/* SPDX-License-Identifier: MIT */
/* Whether what came is what a case wants. With the echo contract it must be
   exactly that; otherwise whatever FastCGI and CGI allow. */
#ifndef FCGI_SPEC_JUDGE_H
#define FCGI_SPEC_JUDGE_H

#include "play.h"

/* Skip a case that this target cannot be asked: -1 when skipped, else 0. */
int judge_before(play *p);

/* 1 when all that is wanted has come, however it looks. */
int judge_is_complete(const play *p);

/* 1 when the application may end the connection here: it refused a request
   that must be refused. */
int judge_refused_by_closing(const play *p);

/* 1 when the application closes whatever it should keep (5.1), and another
   section than `closing` is there to count that. */
int judge_tolerates_close(const play *p);

/* Compare what came: 0, or -1 with the case's result set. */
int judge_answers(play *p);

/* 1 when a CGI answer has a head that CGI allows; `*status` is its status. */
int judge_cgi(const bytes *out, int *status);

#endif
