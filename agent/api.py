"""Calls of an AWS service, signed by Signature Version 4 (IAM User Guide, "Create a signed AWS API request").

We sign by hand because importing a signer takes a tenth of a second at each start. Tests compare the
signature with botocore's, byte for byte.
"""

from __future__ import annotations

import hmac
import os
import time
from hashlib import sha256

from agent.metadata import http_date
from agent.outcome import UnansweredError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from ssl import SSLContext

    from agent.outcome import Deadline
    from agent.record import Record

API_TIMEOUT = 5.0  # seconds for one exchange; we have seen 0.3 to 0.6 s
MOST_BYTES = 1 << 20  # the largest answer that we accept
# EC2 accepts a signature made within five minutes of its own time. If its `Date` is within SKEW_MIN seconds of
# the time that we signed by, skew did not cause the refusal. There is no upper limit: the date came over TLS,
# and signing by it harms nobody.
SKEW_MIN = 60.0


class Api:
    """One service of the record's Region, called with the record's credentials."""

    def __init__(self, service: str, record: Record, until: Deadline, endpoint: str = "") -> None:
        self.service, self.record, self.until = service, record, until
        self.endpoint = endpoint or f"{service}.{record.region}.{record.domain}"

    def post(self, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        """The status, date and body of the answer to a signed POST. Raises UnansweredError if none comes."""
        record = self.record
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + record.skew))
        host, _, port = self.endpoint.partition(":")
        headers = {
            "host": self.endpoint,
            **headers,
            "x-amz-date": stamp,
            "x-amz-security-token": record.token,
        }
        keys = (record.key_id, record.secret)
        headers["authorization"] = authorization(self.service, record.region, keys, headers, body)
        headers.update({"content-length": str(len(body)), "connection": "close"})
        lines = ["POST / HTTP/1.1", *map(": ".join, headers.items()), "", ""]
        sent = "\r\n".join(lines).encode() + body
        try:
            return over_tls(host, int(port or 443), sent, self.until.part(API_TIMEOUT))
        except OSError as error:
            raise UnansweredError(f"no answer from {self.endpoint}: {error}") from None

    def learn_time(self, date: str) -> bool:
        """Sign by an answer's date from now on; False if it is unusable or we signed by that time already."""
        try:
            skew = http_date(date) - time.time()
        except ValueError:
            return False
        if abs(skew - self.record.skew) < SKEW_MIN:
            return False
        self.record.skew = skew
        return True


def authorization(
    service: str, region: str, keys: tuple[str, str], headers: dict[str, str], body: bytes
) -> str:
    """The header that signs a POST to "/" with all of the given headers, whose names are lower-case."""
    stamp = headers["x-amz-date"]
    names = sorted(headers)
    signed = ";".join(names)
    lines = ["POST", "/", "", *(f"{name}:{' '.join(headers[name].split())}" for name in names), "", signed]
    canonical = "\n".join([*lines, sha256(body).hexdigest()])
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{keys[1]}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"AWS4-HMAC-SHA256 Credential={keys[0]}/{scope}, SignedHeaders={signed}, Signature={signature}"


def over_tls(host: str, port: int, sent: bytes, until: Deadline) -> tuple[int, str, bytes]:
    """Send the bytes to a host over TLS; return the answer's status, date and body. Raises OSError.

    The system's trust store must vouch for the host. The exchange runs in a process of its own because a name
    look-up has no time-out: we kill the process when the time is up.
    """
    import select
    import ssl  # noqa: F401 (before the fork, so that a second try does not import it again)

    seconds = until.left()
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        _talk(writes, host, port, sent, until)
    os.close(writes)
    data, chunk = b"", b"?"
    try:
        while chunk:
            if not select.select([reads], [], [], until.left())[0]:
                raise TimeoutError(f"nothing within {seconds:.1f} s")
            chunk = os.read(reads, 65536)
            data += chunk
        status, date, body = data.split(b"\n", 2)
        return int(status), date.decode(), body
    except ValueError:
        raise OSError(data[:500].decode(errors="replace") or "no answer") from None
    finally:
        os.close(reads)
        os.kill(child, 9)
        os.waitpid(child, 0)


def _talk(pipe: int, host: str, port: int, sent: bytes, until: Deadline) -> None:
    """Write the host's answer, or the error, into the pipe; then end this process."""
    try:
        with os.fdopen(pipe, "wb") as file:
            try:
                file.write(_exchange(host, port, sent, until))
            except Exception as error:
                file.write(repr(error).encode())
    finally:
        os._exit(0)


def _exchange(host: str, port: int, sent: bytes, until: Deadline) -> bytes:
    import socket
    import ssl

    for context in _contexts():
        link = socket.create_connection((host, port), until.left())
        try:
            link = context.wrap_socket(link, server_hostname=host)
            break
        except ssl.SSLCertVerificationError as error:
            reason = error
    else:
        raise reason
    link.sendall(sent)
    # Imported only now, while the answer is on its way: the import takes longer than everything before it.
    from http.client import HTTPResponse

    answer = HTTPResponse(link)
    answer.begin()
    body = answer.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes came")
    return f"{answer.status}\n{answer.getheader('Date', '')}\n".encode() + body


def _contexts() -> Iterator[SSLContext]:
    """TLS contexts that use the system's trust store, the quick one first.

    Reading the whole store takes 20 to 40 ms. If the system has a folder whose files are named by OpenSSL's
    hashes, as Debian does, OpenSSL reads only the one authority that it needs. If the folder or the authority
    is missing, the whole store decides.
    """
    import ssl

    folder = ssl.get_default_verify_paths().openssl_capath
    for quick in (os.path.isdir(folder) and len(os.listdir(folder)) > 9, False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if quick:
            context.load_verify_locations(capath=folder)
        else:
            context.set_default_verify_paths()
        yield context
