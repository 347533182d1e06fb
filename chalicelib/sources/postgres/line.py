"""The socket under a connection: cut when nothing else ends a statement, and asked how long the server has been silent.

It holds a descriptor of its own, so a cut from another thread never meets a number that the process has given to
another file meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
import termios
from contextlib import suppress
from typing import Any

from chalicelib.sources.postgres.cancel_request import CancelRequest

# struct tcp_info of Linux: milliseconds since data last came, and how much of the struct to read for it.
_LAST_DATA_RECEIVED = 52
_TCP_INFO_BYTES = 104


class Line:
    def __init__(self, connection: Any) -> None:
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._request = CancelRequest(connection)

    @property
    def peer(self) -> str:
        """The address at the other end."""
        return str(self._socket.getpeername()[0])

    def cancel(self, seconds: float) -> bool:
        """Whether the server took the request to end the statement, within so many seconds."""
        return self._request.send(seconds)

    def cut(self) -> bool:
        """End the connection from this side: a call that waits for the server raises. False when it has ended."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
        return True

    def silent_for(self, seconds: float) -> bool:
        """Whether no byte came for so long and none waits to be read. Never on a system that cannot tell."""
        if sys.platform != "linux" or self._socket.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        with suppress(OSError):
            waiting = struct.unpack("i", fcntl.ioctl(self._socket, termios.FIONREAD, b"\0" * 4))[0]
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            return bool(waiting == 0 and struct.unpack_from("I", info, _LAST_DATA_RECEIVED)[0] >= seconds * 1000)
        return False

    def close(self) -> None:
        self._request.close()
        self._socket.close()
