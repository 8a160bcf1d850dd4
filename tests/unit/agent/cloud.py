"""A small EC2 on loopback for one or two agents: a node's metadata service and the API, over real HTTP.

The answers follow AWS's documents and real error bodies from public issue threads. Each fault is a switch. The
API knows which interface has which address, so two nodes can share it.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import trustme

from tests.aws.emulator import signing
from tests.aws.emulator.http import Request

VIP = "10.0.250.18"
LONGER = "10.0.250.185"  # contains the VIP's text, but is another address
REGION = "eu-west-1"
KEYS = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "hush", "Token": "session"}
#: (HTTP status, EC2's code, message)
Fault = tuple[int, str, str]

THROTTLED: Fault = (503, "RequestLimitExceeded", "Request limit exceeded.")
DENIED: Fault = (403, "UnauthorizedOperation", "You are not authorized to perform this operation.")


@dataclass
class Eni:
    """A network interface: its primary address and its secondary ones."""

    id: str
    primary: str
    secondary: list[str] = field(default_factory=list)
    subnet: str = "subnet-1"

    @property
    def addresses(self) -> list[str]:
        return [self.primary, *self.secondary]


@dataclass
class Api:
    """What EC2 knows, and how it (mis)behaves."""

    enis: dict[str, Eni]
    faults: dict[str, list[Fault]] = field(default_factory=dict)  # by action; the last one stays
    calls: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    page_size: int = 0  # 0: one page
    raw: bytes | None = None  # the answer to every request
    trickle: bool = False  # one byte at a time, without end
    silent: threading.Event | None = None  # no answer until it is set
    refuses_own: bool = False  # a second assign to the same interface is an error
    ahead: float = 0.0  # seconds that EC2's clock is ahead of the node's
    untimely: str = "RequestExpired"  # the error code for a time stamp that is off

    def now(self) -> float:
        """EC2's time of day, in seconds since the epoch."""
        return time.time() + self.ahead

    def answer(self, query: dict[str, str]) -> tuple[int, str]:
        action = query["Action"]
        self.calls.append(action)
        self.queries.append(query)
        faults = self.faults.get(action, [])
        if faults:
            return error(*(faults.pop(0) if len(faults) > 1 else faults[0]))
        if action == "DescribeNetworkInterfaces":
            return 200, self._describe(query)
        eni = self.enis.get(query["NetworkInterfaceId"])
        if eni is None:
            name = query["NetworkInterfaceId"]
            return error(
                400, "InvalidNetworkInterfaceID.NotFound", f"The networkInterface ID '{name}' does not exist"
            )
        vip = query["PrivateIpAddress.1"]
        if action == "AssignPrivateIpAddresses":
            return self._assign(eni, vip, query.get("AllowReassignment") == "true")
        if vip not in eni.secondary:
            text = f"Some of the specified addresses are not assigned to interface {eni.id}"
            return error(400, "InvalidParameterValue", text)
        eni.secondary.remove(vip)
        return 200, done(action)

    def owners(self, vip: str = VIP) -> list[str]:
        return [eni.id for eni in self.enis.values() if vip in eni.addresses]

    def _assign(self, eni: Eni, vip: str, move: bool) -> tuple[int, str]:
        if vip in eni.secondary and self.refuses_own:
            return error(400, "InvalidParameterValue", f"[{vip}] assigned already")
        for other in self.enis.values():
            if other is not eni and vip == other.primary:
                return error(400, "InvalidParameterValue", "secondary-addresses")
            if other is not eni and vip in other.secondary:
                if not move:
                    return error(400, "InvalidParameterValue", f"[{vip}] assigned, but move is not allowed.")
                other.secondary.remove(vip)
        if vip not in eni.secondary:
            eni.secondary.append(vip)
        return 200, done("AssignPrivateIpAddresses")

    def _describe(self, query: dict[str, str]) -> str:
        filters = {
            query[f"Filter.{n}.Name"]: query[f"Filter.{n}.Value.1"]
            for n in (1, 2)
            if f"Filter.{n}.Name" in query
        }
        found = [
            eni
            for eni in self.enis.values()
            if filters.get("addresses.private-ip-address", eni.primary) in eni.addresses
            and filters.get("subnet-id", eni.subnet) == eni.subnet
        ]
        token = ""
        if self.page_size:
            # AWS may answer with an empty page and a token: the interfaces are all on the last page.
            page = int(query.get("NextToken") or 0)
            token = str(page + 1) if page + 1 < self.page_size else ""
            found = [] if token else found
        items = "".join(
            f"<item><networkInterfaceId>{eni.id}</networkInterfaceId><subnetId>{eni.subnet}</subnetId>"
            "<privateIpAddressesSet>"
            + "".join(
                f"<item><privateIpAddress>{address}</privateIpAddress>"
                f"<primary>{'true' if address == eni.primary else 'false'}</primary></item>"
                for address in eni.addresses
            )
            + "</privateIpAddressesSet></item>"
            for eni in found
        )
        more = f"<nextToken>{token}</nextToken>" if token else ""
        return envelope(
            "DescribeNetworkInterfaces", f"<networkInterfaceSet>{items}</networkInterfaceSet>{more}"
        )


def envelope(action: str, inner: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>59dbff89</requestId>{inner}</{action}Response>"
    )


def done(action: str) -> str:
    return envelope(action, "<return>true</return>")


def error(status: int, code: str, message: str) -> tuple[int, str]:
    return status, (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
        "<RequestID>ea966190</RequestID></Response>"
    )


