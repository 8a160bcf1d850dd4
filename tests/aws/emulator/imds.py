"""The instance metadata service: version 2, and version 1 if an instance still allows it.

Source of the protocol: EC2 user guide, "How Instance Metadata Service Version 2 works" and "Retrieve instance
metadata"; form of the bodies: aws/amazon-ec2-metadata-mock.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import unquote

from .faults import Faults
from .http import Request, Response, dated
from .imds_tree import Tree, identity_document, meta_data
from .model import Instance
from .principals import Principals
from .world import World

TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
TTL_MOST = 21600  # seconds
USUAL_TTL = 64  # IP TTL of packets that carry no token
VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    "latest",
)


class Tokens:
    """Session tokens, each valid for one instance and a limited time."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, float]] = {}

    def make(self, instance_id: str, ttl: int) -> str:
        token = secrets.token_urlsafe(40)
        with self._lock:
            now = self._now()
            self._known = {name: entry for name, entry in self._known.items() if entry[1] > now}
            self._known[token] = (instance_id, now + ttl)
        return token

    def good(self, token: str, instance_id: str) -> bool:
        with self._lock:
            owner, ends = self._known.get(token, ("", 0.0))
            return owner == instance_id and ends > self._now()


class MetadataService:
    """Answers instances, which it identifies by the source address of their requests."""

    def __init__(
        self, world: World, principals: Principals, faults: Faults, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._world = world
        self._principals = principals
        self._faults = faults
        self._tokens = Tokens(now)
        self.closing = threading.Event()

    def respond(self, request: Request) -> Response:
        """Answer one request. Raises Silence if a fault suppresses the answer."""
        instance = self._caller(request.client_ip)
        if instance is None:
            return _error(HTTPStatus.NOT_FOUND)
        response = self._broken(instance.id) or self._answer(request, instance)
        self._world.note(
            {
                "kind": "imds",
                "instance_id": instance.id,
                "method": request.method,
                "path": request.target,
                "status": response.status,
            }
        )
        return dated(response, self._world.clock_of(instance.id))

    def refuses(self, client_ip: str) -> bool:
        """Whether to reset a connection from this address as soon as it opens."""
        instance = self._caller(client_ip)
        return instance is not None and any(
            fault.kind == "down" for fault in self._faults.of("imds", instance.id)
        )

    def _caller(self, client_ip: str) -> Instance | None:
        world = self._world
        with world.lock:
            for eni in world.ec2.enis.values():
                if eni.instance is not None and (
                    client_ip == eni.private_ip_address or client_ip in world.addresses.routed.of(eni.id)
                ):
                    return world.instance(eni.instance)
        return None

    def _broken(self, instance_id: str) -> Response | None:
        for fault in self._faults.of("imds", instance_id):
            fault.hold_up(self.closing)
            if fault.kind != "slow":
                return _error(HTTPStatus(int(fault.kind)))
        return None

    def _answer(self, request: Request, instance: Instance) -> Response:
        path = unquote(request.target.partition("?")[0])
        # The hop limit is the IP time to live of the answer that carries a token, so that answer never
        # reaches a client further away.
        token_wanted = request.method == "PUT"
        with contextlib.suppress(OSError):
            request.set_ttl(instance.hop_limit if token_wanted else USUAL_TTL)
        if not instance.http_endpoint:
            return _error(HTTPStatus.FORBIDDEN)
        if token_wanted:
            return self._token(request, path, instance)
        if request.method not in ("GET", "HEAD"):
            return _error(HTTPStatus.METHOD_NOT_ALLOWED)
        token = request.headers.get(TOKEN_HEADER)
        if token is None and instance.http_tokens == "required":
            return _error(HTTPStatus.UNAUTHORIZED)
        if token is not None and not self._tokens.good(token, instance.id):
            return _error(HTTPStatus.UNAUTHORIZED)
        return self._item(path, instance)

    def _token(self, request: Request, path: str, instance: Instance) -> Response:
        if request.headers.get("X-Forwarded-For") is not None:
            return _error(HTTPStatus.FORBIDDEN)
        version, _, rest = path.strip("/").partition("/")
        if rest != "api/token":
            return _error(HTTPStatus.METHOD_NOT_ALLOWED if version in VERSIONS else HTTPStatus.NOT_FOUND)
        if version != "latest":
            return _error(HTTPStatus.FORBIDDEN)
        asked = request.headers.get(TTL_HEADER) or ""
        if not re.fullmatch(r"[0-9]{1,5}", asked) or not 1 <= int(asked) <= TTL_MOST:
            return _error(HTTPStatus.BAD_REQUEST)
        token = self._tokens.make(instance.id, int(asked))
        return Response(200, token.encode(), "text/plain", {TTL_HEADER: asked})

    def _item(self, path: str, instance: Instance) -> Response:
        parts = [part for part in path.split("/") if part]
        if not parts:
            return Response(200, "\n".join(VERSIONS).encode(), "text/plain")
        if parts[0] not in VERSIONS:
            return _error(HTTPStatus.NOT_FOUND)
        if parts[1:] == ["user-data"]:
            if not instance.user_data:
                return _error(HTTPStatus.NOT_FOUND)
            return Response(200, instance.user_data, "application/octet-stream")
        with self._world.lock:
            found = _walk(self._tree(parts, instance), parts[1:])
        if found is None or (isinstance(found, str) and path.endswith("/")):
            return _error(HTTPStatus.NOT_FOUND)
        text = found if isinstance(found, str) else _listing(found, parts)
        return Response(200, text.encode(), "text/plain")

    def _tree(self, parts: list[str], instance: Instance) -> Tree:
        """The part of the tree that the path needs; only paths below `meta-data` create credentials."""
        tree: Tree = {"dynamic": {}, "meta-data": {}}
        if instance.user_data:
            tree["user-data"] = ""
        if parts[1:2] == ["dynamic"]:
            document = identity_document(self._world, instance)
            tree["dynamic"] = {"instance-identity": {"document": document}}
        elif parts[1:2] == ["meta-data"]:
            tree["meta-data"] = meta_data(self._world, self._principals, instance)
        return tree


def _walk(tree: Tree, parts: list[str]) -> Tree | str | None:
    found: Tree | str | None = tree
    for part in parts:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _listing(tree: Tree, parts: list[str]) -> str:
    """The names in a directory: one a line, a slash after each subdirectory, no line feed at the end.

    AWS makes exceptions: `public-keys/` lists `0=NAME` (here NAME is always `key`), and a version's top level
    has no slashes. Roles below `security-credentials/` are leaves.
    """
    if parts[1:] == ["meta-data", "public-keys"]:
        return "\n".join(f"{index}=key" for index in tree)
    if len(parts) == 1:
        return "\n".join(sorted(tree))
    return "\n".join(f"{name}/" if isinstance(value, dict) else name for name, value in sorted(tree.items()))


def _error(status: HTTPStatus) -> Response:
    title = f"{status.value} - {status.phrase}"
    page = (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
        '\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n'
        f" <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n </body>\n</html>\n"
    )
    return Response(status.value, page.encode(), "text/html")
