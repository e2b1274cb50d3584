# SPDX-License-Identifier: MIT
package ifneeded fastcgi_swig @PROJECT_VERSION@ \
    [list load [file join $dir fastcgi_swig.so] Fastcgi_swig]
