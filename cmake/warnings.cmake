# Private compile options of our own targets; never part of an interface.
# FCGI_WERROR means compilers that the sources are known to please: a later one
# warns of more, and that must not end a build.
set(FCGI_TRIED_GNU 12 14)
set(FCGI_TRIED_Clang 14 19)
string(REGEX MATCH "^[0-9]+" major "${CMAKE_C_COMPILER_VERSION}")
set(FCGI_WARNINGS_END_BUILD OFF)
if(FCGI_WERROR AND major IN_LIST FCGI_TRIED_${CMAKE_C_COMPILER_ID})
  set(FCGI_WARNINGS_END_BUILD ON)
elseif(FCGI_WERROR)
  message(STATUS "Warnings are no errors: ${CMAKE_C_COMPILER_ID} "
    "${CMAKE_C_COMPILER_VERSION} is none of the compilers that were tried")
endif()

# The headers declare the functions of the session that are inlined where the
# whole is linked without `inline`, so they are external definitions, which may
# use static functions (C11, 6.7.4).
add_library(fastcgi_warnings INTERFACE)
target_compile_options(fastcgi_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual
  -Wwrite-strings -Wvla -Wformat=2 -Wundef
  $<$<C_COMPILER_ID:Clang>:-Wno-static-in-inline>
  $<$<BOOL:${FCGI_WARNINGS_END_BUILD}>:-Werror>)
