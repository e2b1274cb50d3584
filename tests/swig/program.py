# SPDX-License-Identifier: MIT
"""Short programs in a language, for what only that language has."""

import time
from pathlib import Path

from support.fcgi_client import Client, get_params
from support.process import Process
from swig.languages import LANGUAGES, command


class Program(Process):
    """A program of these parts that serves `address`, its first argument."""

    def __init__(self, language: str, folder: Path, *parts: str, words: tuple[str, ...] = ()):
        self.address = f"unix:{folder}/program.sock"
        path = (folder / "program").with_suffix(LANGUAGES[language].suffix)
        path.write_text("\n".join(parts))
        super().__init__([*command(language, path), self.address, *words], folder / "log")
        self.wait_for_address(self.address)

    def ask(self, path: str = "/") -> bytes:
        with Client(self.address) as client:
            return client.ask(get_params(path), keep=False).body

    def ends_within(self, seconds: float) -> int:
        """Its exit status, which comes within ten times that, on a busy machine too."""
        began = time.monotonic()
        status = self.wait()
        assert time.monotonic() - began < 10 * seconds, self.output()
        return status
