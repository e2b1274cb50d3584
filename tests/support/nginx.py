# SPDX-License-Identifier: MIT
"""Real nginx from a generated configuration, as the invoking user."""

import os
import socket
import subprocess
from pathlib import Path

from support.paths import tool
from support.process import Process

PARAMS = """
      fastcgi_param SCRIPT_NAME $fastcgi_script_name;
      fastcgi_param PATH_INFO $fastcgi_path_info;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param REQUEST_URI $request_uri;
      fastcgi_param REQUEST_SCHEME $scheme;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REMOTE_ADDR $remote_addr;
      fastcgi_param SERVER_SOFTWARE nginx/$nginx_version;
      fastcgi_param SERVER_NAME $host;
      fastcgi_param SERVER_PORT $server_port;
      fastcgi_param SERVER_PROTOCOL $server_protocol;"""

# How nginx can talk to an application; each is a location of this name.
WAYS = {
    "kept": "fastcgi_pass app; fastcgi_keep_conn on;",
    "closed": "fastcgi_pass app_without_keepalive;",
    "stream": "fastcgi_pass app; fastcgi_keep_conn on; "
    "fastcgi_request_buffering off; fastcgi_buffering off;",
}


def location(way: str) -> str:
    return f"""
    location /{way}/ {{
      {WAYS[way]}
      fastcgi_split_path_info ^(/{way})(/.*)$;{PARAMS}
    }}"""


def configuration(directory: Path, port: int, application: str, buffer: str = "128k") -> str:
    temporary = "\n".join(
        f"  {kind}_temp_path {directory}/temp-{kind};"
        for kind in ("client_body", "fastcgi", "proxy", "uwsgi", "scgi")
    )
    return f"""{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr info;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_max_body_size 0;
  large_client_header_buffers 4 128k;
  fastcgi_buffer_size {buffer};
  fastcgi_buffers 8 {buffer};
{temporary}
  upstream app {{ server {application}; keepalive 64; }}
  upstream app_without_keepalive {{ server {application}; }}
  server {{
    listen 127.0.0.1:{port};
    root {directory};{"".join(location(way) for way in WAYS)}
  }}
}}
"""


def reserve_port() -> socket.socket:
    """A socket bound to a free port. While it is open nobody is given that
    port, yet nginx can listen there: both allow the address to be reused."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


class Nginx(Process):
    """nginx in front of the application at `address`."""

    def __init__(self, directory: Path, address: str, buffer: str = "128k"):
        self._reserved = reserve_port()
        self.port = self._reserved.getsockname()[1]
        nginx = tool("nginx")
        config = directory / "nginx.conf"
        config.write_text(configuration(directory, self.port, address, buffer))
        command = [nginx, *early_log(nginx), "-p", directory, "-c", config]
        super().__init__(command, directory / "nginx.log")
        self.wait_for_address(f"127.0.0.1:{self.port}")

    def stop(self, seconds: float = 10) -> int:
        self._reserved.close()
        return super().stop(seconds)


def early_log(nginx: str) -> list[str]:
    """Releases from 1.19.5 on can be kept from opening the system's log."""
    usage = subprocess.run([nginx, "-h"], capture_output=True, text=True)
    return ["-e", "stderr"] if "-e filename" in usage.stderr + usage.stdout else []
