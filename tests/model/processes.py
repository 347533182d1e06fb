"""Processes that can be stopped between any two calls to AWS: to go on later, while others act, or never."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.faults.crash import Crash

_here = threading.local()


class Process:
    """Runs a step in a thread of its own, but never while the test runs: one of the two holds the baton."""

    def __init__(self, step: Callable[[], Any], does: str = ""):
        # What the kind does in this process.
        self.does = does
        self.error: BaseException | None = None
        self.over = False
        self.moments = 0
        self._left: int | None = 0
        self.died = False
        self._its_turn, self._our_turn = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work, args=(step,), daemon=True)
        self._thread.start()

    def _work(self, step: Callable[[], Any]) -> None:
        _here.process = self
        self._its_turn.acquire()
        try:
            if not self.died:
                step()
        except Crash:
            self.died = True
        except BaseException as error:
            self.error = error
        self.over = True
        self._our_turn.release()

    def go(self, moments: int | None = None) -> bool:
        """Let the process go on, to its end or for so many moments; True when it has ended. Raises what it raised."""
        assert not self.over
        self._left = moments
        self._its_turn.release()
        self._our_turn.acquire()
        if self.error is not None:
            raise self.error
        return self.over

    def kill(self) -> None:
        """Let the process die where it is: none of its calls gets through any more."""
        if not self.over:
            self.died = True
            self.go()
        self._thread.join()

    def _moment(self) -> None:
        if self.died:
            raise Crash
        self.moments += 1
        if self._left is None:
            return
        self._left -= 1
        if self._left <= 0:
            self._our_turn.release()
            self._its_turn.acquire()
            if self.died:
                raise Crash


def moment(name: str) -> None:
    """Called before and after each call: the process that makes it may stop here."""
    process = current()
    if process is not None:
        process._moment()


def current() -> Process | None:
    """The process that this code runs in; None for the test itself."""
    return getattr(_here, "process", None)
