# SPDX-License-Identifier: MIT
"""Programs for CGI servers: the examples as they are, installed like scripts."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.paths import BUILD, EXAMPLES, SOURCE, tool
from support.web_servers import Apache, Lighttpd

EXAMPLE_PROGRAMS = [
    *(EXAMPLES / name for name in ("hello", "echo")),
    *(SOURCE / "examples" / "python" / f"{name}.py" for name in ("hello", "hello_wsgi", "echo")),
    *(SOURCE / "examples" / "lua" / f"{name}.lua" for name in ("hello", "echo")),
]


class Programs:
    """A directory of executable programs, and the environment that finds their
    interpreters and modules. Everything in it may be read by any user, such as
    the one that Apache runs as."""

    def __init__(self, directory: Path):
        os.chmod(directory, 0o755)
        self.path = directory / "programs"
        self.path.mkdir()
        shutil.copytree(BUILD / "python", directory / "python")
        shutil.copytree(BUILD / "lua", directory / "lua")
        interpreters = directory / "interpreters"
        interpreters.mkdir()
        (interpreters / "python3").symlink_to(os.path.realpath(sys.executable))
        (interpreters / "lua5.4").symlink_to(tool("lua5.4"))
        self.environment = {
            "PATH": f"{interpreters}:{directory}/lua/bin:/usr/bin:/bin",
            "PYTHONPATH": f"{directory}/python",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for program in EXAMPLE_PROGRAMS:
            self.add(program.name, program.read_bytes())

    def add(self, name: str, content: bytes) -> Path:
        program = self.path / name
        program.write_bytes(content)
        program.chmod(0o755)
        return program

    def run(
        self, name: str, params: dict[str, str], body: bytes = b"", *words: str
    ) -> subprocess.CompletedProcess:
        """Start a program as a CGI server does, and wait for its end."""
        return subprocess.run(
            [self.path / name, *words],
            input=body,
            capture_output=True,
            env={**self.environment, "GATEWAY_INTERFACE": "CGI/1.1", **params},
            cwd=self.path,
            timeout=60,
        )


class LighttpdCgi(Lighttpd):
    """lighttpd with mod_cgi; the programs are below /cgi/."""

    def __init__(self, directory: Path, programs: Programs):
        variables = ", ".join(f'"{k}" => "{v}"' for k, v in programs.environment.items())
        body = f"""
server.modules += ("mod_alias", "mod_setenv", "mod_cgi")
server.upload-dirs = ("{directory}")
server.stream-response-body = 2
alias.url = ("/cgi/" => "{programs.path}/")
$HTTP["url"] =~ "^/cgi/" {{
  cgi.assign = ("" => "")
  setenv.set-environment = ({variables})
}}
"""
        super().__init__(directory, body)


class ApacheCgi(Apache):
    """Apache with mod_cgi; the programs are below /cgi/."""

    modules = ("alias", "cgi")
    more = ""

    def __init__(self, directory: Path, programs: Programs):
        variables = "\n".join(f'SetEnv {k} "{v}"' for k, v in programs.environment.items())
        body = f"""
{variables}
{self.more}
ScriptAlias "/cgi/" "{programs.path}/"
"""
        super().__init__(directory, body)


class ApacheCgid(ApacheCgi):
    """The same with mod_cgid, which starts programs from a process of its own."""

    modules = ("alias", "cgid")
    more = "ScriptSock cgid.sock"
