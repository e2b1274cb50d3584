/* SPDX-License-Identifier: MIT */
/* C for Perl, compiled into the wrapper. */

#define FCGI_RAISE(code, text) fcgi_raise(aTHX_ code, text)
#define FCGI_PARKED(handler)   (((fcgi_closure *)(handler)->closure)->error)
#define FCGI_RETHROW(handler)                                                  \
  croak_sv(sv_2mortal(((fcgi_closure *)(handler)->closure)->error))
#define FCGI_UNLOCK
#define FCGI_LOCK

/* One loop. */
typedef struct fcgi_closure {
  SV *function; /* The handler. */
  SV *error;    /* The parked error, NULL for none. */
} fcgi_closure;

/* --- Values --------------------------------------------------------------- */

/* The bytes of a string, or what is wrong with it. */
static const char *fcgi_bytes_of(pTHX_ SV *sv, const char **data, size_t *len) {
  STRLEN length;
  SvGETMAGIC(sv);
  if (!SvOK(sv))
    return "a string is needed, not undef";
  const char *text = SvPV_nomg(sv, length);
  if (SvUTF8(sv)) {
    SV *copy = sv_2mortal(newSVpvn_flags(text, length, SVf_UTF8));
    if (!sv_utf8_downgrade(copy, 1))
      return "a wide character in a string of bytes: encode it first";
    text = SvPV(copy, length);
  }
  *data = text;
  *len = length;
  return NULL;
}

static SV *fcgi_from_bytes(pTHX_ shim_bytes *bytes) {
  SV *sv = bytes->data ? sv_2mortal(newSVpvn(bytes->data, bytes->len))
                       : &PL_sv_undef;
  shim_bytes_free(bytes);
  return sv;
}

static SV *fcgi_from_pairs(pTHX_ shim_pairs *pairs) {
  HV *hash = newHV();
  for (size_t i = 0; i < pairs->count; i++) {
    const fcgi_param *pair = &pairs->items[i];
    SV *value = newSVpvn(pair->value, pair->value_len);
    if (!hv_store(hash, pair->name, (I32)pair->name_len, value, 0))
      SvREFCNT_dec(value);
  }
  shim_pairs_free(pairs);
  return sv_2mortal(newRV_noinc((SV *)hash));
}

/* --- Errors --------------------------------------------------------------- */

static void fcgi_raise(pTHX_ int code, const char *text) {
  HV *hash = newHV();
  SV *error = newRV_noinc((SV *)hash);
  SV *message = mess_sv(sv_2mortal(newSVpv(text, 0)), 0);
  (void)hv_stores(hash, "code", newSVpv(fcgi_error_name(code), 0));
  (void)hv_stores(hash, "message", newSVsv(message));
  sv_bless(error, gv_stashpv("FastCGI::Swig::Error", GV_ADD));
  croak_sv(sv_2mortal(error));
}

/* --- Handlers ------------------------------------------------------------- */

/* Call a sub with an argument or none; 1 when it died, with $@ set. A stack of
   its own keeps `last` and `next` from leaving the loop in C. */
static int fcgi_call_sv(pTHX_ SV *function, SV *argument) {
  dSP;
  ENTER;
  SAVETMPS;
  PUSHSTACKi(PERLSI_UNKNOWN);
  PUSHMARK(SP);
  if (argument)
    XPUSHs(argument);
  PUTBACK;
  call_sv(function, G_VOID | G_DISCARD | G_EVAL);
  POPSTACK;
  FREETMPS;
  LEAVE;
  return SvROK(ERRSV) || SvTRUE(ERRSV);
}

static SV *fcgi_proxy(pTHX_ shim_request *request) {
  return SWIG_NewPointerObj(request, SWIGTYPE_p_shim_request,
                            SWIG_OWNER | SWIG_SHADOW);
}

static shim_outcome fcgi_failure(pTHX_ SV *error) {
  SV **code = NULL;
  if (sv_isa(error, "FastCGI::Swig::Error") && SvTYPE(SvRV(error)) == SVt_PVHV)
    code = hv_fetchs((HV *)SvRV(error), "code", 0);
  return shim_failure(code && SvPOK(*code) ? SvPV_nolen(*code) : NULL);
}

