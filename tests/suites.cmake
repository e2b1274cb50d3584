# Every suite but the unit tests of this very build.
set(tests_dir ${CMAKE_CURRENT_SOURCE_DIR})
set(lua_dir ${PROJECT_BINARY_DIR}/lua)

# What a test finds in its environment; support/paths.py reads FASTCGI_*.
set(test_environment
  "FASTCGI_BUILD=${PROJECT_BINARY_DIR}"
  "FASTCGI_CC=${CMAKE_C_COMPILER}"
  "PYTHONDONTWRITEBYTECODE=1"
  "PYTHONPATH=${PROJECT_BINARY_DIR}/python:${tests_dir}"
  "LUA_PATH=${lua_dir}/?.lua\;${lua_dir}/?/init.lua\;\;"
  "LUA_CPATH=${lua_dir}/?.so\;\;")

# usage: fcgi_add_test(NAME LABELS SECONDS COMMAND...)
# A quiet machine needs far less than SECONDS; a busy one gets five times that.
function(fcgi_add_test name labels seconds)
  math(EXPR seconds "5 * ${seconds}")
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${tests_dir})
  set_tests_properties(${name} PROPERTIES LABELS "${labels}"
    TIMEOUT ${seconds} ENVIRONMENT "${test_environment}")
endfunction()

# usage: fcgi_add_pytest(NAME LABELS SECONDS FILE [PYTEST ARGUMENTS])
function(fcgi_add_pytest name labels seconds file)
  fcgi_add_test(${name} "${labels}" ${seconds} ${Python_EXECUTABLE} -m pytest
    -q -p no:cacheprovider ${file} ${ARGN})
endfunction()

# tests/python/test_params.py becomes python.params, and so on.
function(fcgi_add_pytest_folder folder seconds)
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${tests_dir} ${folder}/test_*.py)
  foreach(file ${files})
    string(REGEX REPLACE ".*/test_(.*)\\.py" "\\1" thing ${file})
    fcgi_add_pytest(${folder}.${thing} ${folder} ${seconds} ${file})
  endforeach()
endfunction()

fcgi_add_pytest_folder(hygiene 120)
fcgi_add_pytest_folder(python 600)
fcgi_add_pytest_folder(install 240)

file(GLOB lua_files CONFIGURE_DEPENDS RELATIVE ${tests_dir} lua/*_spec.lua)
foreach(file ${lua_files})
  string(REGEX REPLACE "lua/(.*)_spec\\.lua" "\\1" thing ${file})
  fcgi_add_test(lua.${thing} lua 180 ${FCGI_PROGRAM_lua5_4}
                ${FCGI_PROGRAM_busted} ${file})
endforeach()

# These run once for each language's echo application.
set(echo_tests endings nginx_requests nginx_clients direct long_body tool
               children)
foreach(thing ${echo_tests})
  foreach(language c python lua)
    set(name integration.${thing}.${language})
    set(labels integration)
    if(thing STREQUAL long_body)
      list(APPEND labels long)
    endif()
    fcgi_add_pytest(${name} "${labels}" 300 integration/test_${thing}.py)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
                 "FASTCGI_LANGUAGES=${language}")
  endforeach()
endforeach()

foreach(thing gone raw_answers syscalls send_file stderr budget endless
              c_examples c_databases command_line flask asgi demo readme
              tool_alone authorizer spec cgi roles haproxy faults_peers
              faults_files faults_processes faults_calls run run_arguments run_deploy numbers options refused
              run_limits run_inbox run_upgrade run_config run_shared
              dashboard forms docs_run docs_deploy docs_troubleshooting paths path_bytes
              chunked slow_log pull_loops run_programs run_share run_systemd status logs monitors departed trouble bench bench_report
              docs_state)
  fcgi_add_pytest(integration.${thing} integration 300
                  integration/test_${thing}.py)
endforeach()

# Each once for every language and launcher.
foreach(thing stop stuck_stderr outage)
  fcgi_add_pytest(integration.${thing} integration 900
                  integration/test_${thing}.py)
endforeach()

fcgi_add_pytest(integration.limit_total integration 600
                integration/test_limit_total.py)

# Under load, so they take a while, and nothing else should load the machine.
fcgi_add_pytest(integration.run_reload "integration;long" 600
                integration/test_run_reload.py)
fcgi_add_test(soak.reload "soak;long" 300 ${Python_EXECUTABLE} soak/reload.py
              --reloads 24 --pause 0.3 0.7 --clients 6 --requests 1000
              --silence 20000)

# Of the release build, which ./dev test makes beforehand.
fcgi_add_pytest(budget.instructions budget 300 budget/test_budget.py)
fcgi_add_pytest(budget.growth budget 300 budget/test_growth.py)

# The conformance cases over a socket, against each language's server.
foreach(language c python lua)
  set(name conformance.server.${language})
  fcgi_add_pytest(${name} conformance 120 conformance/test_server.py)
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
               "FASTCGI_LANGUAGES=${language}")
endforeach()
fcgi_add_pytest(conformance.documents conformance 60
                conformance/test_documents.py)

include(swig/suite.cmake)

# The unit tests once more in the builds of the sanitizers' presets, which
# ./dev test makes beforehand; under asan the cases and the corpus too.
get_property(unit_tests DIRECTORY unit PROPERTY TESTS)
get_property(case_tests DIRECTORY conformance PROPERTY TESTS)
get_property(corpus_tests DIRECTORY fuzz PROPERTY TESTS)
set(asan_tests ${unit_tests} ${case_tests} ${corpus_tests})
set(tsan_tests ${unit_tests})
# unit/CMakeLists.txt says why.
list(REMOVE_ITEM tsan_tests unit.serve.signals unit.shared.steps)
list(REMOVE_ITEM asan_tests unit.shared.steps)
foreach(sanitizer asan tsan)
  foreach(test ${${sanitizer}_tests})
    fcgi_add_test(${sanitizer}.${test} ${sanitizer} 120 ${CMAKE_CTEST_COMMAND}
      --test-dir ${PROJECT_SOURCE_DIR}/build/${sanitizer}
      --tests-regex "^${test}$" --output-on-failure --no-tests=error)
  endforeach()
endforeach()

# It counts what a quiet machine does.
set_tests_properties(integration.syscalls PROPERTIES RUN_SERIAL ON)
