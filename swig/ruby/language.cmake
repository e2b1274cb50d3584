find_program(FCGI_RUBY ruby REQUIRED)
execute_process(COMMAND ${FCGI_RUBY} -rrbconfig -e
  [[print RbConfig::CONFIG.values_at("rubyhdrdir", "rubyarchhdrdir").join(";")]]
  OUTPUT_VARIABLE ruby_includes)
fcgi_add_swig(ruby FastCGI::Swig . fastcgi_swig.so
              OPTIONS -initname fastcgi_swig INCLUDES ${ruby_includes})