static shim_outcome fcgi_call(void *data, shim_request *request) {
  dTHX;
  fcgi_closure *closure = data;
  int died;
  ENTER;
  SAVETMPS;
  if (request) {
    SV *inside = get_sv("FastCGI::Swig::_inside", GV_ADD);
    sv_setiv(inside, SvIV(inside) + 1); /* What exit looks at. */
    died = fcgi_call_sv(aTHX_ closure->function, fcgi_proxy(aTHX_ request));
    sv_setiv(inside, SvIV(inside) - 1);
  } else
    died =
        fcgi_call_sv(aTHX_ sv_2mortal(newSVpvs("FastCGI::Swig::_tick")), NULL);
  if (died)
    closure->error = newSVsv(ERRSV);
  FREETMPS;
  LEAVE;
  if (!died)
    return SHIM_DONE;
  return request ? fcgi_failure(aTHX_ closure->error) : SHIM_LEAVE;
}

/* What is thrown may be an object whose own text fails. */
static void fcgi_report(void *data, const shim_log *log) {
  dTHX;
  fcgi_closure *closure = data;
  SV *name = newSVpvs("FastCGI::Swig::_text");
  SV *copy = newSVsv(closure->error);
  STRLEN len;
  fcgi_call_sv(aTHX_ name, copy);
  const char *text = SvPVutf8(get_sv("FastCGI::Swig::_said", GV_ADD), len);
  shim_log_write(log, text, len);
  SvREFCNT_dec(name);
  SvREFCNT_dec(closure->error);
  closure->error = NULL;
}

/* --- Functions of resources ------------------------------------------------
 */

/* One line of what was thrown, which may be an object. */
static void fcgi_line(pTHX_ SV *error, char *why, size_t len) {
  SV *name = sv_2mortal(newSVpvs("FastCGI::Swig::_text"));
  fcgi_call_sv(aTHX_ name, sv_mortalcopy(error));
  const char *text = SvPVutf8_nolen(get_sv("FastCGI::Swig::_said", GV_ADD));
  snprintf(why, len, "%.*s", (int)strcspn(text, "\n"), text);
}

/* In scalar context: what it returned, mortal; NULL when it died, with $@ set.
   Nothing it returns is asked whether it is true unless that is a plain value:
   an object's own answer might die. */
static SV *fcgi_call_scalar(pTHX_ SV *function, SV *argument) {
  SV *returned;
  dSP;
  PUSHSTACKi(PERLSI_UNKNOWN);
  PUSHMARK(SP);
  if (argument)
    XPUSHs(sv_mortalcopy(argument));
  PUTBACK;
  call_sv(function, G_SCALAR | G_EVAL);
  SPAGAIN;
  returned = POPs;
  PUTBACK;
  POPSTACK;
  return SvROK(ERRSV) || SvTRUE(ERRSV) ? NULL : returned;
}

/* $@ stays what it was: something may be given back where it is looked at. */
static int fcgi_function_call(void *function, void *value, void **result,
                              char *why, size_t len) {
  dTHX;
  int outcome = -1;
  if (PL_phase == PERL_PHASE_DESTRUCT)
    return snprintf(why, len, "Perl is ending"), -1;
  ENTER;
  SAVETMPS;
  SV *inside = get_sv("FastCGI::Swig::_inside", GV_ADD);
  SV *before = sv_mortalcopy(ERRSV);
  sv_setiv(inside, SvIV(inside) + 1);
  SV *returned = fcgi_call_scalar(aTHX_ function, value);
  sv_setiv(inside, SvIV(inside) - 1);
  if (!returned)
    fcgi_line(aTHX_ ERRSV, why, len);
  else {
    outcome = SvROK(returned) || SvTRUE(returned);
    if (result)
      *result = SvOK(returned) ? newSVsv(returned) : NULL;
  }
  sv_setsv(ERRSV, before);
  FREETMPS;
  LEAVE;
  return outcome;
}

static void fcgi_function_drop(void *reference) {
  dTHX;
  SvREFCNT_dec((SV *)reference);
}
