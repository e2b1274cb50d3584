find_package(PkgConfig REQUIRED)
pkg_check_modules(TCL REQUIRED QUIET tcl)
find_library(FCGI_TCL_STUB NAMES tclstub8.6 tclstub REQUIRED)
# Not for safe interpreters: send_file reads any file.
fcgi_add_swig(tcl fastcgi_swig . fastcgi_swig.so
              OPTIONS -namespace -prefix fastcgi -pkgversion ${PROJECT_VERSION}
                      -nosafe
              INCLUDES ${TCL_INCLUDE_DIRS} COMPILE -DUSE_TCL_STUBS -Wno-missing-braces)
target_link_libraries(fcgi_swig_tcl PRIVATE ${FCGI_TCL_STUB})
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/tcl/pkgIndex.tcl
               ${PROJECT_BINARY_DIR}/swig/tcl/pkgIndex.tcl @ONLY)
