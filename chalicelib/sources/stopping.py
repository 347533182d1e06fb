"""Stops a statement from another thread, and loses no request in between."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chalicelib.errors import Stopped

# A database forgets a cancel that arrives just before its statement, so it is sent again until the work has ended.
REPEAT_SECONDS = 0.1
GIVE_UP_SECONDS = 10.0


class Stopping:
    """One request to stop, which stays: it interrupts the work in progress, and later work does not begin."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._idle = threading.Event()
        self._idle.set()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Around one piece of work. It marks itself busy before it reads the request; `stop` sets the request before it
        reads the mark, so one of the two sees the other.
        """
        self._idle.clear()
        try:
            if self.asked:
                raise Stopped()
            yield
            if self.asked:
                raise Stopped()
        finally:
            self._idle.set()

    def stop(self, interrupt: Callable[[], None]) -> None:
        """Set the request and interrupt the work in progress. Returns at once: the caller may hold a lock that the work
        waits for.
        """
        self._asked.set()
        if self._idle.is_set():
            return
        interrupt()
        threading.Thread(target=self._insist, args=(interrupt,), name="stopping", daemon=True).start()

    def _insist(self, interrupt: Callable[[], None]) -> None:
        for _ in range(round(GIVE_UP_SECONDS / REPEAT_SECONDS)):
            if self._idle.wait(REPEAT_SECONDS):
                return
            interrupt()
