"""The address people open: `/api/…` goes to the stack's API Gateway, `/` says what is where.

On AWS the stage's own address does this. Answers pass through as they come, with their status and headers.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
BLOCK_BYTES = 64 * 1024

# API Gateway gives a function 29 s; a little more, so that its own answer arrives.
TIMEOUT_SECONDS = 35

# These belong to one connection (RFC 9110, 7.6.1), never to the message.
HOP_BY_HOP = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)


class Front(ThreadingHTTPServer):
    """Bound when made, so that a port in use is known before anything is started; refuses connections until `open`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, about: Callable[[], str]):
        super().__init__((HOST, port), Passage, bind_and_activate=False)
        try:
            self.server_bind()
        except OSError:
            self.server_close()
            raise
        self.about = about
        self.upstream_port = 0
        self.upstream_path = ""

    def lead_to(self, port: int, api_id: str) -> None:
        """Send `/api/…` to this REST API of the emulator."""
        self.upstream_port = port
        self.upstream_path = f"/restapis/{api_id}/api/_user_request_"

    def open(self) -> None:
        """Take connections. Those of before would have waited, and been served although their callers had gone."""
        self.server_activate()
        threading.Thread(target=self.serve_forever, name="front", daemon=True).start()

    @property
    def upstream(self) -> str:
        """The address that `/api` stands for."""
        return f"http://{HOST}:{self.upstream_port}{self.upstream_path}"


class Passage(BaseHTTPRequestHandler):
    """One connection of a caller."""

    protocol_version = "HTTP/1.1"
    server: Front

    def pass_on(self) -> None:
        path, question, query = self.path.partition("?")
        if path == "/":
            self.answer(200, self.server.about())
        elif path == "/api" or path.startswith("/api/"):
            self.relay(self.server.upstream_path + (path.removeprefix("/api") or "/") + question + query)
        else:
            self.answer(404, f"Nothing is at {path}; the API is below /api/.\n")

    def __getattr__(self, name: str) -> Any:
        # Any method: the base class answers 501 for one that has no `do_…` here, and API Gateway does not.
        if name.startswith("do_"):
            return self.pass_on
        raise AttributeError(name)

    def relay(self, target: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP | {"host"}}
        upstream = http.client.HTTPConnection(HOST, self.server.upstream_port, timeout=TIMEOUT_SECONDS)
        try:
            upstream.request(self.command, target, body=self.rfile.read(length) if length else None, headers=headers)
            answer = upstream.getresponse()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            if answer.getheader("Content-Length") is None:
                # Nothing says where the answer ends but its end.
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            while block := answer.read1(BLOCK_BYTES):
                self.wfile.write(block)
        except (OSError, http.client.HTTPException):
            # Half an answer cannot be mended: the caller sees the connection end early.
            self.close_connection = True
        finally:
            upstream.close()

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the functions log what matters, and an address may carry a secret."""
