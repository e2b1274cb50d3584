# SPDX-License-Identifier: MIT
"""Real lighttpd and Apache from generated configurations, as the invoking user."""

import os
from pathlib import Path

from support.nginx import reserve_port
from support.paths import tool
from support.process import Process

APACHE_MODULES = ("mpm_event", "authn_core", "authz_core", "auth_basic", "authnz_fcgi", "env")


class WebServer(Process):
    """A web server on a free port, with its configuration in `directory`."""

    program = ""
    arguments: tuple[str, ...] = ()

    def __init__(self, directory: Path, body: str):
        self._reserved = reserve_port()
        self.port = self._reserved.getsockname()[1]
        config = directory / f"{self.program}.conf"
        config.write_text(self.head(directory) + body)
        command = [tool(self.program), *self.arguments, "-f", config]
        super().__init__(command, directory / f"{self.program}.log")
        self.wait_for_address(f"127.0.0.1:{self.port}")

    def head(self, directory: Path) -> str:
        raise NotImplementedError

    def stop(self, seconds: float = 10) -> int:
        self._reserved.close()
        return super().stop(seconds)


class Lighttpd(WebServer):
    """lighttpd with mod_fastcgi."""

    program = "lighttpd"
    arguments = ("-D",)

    def head(self, directory: Path) -> str:
        return f"""
server.modules = ("mod_fastcgi")
server.document-root = "{directory}"
server.bind = "127.0.0.1"
server.port = {self.port}
server.errorlog = "{directory}/lighttpd-errors.log"
"""


class Apache(WebServer):
    """Apache with mod_authnz_fcgi and `modules`."""

    program = "apache2"
    arguments = ("-D", "FOREGROUND")
    modules: tuple[str, ...] = ("headers",)

    def head(self, directory: Path) -> str:
        where = next(
            path
            for path in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules")
            if os.path.isdir(path)
        )
        names = (*APACHE_MODULES, *self.modules)
        load = "\n".join(f"LoadModule {name}_module {where}/mod_{name}.so" for name in names)
        user = "User nobody\nGroup nogroup\n" if os.geteuid() == 0 else ""
        return f"""
{load}
{user}ServerRoot "{directory}"
DefaultRuntimeDir "{directory}"
PidFile "{directory}/apache.pid"
ServerName localhost
Listen 127.0.0.1:{self.port}
DocumentRoot "{directory}"
ErrorLog "{directory}/apache-errors.log"
<Directory "{directory}">
  Require all granted
</Directory>
"""
