# The SWIG modules: each file once for each language that is built. Labels:
# swig, and conformance for its cases.
set(swig_languages)
if(NOT FCGI_BUILD_SWIG)
  return()
endif()
foreach(language python lua perl ruby tcl php)
  if(TARGET fcgi_swig_${language})
    list(APPEND swig_languages ${language})
  endif()
endforeach()

fcgi_add_pytest(swig.state swig 60 swig/test_state.py)
list(JOIN swig_languages "," chosen)
set_property(TEST swig.state APPEND PROPERTY ENVIRONMENT
             "FASTCGI_LANGUAGES=${chosen}")
foreach(language python ruby tcl php)
  if(TARGET fcgi_swig_${language})
    fcgi_add_pytest(swig.${language} swig 60 swig/test_${language}.py)
  endif()
endforeach()
if(TARGET fcgi_swig_lua)
  fcgi_add_test(swig.lua swig 60 ${FCGI_PROGRAM_lua5_4} ${FCGI_PROGRAM_busted}
                swig/swig_spec.lua)
  set_property(TEST swig.lua APPEND PROPERTY ENVIRONMENT
               "LUA_CPATH=${PROJECT_BINARY_DIR}/swig/lua/?.so\;${lua_dir}/?.so\;\;")
endif()

foreach(language ${swig_languages})
  set(things scenario bytes spec examples exits forks paths resource
             shared programs answers)
  if(NOT language MATCHES "^(python|lua)$") # They have theirs without SWIG.
    list(APPEND things guestbook)
  endif()
  foreach(thing ${things})
    set(name swig.${thing}.${language})
    fcgi_add_pytest(${name} swig 300 swig/test_${thing}.py)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
                 "FASTCGI_LANGUAGES=${language}")
  endforeach()
  foreach(thing endings gone stderr) # Against the probe of the language.
    set(name integration.${thing}.swig_${language})
    fcgi_add_pytest(${name} "swig;integration" 300
                    integration/test_${thing}.py)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
                 "FASTCGI_LANGUAGES=swig_${language}")
  endforeach()
  set(name conformance.server.swig_${language})
  fcgi_add_pytest(${name} "swig;conformance" 120 conformance/test_server.py)
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
               "FASTCGI_LANGUAGES=swig_${language}")
endforeach()
