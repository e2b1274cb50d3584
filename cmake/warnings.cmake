# Private compile options of our own targets; never part of an interface.
add_library(fastcgi_warnings INTERFACE)
target_compile_options(fastcgi_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual
  -Wwrite-strings -Wvla -Wformat=2 -Wundef
  $<$<BOOL:${FCGI_WERROR}>:-Werror>)
