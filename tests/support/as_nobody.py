# SPDX-License-Identifier: MIT
"""What root starts with each launcher, so that the workers are nobody's."""

import os
import shutil
import sys
from pathlib import Path

import fastcgi
import pytest

from support.paths import BUILD, EXAMPLES, is_open_to_all
from support.supervisor import copy_for_all

LAUNCHERS = ["run", "python", "lua"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
APPS = {
    "app.py": "def app(request):\n    return 200, {}, b'fine'\n",
    "app.lua": "return function() return 200, {}, 'fine' end\n",
}


def as_nobody(launcher: str, place: Path, address: str, *options: object) -> list[str]:
    """Serves from copies in a folder that everybody may enter."""
    words = ["--user", "nobody", "--workers", 1, "--bind", address, *options]
    for name, text in APPS.items():
        (place / name).write_text(text)
    if launcher == "run":
        words = [BUILD / "tools" / "fcgi", "run", *words, "--"]
        words += copy_for_all(place, EXAMPLES / "hello")
    elif launcher == "python":
        python = os.path.realpath(sys.executable)
        if not is_open_to_all(Path(python)):
            pytest.skip("only its owner may run this Python")
        package = Path(fastcgi.__file__).parent
        shutil.copytree(package, place / "python" / "fastcgi", dirs_exist_ok=True)
        words = ["-m", "fastcgi", "app:app", "--chdir", place, *words]
        words = ["env", f"PYTHONPATH={place}/python", python, *words]
    else:
        shutil.copytree(BUILD / "lua", place / "lua", dirs_exist_ok=True)
        words = [place / "lua" / "bin" / "fcgi-lua", place / "app.lua", *words]
    return [str(word) for word in words]
