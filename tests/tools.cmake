# What the suites need. Tests never skip for a missing tool: configuring fails
# and names the package.
if(NOT FCGI_BUILD_PYTHON OR NOT FCGI_BUILD_LUA OR NOT FCGI_BUILD_EXAMPLES
   OR NOT FCGI_BUILD_SHARED OR NOT FCGI_BUILD_TOOLS)
  message(FATAL_ERROR "FCGI_TEST_ALL needs FCGI_BUILD_PYTHON, FCGI_BUILD_LUA, "
    "FCGI_BUILD_EXAMPLES, FCGI_BUILD_SHARED and FCGI_BUILD_TOOLS; ./dev test "
    "sets them")
endif()
if(NOT TARGET uv)
  message(FATAL_ERROR "libuv is missing; install libuv1-dev")
endif()

function(fcgi_need_program program package)
  string(MAKE_C_IDENTIFIER FCGI_PROGRAM_${program} variable)
  find_program(${variable} ${program} PATHS /usr/sbin /usr/local/sbin)
  if(NOT ${variable})
    message(FATAL_ERROR "${program} is missing; install ${package}")
  endif()
endfunction()

fcgi_need_program(nginx nginx)
fcgi_need_program(lighttpd lighttpd)
fcgi_need_program(apache2 apache2-bin)
fcgi_need_program(haproxy haproxy)
fcgi_need_program(curl curl)
fcgi_need_program(php-cgi php-cgi)
fcgi_need_program(fcgiwrap fcgiwrap)
fcgi_need_program(strace strace)
fcgi_need_program(valgrind valgrind)
fcgi_need_program(mandoc mandoc)
fcgi_need_program(chromium chromium)
fcgi_need_program(chromedriver chromium-driver)
fcgi_need_program(ctags universal-ctags)
fcgi_need_program(busted lua-busted)
fcgi_need_program(lua5.4 lua5.4)
fcgi_need_program(luarocks luarocks)
fcgi_need_program(g++ g++)
fcgi_need_program(pkg-config pkg-config)

execute_process(COMMAND lua5.4 -e "require 'socket' require 'luasql.sqlite3'"
  RESULT_VARIABLE lacks_modules OUTPUT_QUIET ERROR_QUIET)
if(lacks_modules)
  message(FATAL_ERROR "Lua modules are missing; install lua-socket and "
    "lua-sql-sqlite3")
endif()

fcgi_need_program(uwsgi-core uwsgi-core)
file(GLOB php_fpm /usr/sbin/php-fpm*)
if(NOT php_fpm)
  message(FATAL_ERROR "php-fpm is missing; install php-fpm")
endif()
file(GLOB uwsgi_python /usr/lib/uwsgi/plugins/python3*_plugin.so)
if(NOT uwsgi_python)
  message(FATAL_ERROR "uWSGI's plugin is missing; install uwsgi-plugin-python3")
endif()

find_path(FCGI_LIBFCGI_INCLUDE fcgiapp.h)
if(NOT FCGI_LIBFCGI_INCLUDE)
  message(FATAL_ERROR "libfcgi's headers are missing; install libfcgi-dev")
endif()

find_package(Python 3.10 REQUIRED COMPONENTS Interpreter)
execute_process(COMMAND ${Python_EXECUTABLE} -c "import pytest, flask"
  RESULT_VARIABLE lacks_modules OUTPUT_QUIET ERROR_QUIET)
if(lacks_modules)
  message(FATAL_ERROR "${Python_EXECUTABLE} lacks pytest or flask; "
    "./dev test installs tests/python/requirements.txt into build/venv")
endif()
