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
    keepalive = "keepalive 64; keepalive_requests 100000000;" if keep else ""
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
        "client_max_body_size 16m; client_body_buffer_size 2m;\n"
        f"upstream app {{ server {server}; {keepalive} }}\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ {passed} }} }} }}\n"
    )
    site.start([program("nginx"), "-p", site.folder, "-e", "stderr", "-c", config], name)
    site.wait(str(port))
    return f"http://127.0.0.1:{port}"


def ask(url: str, body: int) -> bytes:
    """One answer, to a request with so many bytes."""
    headers = {"Content-Type": "application/octet-stream"} if body else {}
    request = urllib.request.Request(url, bytes(body) if body else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.read()
    except (urllib.error.URLError, OSError) as error:
        raise Failed(f"{url}: {error}") from None


def body_script(site: Site, mebibytes: int) -> list[str]:
    """How wrk sends bodies."""
    script = Path(site.path("body.lua"))
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = string.rep("x", {mebibytes << 20})\n'
        'wrk.headers["Content-Type"] = "application/octet-stream"\n'
    )
    return ["-s", str(script)]


def wrk(site: Site, url: str, seconds: float, load) -> dict:
    """What wrk measured, in the words of `fcgi bench --json`."""
    whole = max(1, round(seconds))
    command = [program("wrk"), "-t1", f"-c{load.connections}", f"-d{whole}s", "--latency"]
    command += ["--timeout", "10s"]
    command += body_script(site, load.body) if load.body else []
    try:
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=whole + 30)
    except subprocess.TimeoutExpired:
        raise Failed(f"wrk did not end in {whole + 30} s") from None
    if done.returncode:
        raise Failed(f"wrk: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return figures(done.stdout, whole)


def figures(text: str, seconds: int) -> dict:
    """What wrk has printed after so many seconds."""
    percentile = dict(re.findall(r"^ +(\d+)% +([\d.]+\w+) *$", text, re.M))
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    requests, taken = re.search(r"(\d+) requests in ([\d.]+\w+)", text).groups()
    if requests == "0":
        raise Failed(f"no answer came within {seconds} s")
    right = max(0, int(requests) - errors)
    return {
        "requests": int(requests),
        "right": right,
        "rate": right / micro(taken) * 1e6,
        "p50": micro(percentile["50"]),
        "p99": micro(percentile["99"]),
        "wrong": errors,
        "resent": 0,
        "own_us": None,
    }


def micro(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()
    return float(number) * UNITS[unit]
