"""What nodes reach beyond EC2: package mirrors and upstream's archives, under their real names.

It serves plain files over HTTP and, like the real hosts that speak it, HTTPS. A test can take each host down,
and exchange what is in each repository.
"""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Collection
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cloudinit.platforms import PLATFORMS
from tests.lab.rpms import RELEASE

DEBIAN = "mirror.lab.internal"
AMAZON = "al2023-repos-us-east-1-de612dc2.s3.dualstack.us-east-1.amazonaws.com"
"""Where the images of AL2023 in that Region look for their packages (/etc/yum.repos.d/amazonlinux.repo)."""
OWNER = "stream.lab.internal"
"""A mirror of CentOS Stream, as an owner may have one."""

SOURCES = {
    (address.hostname or "", unquote(address.path)): source.name
    for system in PLATFORMS.values()
    if system.build
    for source in system.build.sources
    for address in map(urlsplit, source.addresses)
}
"""Host and path → the file that a platform builds from."""

NAMES = tuple(sorted({DEBIAN, AMAZON, OWNER, *(host for host, _ in SOURCES)}))


class Mirror:
    """The files behind the names. `folder_of` returns a platform's folder of packages (see image.mirror)."""

    def __init__(self, folder_of: Callable[[str], Path], platforms: Collection[str]) -> None:
        self._folder_of, self._platforms = folder_of, platforms
        self.down: dict[str, int] = {}
        """Host → the status with which it answers every request."""
        self.instead: dict[str, str] = {}
        """Beginning of a path under al2023's folder → what replaces it."""

    def tell(self, down: dict[str, int], instead: dict[str, str]) -> None:
        """Set which hosts are down and which paths are replaced from now on; it forgets earlier settings."""
        self.down, self.instead = down, instead

    def find(self, host: str, path: str) -> Path | str | None:
        """The file at this address, or a generated text; None if there is neither."""
        path = unquote(urlsplit(path).path)
        if host == DEBIAN:
            _, top, platform, *rest = [*path.split("/"), "", ""]
            if top != "debian" or platform not in self._platforms:
                return None
            return self._inside(self._folder_of(platform), "/".join(rest).strip("/"))
        if host == AMAZON:
            _, name, kind, *rest = [*path.split("/"), "", ""]
            if kind == "mirrors" and rest[:1] == [RELEASE]:
                return f"https://{AMAZON}/{name}/guids/\n"
            return self._amazon(f"{name}/{'/'.join(rest)}" if kind == "guids" else "")
        if host == OWNER:
            return self._amazon(path.strip("/").replace("9-stream", "stream", 1))
        source = SOURCES.get((host, path))
        return self._amazon(f"sources/{source}") if source else None

    def _amazon(self, path: str) -> Path | None:
        for beginning, other in self.instead.items():
            if path.startswith(beginning):
                path = other + path.removeprefix(beginning)
        return self._inside(self._folder_of("al2023"), path.strip("/"))

    @staticmethod
    def _inside(folder: Path, path: str) -> Path | None:
        found = (folder / path).resolve()
        return found if found.is_file() and found.is_relative_to(folder.resolve()) else None

    def serve(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """Answer on the socket until the process ends; returns at once."""
        server = http.server.ThreadingHTTPServer(
            listener.getsockname(), self._handler(), bind_and_activate=False
        )
        server.socket.close()
        server.socket = (
            context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
            if context
            else listener
        )
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="mirror", daemon=True).start()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_GET(self) -> None:
                host = self.headers.get("Host", "").partition(":")[0]
                if status := mirror.down.get(host):
                    self._answer(status, b"")
                    return
                found = mirror.find(host, self.path)
                if found is None:
                    self._answer(HTTPStatus.NOT_FOUND, b"")
                else:
                    self._answer(
                        HTTPStatus.OK, found.encode() if isinstance(found, str) else found.read_bytes()
                    )

            do_HEAD = do_GET  # noqa: N815 (http.server looks for this name)

            def _answer(self, status: int, body: bytes) -> None:
                first, last = 0, len(body) - 1
                wanted = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
                if status == HTTPStatus.OK and wanted[1] and wanted[0].isdigit() and int(wanted[0]) <= last:
                    status, first = HTTPStatus.PARTIAL_CONTENT, int(wanted[0])
                    last = min(last, int(wanted[2])) if wanted[2].isdigit() else last
                self.send_response(status)
                if status == HTTPStatus.PARTIAL_CONTENT:
                    self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
                self.send_header("Content-Length", str(last + 1 - first))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body[first : last + 1])

            def log_message(self, *_: object) -> None:
                """Print nothing: there would be a line for every package."""

        return Handler
