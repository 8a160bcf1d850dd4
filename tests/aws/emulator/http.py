"""A threaded HTTP server with what the emulator needs: per-connection TLS, refusals and silence."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any, TypeAlias

IDLE_S = 60.0  # how long a kept-alive connection may stay without a request
OUT_OF_SOCKETS_S = 0.05  # before the next try if the process has no file descriptor left
BODY_LIMIT = 1 << 20  # bytes; EC2's requests stay far below


Headers: TypeAlias = "Message[str, str]"  # ignores the case of names


@dataclass(frozen=True)
class Request:
    """One HTTP request. `set_ttl` sets the IP TTL of the packets that carry the answer."""

    method: str
    target: str
    headers: Headers
    body: bytes
    client_ip: str
    scheme: str
    set_ttl: Callable[[int], None] = lambda ttl: None


@dataclass(frozen=True)
class Response:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def dated(response: Response, now: float) -> Response:
    """The answer with a Date header for `now`, in seconds since the epoch."""
    return replace(response, headers={"Date": formatdate(now, usegmt=True), **response.headers})


class Silence(Exception):  # noqa: N818 - not an error but an answer: none
    """A responder raises this to close the connection without an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S
    server: _Listener

    def handle_one_request(self) -> None:
        # A client that was cut off (power loss, partition) must not cause a traceback.
        try:
            super().handle_one_request()
        except (OSError, Silence):
            self.close_connection = True

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= BODY_LIMIT:
            self.close_connection = True
            return
        body = self.rfile.read(length) if length else b""
        if not self.server.is_called(self.headers.get("Host") or ""):
            self.close_connection = True
            self.send_error(421)
            return
        request = Request(
            method=self.command,
            target=self.path,
            headers=self.headers,
            body=body,
            client_ip=self.client_address[0],
            scheme="https" if isinstance(self.connection, ssl.SSLSocket) else "http",
            set_ttl=self._set_ttl,
        )
        response = self.server.respond(request)
        self.send_response_only(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_OPTIONS = do_PATCH = answer  # noqa: N815

    def _set_ttl(self, ttl: int) -> None:
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's own name
        """Log nothing, because the emulator records calls itself."""


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        listening: socket.socket,
        respond: Callable[[Request], Response],
        refuses: Callable[[str], bool],
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_address = listening.getsockname()[:2]
        self.respond = respond
        self._refuses = refuses
        self._ssl_context = ssl_context
        self.own_names_only = False
        self._closing = False
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()

    def accept_until_closed(self) -> None:
        """Accept connections until closed. It blocks in accept, so an idle emulator costs no CPU time."""
        while not self._closing:
            try:
                request, client_address = self.get_request()
            except OSError:
                time.sleep(0 if self._closing else OUT_OF_SOCKETS_S)
                continue
            try:
                accepted = self.verify_request(request, client_address)
                (self.process_request if accepted else self._reset)(request, client_address)
            except (OSError, RuntimeError):  # RuntimeError: cannot start a thread
                self.shutdown_request(request)

    def is_called(self, name: str) -> bool:
        """Whether a request's Host header names this server.

        A web page can make its own name resolve to loopback ("DNS rebinding") and so reach a port there. Its
        requests then carry that name.
        """
        address, port = self.server_address[:2]
        if not self.own_names_only or not str(address).startswith("127."):
            return True
        host, _, given = name.partition(":")
        return host in (address, "localhost") and given in ("", str(port))

    def close(self) -> None:
        """Stop listening and close all connections, idle ones included."""
        self._closing = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes the accept
        self.server_close()
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return not self._refuses(client_address[0])

    @staticmethod
    def _reset(request: Any, client_address: Any) -> None:
        # Without lingering, closing sends a reset, so the client sees at once that we refuse the connection.
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self._ssl_context is None:
            self._converse(request, client_address)
            return
        # We do the handshake in the connection's thread, so a client that dies during it delays no other.
        request.settimeout(IDLE_S)
        with contextlib.suppress(OSError):
            tls = self._ssl_context.wrap_socket(request, server_side=True)
            with tls:
                self._converse(tls, client_address)

    def _converse(self, connection: socket.socket, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(connection)
        try:
            super().finish_request(connection, client_address)
        finally:
            with self._open_lock:
                self._open.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a broken connection; the emulator's own errors are recorded elsewhere."""


class Server:
    """A listening socket and the thread that serves it. `url` is the address for clients."""

    def __init__(
        self,
        respond: Callable[[Request], Response],
        host: str,
        port: int = 0,
        *,
        sock: socket.socket | None = None,
        ssl_context: ssl.SSLContext | None = None,
        refuses: Callable[[str], bool] = lambda client_ip: False,
        own_names_only: bool = False,
    ) -> None:
        """With `own_names_only`, a server on loopback answers only requests to its address or "localhost"."""
        # We create the socket in the caller's thread, so it belongs to that thread's network namespace.
        if sock is None:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
        sock.listen(_Listener.request_queue_size)
        self._listener = _Listener(sock, respond, refuses, ssl_context)
        self._listener.own_names_only = own_names_only
        self.host: str = sock.getsockname()[0]
        self.port: int = sock.getsockname()[1]
        self.url = f"{'https' if ssl_context else 'http'}://{self.host}:{self.port}"
        self._thread = threading.Thread(
            target=self._listener.accept_until_closed, name=f"emulator-{self.port}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close all connections."""
        self._listener.close()
        self._thread.join()
