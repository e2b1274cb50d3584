# SPDX-License-Identifier: MIT
"""What resources of a test keep: values that know what was done with them."""

import threading

PLAIN = {"Content-Type": "text/plain"}


class Value:
    """What is opened; it knows what was done with it."""

    def __init__(self, log: list[str], number: int) -> None:
        self.log = log
        self.number = number
        self.open = True
        self.dirty = False
        self.works = True
        self.thread = threading.get_ident()

    def rollback(self) -> None:
        assert self.open
        if not self.works:
            raise ConnectionError("it is broken")
        self.dirty = False
        self.log.append(f"rollback {self.number}")

    def close(self) -> None:
        assert self.open, "it is closed twice"
        self.open = False
        self.log.append(f"close {self.number}")


class Maker:
    """Opens values, or fails as a test says."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.made: list[Value] = []
        self.error: BaseException | None = None

    def __call__(self) -> Value:
        if self.error is not None:
            raise self.error
        self.made.append(Value(self.log, len(self.made) + 1))
        return self.made[-1]

    @property
    def open(self) -> int:
        return sum(value.open for value in self.made)


def text_of(value: object) -> tuple[int, dict[str, str], str]:
    return 200, PLAIN, str(value)
