"""Tells the server to end a statement, over a connection of its own, and waits no longer than it may.

psycopg2's `cancel()` waits for as long as the network likes and keeps every thread of the process from running
meanwhile; it also sends the request unencrypted. libpq 17 has a cancel that does neither, at the address and with the
TLS of the connection (https://www.postgresql.org/docs/17/libpq-cancel.html). psycopg2 does not hand it on, so it is
called here by name, in the library that psycopg2 itself has loaded.
"""

from __future__ import annotations

import ctypes
import select
import threading
from functools import cache
from typing import Any

from chalicelib import clock

_FAILED, _READING, _WRITING, _OK = range(4)  # PostgresPollingStatusType
# How often a wait looks whether the request is still wanted.
_LOOK_SECONDS = 0.1


@cache
def _libpq() -> Any:
    from psycopg2 import _psycopg

    # A library's handle finds the names of those that it was linked with, too.
    library = ctypes.CDLL(_psycopg.__file__)
    for name, result in (
        ("PQcancelCreate", ctypes.c_void_p),
        ("PQcancelStart", ctypes.c_int),
        ("PQcancelPoll", ctypes.c_int),
        ("PQcancelSocket", ctypes.c_int),
        ("PQcancelReset", None),
        ("PQcancelFinish", None),
    ):
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_void_p], result
    return library


class CancelRequest:
    """Made once for a connection, on the thread that uses it; sent from any thread, as often as needed."""

    def __init__(self, connection: Any) -> None:
        self._lock = threading.Lock()
        self._unwanted = threading.Event()
        self._pointer = _libpq().PQcancelCreate(connection.pgconn_ptr)

    def send(self, seconds: float) -> bool:
        """Whether the server took the request within so many seconds. It need not have ended the statement yet."""
        until = clock.monotonic() + seconds
        if not self._lock.acquire(timeout=seconds):
            return False
        try:
            return self._pointer is not None and self._sent(self._pointer, until)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Free what libpq holds. A request that is being sent is given up."""
        self._unwanted.set()
        with self._lock:
            pointer, self._pointer = self._pointer, None
            if pointer is not None:
                _libpq().PQcancelFinish(pointer)

    def _sent(self, pointer: int, until: float) -> bool:
        libpq = _libpq()
        libpq.PQcancelReset(pointer)
        if not libpq.PQcancelStart(pointer):
            return False
        state = _WRITING
        while state in (_READING, _WRITING):
            if not self._ready(libpq.PQcancelSocket(pointer), state, until):
                return False
            state = libpq.PQcancelPoll(pointer)
        return bool(state == _OK)

    def _ready(self, number: int, state: int, until: float) -> bool:
        watched = select.poll()
        watched.register(number, select.POLLIN if state == _READING else select.POLLOUT)
        while not self._unwanted.is_set():
            left = until - clock.monotonic()
            if left <= 0:
                return False
            if watched.poll(min(left, _LOOK_SECONDS) * 1000):
                return True
        return False
