# SPDX-License-Identifier: MIT
"""Fixtures: the echo applications, alone and behind nginx."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.echo import LANGUAGES, echo_command
from support.path_sites import Sites
from support.process import Process
from support.site import Site, serve_behind_nginx

# ctest runs one language at a time; without it all of them run.
CHOSEN = os.environ.get("FASTCGI_LANGUAGES", " ".join(LANGUAGES)).split()


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A temporary directory with a path short enough for a unix socket."""
    path = Path(tempfile.mkdtemp(prefix="fastcgi-test-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module", params=CHOSEN)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def echo(language: str, directory: Path) -> Iterator[tuple[Process, str]]:
    """The echo application on two threads, streaming, and its address."""
    address = f"unix:{directory}/{language}-alone.sock"
    with Process(echo_command(language, address, threads=2), directory / f"{language}.log") as app:
        yield app.wait_for_address(address), address


@pytest.fixture(scope="module")
def site(language: str, directory: Path) -> Iterator[Site]:
    """The echo application on four threads behind nginx."""
    address = f"unix:{directory}/{language}.sock"
    with serve_behind_nginx(
        directory, echo_command(language, address, threads=4), address
    ) as running:
        yield running


@pytest.fixture(params=["kept", "closed"])
def way(request: pytest.FixtureRequest) -> str:
    """Whether nginx keeps its connection or makes one for each request."""
    return request.param


@pytest.fixture(scope="module")
def sites(directory: Path) -> Iterator[Sites]:
    """Applications that tell their path, behind web servers; none runs yet."""
    directory.chmod(0o755)
    with ExitStack() as stack:
        yield Sites(directory, stack)
