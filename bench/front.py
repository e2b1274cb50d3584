# SPDX-License-Identifier: MIT
"""nginx in front of a service, and wrk in front of nginx."""

import os
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from peers import Service
from sandbox import Failed, Site, free_port, program

UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}
PASS = {
    "fastcgi": "include /etc/nginx/fastcgi_params; fastcgi_param PATH_INFO $uri;"
    " fastcgi_param SCRIPT_NAME ''; {script} fastcgi_pass app;{keep}",
    "uwsgi": "include /etc/nginx/uwsgi_params; uwsgi_pass app;",
    "http": "proxy_set_header Host $host; proxy_http_version 1.1;"
    " proxy_set_header Connection ''; proxy_pass http://app;",
}


def start_nginx(site: Site, service: Service, keep: bool) -> str:
    """The URL of the service behind one nginx worker."""
    port, name = free_port(), f"nginx-{len(site.children)}"
    server = service.address
    if not server.startswith("unix:"):
        server = f"127.0.0.1:{server}"
    script = "".join(
        "fastcgi_param {} {};".format(*words.split("=", 1)) for words in service.params[1::2]
    )
    passed = PASS[service.protocol].format(
        script=script, keep=" fastcgi_keep_conn on;" if keep else ""
    )
    keepalive = "keepalive 64;" if keep and service.protocol != "uwsgi" else ""
    temporary = "".join(
        f"{kind}_temp_path {site.path('temp-' + kind)};"
        for kind in ("client_body", "fastcgi", "proxy", "uwsgi", "scgi")
    )
    config = Path(site.path(f"{name}.conf"))
    config.write_text(
        f"{'user root;' if os.geteuid() == 0 else ''} daemon off; worker_processes 1;\n"
        f"pid {site.path(name + '.pid')}; error_log stderr error;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; {temporary}\n"
        f"upstream app {{ server {server}; {keepalive} }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ {passed} }} }} }}\n"
    )
    site.start([program("nginx"), "-p", site.folder, "-e", "stderr", "-c", config], name)
    site.wait(str(port))
    return f"http://127.0.0.1:{port}"


def check(url: str) -> None:
    """One answer, which must be a page."""
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            if not answer.read():
                raise Failed(f"{url} answers nothing")
    except (urllib.error.URLError, OSError) as error:
        raise Failed(f"{url}: {error}") from None


def wrk(url: str, seconds: float, connections: int) -> dict:
    """What wrk measured, in the words of `fcgi bench --json`."""
    command = [program("wrk"), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    done = subprocess.run([*command, "--latency", url], capture_output=True, text=True)
    text = done.stdout
    if done.returncode:
        raise Failed(f"wrk: {(done.stderr or text).strip().splitlines()[-1]}")
    percentile = dict(re.findall(r"^ +(\d+)% +([\d.]+\w+)$", text, re.M))
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    requests, taken = re.search(r"(\d+) requests in ([\d.]+\w+)", text).groups()
    return {
        "requests": int(requests),
        "right": int(requests) - errors,
        "rate": (int(requests) - errors) / micro(taken) * 1e6,
        "p50": micro(percentile["50"]),
        "p99": micro(percentile["99"]),
        "wrong": errors,
        "resent": 0,
    }


def micro(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * UNITS[unit]
