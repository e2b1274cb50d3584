# SPDX-License-Identifier: MIT
"""Child processes that tests start, watch and stop."""

import os
import signal
import subprocess
from pathlib import Path

from support.fcgi_client import connect, patient, wait_until


class Process:
    """A child with its output in a file. Use it as a context manager.

    It leads a process group, but no session: the kernel's autogroups would schedule
    it against the other servers of a test, not its threads against theirs, and
    keep a busy web server off the processors for up to 200 ms.
    """

    def __init__(
        self,
        command: list,
        log: Path,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        stdin: object = subprocess.DEVNULL,
    ):
        self.log = log
        with open(log, "wb") as output:
            self._child = subprocess.Popen(
                [str(word) for word in command],
                stdin=stdin,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                process_group=0,
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._child.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def running(self) -> bool:
        return self._child.poll() is None

    def wait(self, seconds: float = 10) -> int:
        return self._child.wait(patient(seconds))

    def wait_for_address(self, address: str) -> "Process":
        """Return when the child accepts connections at the address."""

        def accepts() -> bool:
            assert self.running(), f"{self._child.args} ended:\n{self.output()}"
            try:
                connect(address).close()
            except OSError:
                return False
            return True

        wait_until(accepts, 20, f"{self._child.args} listening at {address}")
        return self

    def stop(self, seconds: float = 10) -> int:
        """End it with SIGTERM, and its whole group with SIGKILL at last."""
        self._child.terminate()
        try:
            return self._child.wait(patient(seconds))
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            raise AssertionError(f"{self._child.args} ignored SIGTERM:\n{self.output()}") from None

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
