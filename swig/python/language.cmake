find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
# 321: the methods `set` and `id` hide no built-in.
fcgi_add_swig(python fastcgi_swig . _fastcgi_swig.so OPTIONS -w321
              INCLUDES ${Python_INCLUDE_DIRS})
