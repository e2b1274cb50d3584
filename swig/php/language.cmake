find_program(FCGI_PHP_CONFIG php-config REQUIRED)
execute_process(COMMAND ${FCGI_PHP_CONFIG} --includes OUTPUT_VARIABLE php_flags
                OUTPUT_STRIP_TRAILING_WHITESPACE)
string(REGEX MATCHALL "/[^ ]+" php_includes "${php_flags}")
# SWIG's own header lands beside the module.
fcgi_add_swig(php fastcgi_swig . fastcgi_swig.so OPTIONS -prefix FastCGI
              INCLUDES ${php_includes} ${PROJECT_BINARY_DIR}/swig/php
              COMPILE -Wno-unused-function)
