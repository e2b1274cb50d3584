find_package(Perl REQUIRED)
execute_process(COMMAND ${PERL_EXECUTABLE} -MConfig -e
  [[print "$Config{archlibexp}/CORE"]] OUTPUT_VARIABLE perl_includes)
if(NOT EXISTS ${perl_includes}/perl.h)
  message(FATAL_ERROR "Perl's headers are missing; install libperl-dev, or "
                      "leave perl out of FCGI_SWIG_LANGUAGES")
endif()
fcgi_add_swig(perl FastCGI::Swig auto/FastCGI/Swig Swig.so
              OUTDIR FastCGI INCLUDES ${perl_includes}
              COMPILE -fwrapv -fno-strict-aliasing -D_LARGEFILE_SOURCE
                      -D_FILE_OFFSET_BITS=64 -DDEBIAN)
