"""A line between a client and a server on loopback that breaks in each of the ways a network does.

`cut` resets it. `stall` leaves every connection open and lets nothing through, those still to come included: it
neither answers nor breaks. `stall_new` stalls only the connections still to come. `slow` lets so many bytes a second
through to the client.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import Self

STEP_SECONDS = 0.05


class Proxy:
    """Without a `target` no server stands behind it. A client that has sent something then gets `greeting`, and no
    more.
    """

    def __init__(self, target: int | None, *, greeting: bytes = b"") -> None:
        self._target = target
        self._greeting = greeting
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._flowing, self._closing = threading.Event(), threading.Event()
        self._flowing.set()
        self._stall_new = False
        self._bytes_a_second: int | None = None
        self.connections = 0

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for end in self._sockets:
            end.close()

    def cut(self) -> None:
        """Reset every connection, as a failing network does."""
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        self._flowing.clear()

    def stall_new(self) -> None:
        self._stall_new = True

    def slow(self, bytes_a_second: int) -> None:
        self._bytes_a_second = bytes_a_second

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self.connections += 1
                if self._stall_new:
                    continue
                if self._target is None:
                    self._start(self._greet, client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets.append(server)
                self._start(self._pump, client, server, False)
                self._start(self._pump, server, client, True)

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _greet(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client.recv(1 << 16)
            client.sendall(self._greeting)

    def _pump(self, source: socket.socket, target: socket.socket, to_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(self._step(to_client)):
                while not self._flowing.wait(STEP_SECONDS) and not self._closing.is_set():
                    pass
                if self._closing.is_set():
                    break
                if to_client and self._bytes_a_second is not None:
                    time.sleep(STEP_SECONDS)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _step(self, to_client: bool) -> int:
        if to_client and self._bytes_a_second is not None:
            return max(1, round(self._bytes_a_second * STEP_SECONDS))
        return 1 << 16