@dataclass
class Imds:
    """One node's metadata service, and how it (mis)behaves."""

    eni: Eni
    mac: str = "02:00:00:00:00:01"
    others: dict[str, Eni] = field(default_factory=dict)  # more interfaces, by MAC
    shown: list[str] | None = None  # local-ipv4s while IMDS is stale; None: the truth
    role: str | None = "node"
    expires: str = "2999-01-01T00:00:00Z"
    statuses: dict[str, list[int]] = field(default_factory=dict)  # by the end of the path; the last one stays
    delay: dict[str, float] = field(default_factory=dict)  # seconds, by the end of the path
    bodies: dict[str, bytes] = field(default_factory=dict)  # instead of the right one, by the end of the path
    ahead: float = 0.0  # seconds that IMDS's clock is ahead of the node's
    token_uses: int = 10**9  # requests that one token is good for
    tokens: int = 0
    asked: list[str] = field(default_factory=list)
    _left: int = 0
    trickle: bool = False
    cut: str = ""  # the answer to a path with this end lacks its last byte

    def answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        self.asked.append(path)
        time.sleep(next((seconds for end, seconds in self.delay.items() if path.endswith(end)), 0))
        for end, statuses in self.statuses.items():
            if path.endswith(end):
                status = statuses[0] if len(statuses) == 1 else statuses.pop(0)
                if status != 200:
                    return status, b"<html>no</html>"
        for end, body in self.bodies.items():
            if path.endswith(end):
                return 200, body
        if path == "/latest/api/token":
            if method != "PUT" or not 1 <= int(headers["x-aws-ec2-metadata-token-ttl-seconds"]) <= 21600:
                return 400, b""
            self.tokens += 1
            self._left = self.token_uses
            return 200, f"token-{self.tokens}".encode()
        if headers.get("x-aws-ec2-metadata-token") != f"token-{self.tokens}" or self._left <= 0:
            return 401, b"<html>401 - Unauthorized</html>"
        self._left -= 1
        text = self._items().get(path.removeprefix("/latest/meta-data/"))
        return (404, b"<html>404</html>") if text is None else (200, text.encode())

    def _items(self) -> dict[str, str]:
        items = {
            "mac": self.mac,
            "local-ipv4": self.eni.primary,
            "placement/region": REGION,
            "services/domain": "amazonaws.com",
            "network/interfaces/macs/": "".join(f"{mac}/\n" for mac in [*self.others, self.mac]),
        }
        if self.role:
            items["iam/security-credentials/"] = self.role
            keys = {"Code": "Success", "Type": "AWS-HMAC", **KEYS, "Expiration": self.expires}
            items[f"iam/security-credentials/{self.role}"] = json.dumps(keys)
        for mac, eni in {**self.others, self.mac: self.eni}.items():
            here = f"network/interfaces/macs/{mac}"
            items[f"{here}/interface-id"] = eni.id
            items[f"{here}/subnet-id"] = eni.subnet
            items[f"{here}/subnet-ipv4-cidr-block"] = "10.0.250.0/24"
            items[f"{here}/local-ipv4s"] = "\n".join(
                self.shown if self.shown is not None and eni is self.eni else eni.addresses
            )
        return items


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, status: int, body: bytes, trickle: bool, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        body = body[:-1] if cut else body
        self.end_headers()
        if trickle:
            for _ in range(600):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.02)
        self.wfile.write(body)
        self.close_connection = True

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:  # some tests make a client give up
        pass


@contextlib.contextmanager
def serve(
    handler: type[BaseHTTPRequestHandler], wrap: Callable[[_Server], None] = lambda _: None
) -> Iterator[int]:
    """Serve on a free port of loopback; yields the port."""
    with _Server(("127.0.0.1", 0), handler) as server:
        wrap(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def metadata_service(imds: Imds) -> Iterator[tuple[str, int]]:
    """Serve a node's metadata; yields the service's address and port."""

    class Handler(_Handler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            cut = bool(imds.cut) and self.path.endswith(imds.cut)
            self.reply(*imds.answer(self.command, self.path, headers), imds.trickle, cut)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() + imds.ahead, usegmt=True)

        do_PUT = do_GET  # noqa: N815

    with serve(Handler) as port:
        yield "127.0.0.1", port


@contextlib.contextmanager
def ec2_api(api: Api, folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve the API over TLS; yields its URL and its authority's certificate file."""
    authority = trustme.CA()
    file = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    class Handler(_Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            api.authorizations.append(self.headers.get("Authorization", ""))
            query = dict(parse_qsl(body, keep_blank_values=True))
            status, text = self.refusal(body.encode(), query["Action"]) or api.answer(query)
            if api.silent:
                api.silent.wait(30)
            self.reply(status, text.encode() if api.raw is None else api.raw, api.trickle)

        def refusal(self, body: bytes, action: str) -> tuple[int, str] | None:
            """The refusal of a wrong signature, or a time over 5 min off EC2's, as in the lab's emulator."""
            request = Request("POST", self.path, self.headers, body, "127.0.0.1", "https", lambda _: None)
            signature, stamp = signing.read(request), signing.signed_at(request)
            assert signature is not None
            assert stamp is not None
            if not signing.holds(signature, request, KEYS["SecretAccessKey"]):
                return error(
                    403, "SignatureDoesNotMatch", "The request signature we calculated does not match"
                )
            if abs(stamp - api.now()) > 300:
                api.calls.append(action)
                return error(400, api.untimely, "Request has expired.")
            return None

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(api.now(), usegmt=True)

    def wrap(server: _Server) -> None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)

    with serve(Handler, wrap) as port:
        yield f"https://localhost:{port}", file
