"""Ends work on a source also when the network fails: by a stop from another thread, or by a clock of the work itself.

Each kind of source brings two things. `ask` has the server end the statement. `break_off` ends the connection from this
side, so that a call that waits for the server raises. A stop asks first, and breaks off what the server did not end
within `patience_seconds`. When nothing could tell the server, the statement may still run there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from chalicelib import clock
from chalicelib.errors import RunError, Stopped

# A database forgets a cancel that arrives just before its statement, so it is sent again until the work has ended.
REPEAT_SECONDS = 0.1
# How long a server has to end a statement before the connection is broken off. With the second that a worker takes to
# see a cancel, a run ends within five.
PATIENCE_SECONDS = 3.0
# How often a wait looks whether it is over.
LOOK_SECONDS = 0.1

T = TypeVar("T")


class Stopping:
    """One request to stop, which stays: it ends the work in progress, and later work does not begin.

    `ask(seconds)` answers whether the server took the request, and takes no longer than `seconds`. `break_off()`
    answers whether there was a statement's connection to break, and never waits.
    """

    def __init__(
        self,
        ask: Callable[[float], bool],
        break_off: Callable[[], bool] = lambda: False,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._ask = ask
        self._break_off = break_off
        self._patience = patience_seconds
        self._asked = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._told = self._broken_off = False
        # The work wakes up while it is broken off, and asks at once how it ended.
        self._breaking = threading.Lock()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    @property
    def may_still_run(self) -> bool:
        """Whether the newest work was broken off, and its server took no request to end it."""
        with self._breaking:
            return self._broken_off and not self._told

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Around one piece of work. Its `RunError` says whether the statement may still run at the server.

        It marks itself busy before it reads the request; `stop` sets the request before it reads the mark, so one of
        the two sees the other.
        """
        self._told = self._broken_off = False
        self._idle.clear()
        try:
            if self.asked:
                raise Stopped()
            yield
            if self.asked:
                raise Stopped()
        except RunError as error:
            error.may_still_run = self.may_still_run
            raise
        finally:
            self._idle.set()

    @contextmanager
    def limited(self, *limits: Limit) -> Iterator[None]:
        """Around a statement, inside of `interruptible`: the first limit that is reached ends the statement, and its
        error is raised in place of what the driver says of the broken connection.
        """
        if not limits:
            yield
            return
        over = threading.Event()
        reached: list[Limit] = []

        def watch() -> None:
            began = clock.monotonic()
            while not over.wait(LOOK_SECONDS):
                found = next((limit for limit in limits if limit.reached(clock.monotonic() - began)), None)
                if found is not None:
                    reached.append(found)
                    self._insist(over)
                    return

        threading.Thread(target=watch, name="limits", daemon=True).start()
        try:
            yield
        except Exception:
            if reached and not self.asked:
                raise reached[0].error() from None
            raise
        finally:
            over.set()

    def apart(self, action: Callable[[], T], seconds: float, *, late: Callable[[T], Any]) -> T:
        """Do what no other thread can interrupt, such as connecting, on a thread of its own. Raises `Stopped` when it
        is asked meanwhile and `TimeoutError` after `seconds`; a result that comes after that goes to `late`.
        """
        done, lock = threading.Event(), threading.Lock()
        results: list[T] = []
        errors: list[BaseException] = []
        left = False

        def work() -> None:
            try:
                result = action()
            except BaseException as error:
                errors.append(error)
            else:
                with lock:
                    results.append(result)
                    if left:
                        late(result)
            done.set()

        threading.Thread(target=work, name="connecting", daemon=True).start()
        until = clock.monotonic() + seconds
        while not done.wait(LOOK_SECONDS) and not self.asked and clock.monotonic() < until:
            pass
        with lock:
            left = not results
        if results:
            return results[0]
        if errors:
            raise errors[0]
        if self.asked:
            raise Stopped()
        raise TimeoutError

    def stop(self) -> None:
        """Set the request and end the work in progress. Returns at once: the caller may hold a lock that the work
        waits for.
        """
        self._asked.set()
        if not self._idle.is_set():
            threading.Thread(target=self._insist, args=(self._idle,), name="stopping", daemon=True).start()

    def end_now(self) -> None:
        """End a statement whose rows are not wanted any more, on the thread that reads them."""
        self._told = self._ask(self._patience) or self._told
        self._break()

    def _insist(self, over: threading.Event) -> None:
        until = clock.monotonic() + self._patience
        while (left := until - clock.monotonic()) > 0:
            self._told = self._ask(left) or self._told
            if over.wait(REPEAT_SECONDS):
                return
        self._break()

    def _break(self) -> None:
        with self._breaking:
            self._broken_off = self._break_off() or self._broken_off


class Limit:
    """What ends a statement that goes on too long. `reached(seconds)` is asked several times a second."""

    def __init__(self, reached: Callable[[float], bool], error: Callable[[], RunError]) -> None:
        self.reached = reached
        self.error = error


def after(seconds: float, error: Callable[[], RunError]) -> Limit:
    """The limit that is reached so many seconds after the statement began."""
    return Limit(lambda elapsed: elapsed >= seconds, error)
