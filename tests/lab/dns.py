"""The name service of the fabric (EC2's 169.254.169.253).

It knows the names of the region's API and of the mirror. No other name exists, so nothing inside the lab can
find its way out.
"""

from __future__ import annotations

from collections.abc import Mapping

from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import DNSServer


class Resolver:
    """Answers A queries from a table. Other types get an empty answer, unknown names NXDOMAIN."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = {name.lower().rstrip("."): address for name, address in names.items()}

    def resolve(self, request, handler):  # type: ignore[no-untyped-def]  # dnslib has no types
        reply = request.reply()
        name = str(request.q.qname).lower().rstrip(".")
        if name not in self._names:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype in (QTYPE.A, QTYPE.ANY):
            reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(self._names[name]), ttl=30))
        return reply


class _Quiet:
    """A logger that drops everything: by default, dnslib logs every query to standard output."""

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return lambda *_: None


def serve(address: str, names: Mapping[str, str]) -> None:
    """Answer on UDP and TCP port 53 of `address` until the process ends; returns at once.

    The sockets belong to the network namespace of the calling thread.
    """
    for tcp in (False, True):
        DNSServer(Resolver(names), address=address, port=53, tcp=tcp, logger=_Quiet()).start_thread()
