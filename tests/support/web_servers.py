# SPDX-License-Identifier: MIT
"""Real lighttpd, Apache and HAProxy from generated configurations, as the invoking user."""

import csv
import os
import signal
import socket
from pathlib import Path

from support.nginx import reserve_port
from support.paths import tool
from support.process import Process

APACHE_MODULES = ("mpm_event", "authn_core", "authz_core", "auth_basic", "authnz_fcgi", "env")


class WebServer(Process):
    """A web server on a free port, with its configuration in `directory`."""

    program = ""
    arguments: tuple[str, ...] = ()
    option = "-f"  # Names the configuration.

    def __init__(self, directory: Path, body: str):
        self._reserved = reserve_port()
        self.port = self._reserved.getsockname()[1]
        config = directory / f"{self.program}.conf"
        config.write_text(self.head(directory) + body)
        command = [tool(self.program), *self.arguments, self.option, config]
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


class Haproxy(WebServer):
    """HAProxy that multiplexes all its clients over one connection a thread, unless
    the options of its application say else."""

    program = "haproxy"
    arguments = ("-W", "-db")
    options = """
  docroot /
  option keep-conn
  option mpxs-conns
  option max-reqs 1000
  option get-values
"""

    def __init__(
        self, directory: Path, application: str, threads: int = 2, options: str | None = None
    ):
        self.threads = threads
        self.options = options or self.options
        path = application.removeprefix("unix:")
        self._admin = directory / f"haproxy-{id(self)}.sock"
        super().__init__(directory, f"  server app unix@{path} proto fcgi\n")
        self.wait_for_address(f"unix:{self._admin}")  # It may come after the port.

    def head(self, directory: Path) -> str:
        return f"""
global
  nbthread {self.threads}
  stats socket {self._admin}
  log stdout format raw daemon
fcgi-app app
{self.options}
  log-stderr global
defaults
  mode http
  timeout client 30s
  timeout connect 10s
  timeout server 30s
frontend clients
  bind 127.0.0.1:{self.port}
  default_backend applications
backend applications
  http-reuse always
  use-fcgi-app app
"""

    def _statistics(self) -> dict[str, str]:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self._admin))
            admin.sendall(b"show stat\n")
            text = admin.makefile().read()
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        return next(row for row in rows if row["svname"] == "app")

    def connections(self) -> tuple[int, int]:
        """How many were made to the application so far, and how many requests
        found one already there."""
        row = self._statistics()
        return int(row["connect"]), int(row["reuse"])

    def in_flight(self) -> int:
        """Requests at the application now."""
        return int(self._statistics()["scur"])

    def reload(self) -> None:
        """Start a new worker; the old one finishes what it has."""
        os.kill(self.pid, signal.SIGUSR2)
