"""The instance metadata service, IMDSv2 (EC2 User Guide, "Access instance metadata for an EC2 instance")."""

from __future__ import annotations

# The C half of `socket`. The other half imports enum and selectors, which takes 4 ms of a monitor's 12.
import _socket

from agent.outcome import ERR_PERM, AgentError, NoItemError, UnansweredError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.outcome import Deadline

# Seconds.
IMDS_TIMEOUT = 1.0  # one exchange; a healthy IMDS takes milliseconds
IMDS_PAUSE = 0.2
MOST_BYTES = 65536  # the largest answer that we accept

ADDRESS = ("169.254.169.254", 80)
ROLES = "iam/security-credentials/"
KEYS = (("key_id", "AccessKeyId"), ("secret", "SecretAccessKey"), ("token", "Token"))  # our name, IMDS's
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # noqa: SIM905 (fewer bytes)
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:/+=,@")


class Metadata:
    """What IMDS tells this instance about itself. Methods raise UnansweredError if no usable answer comes."""

    def __init__(self, until: Deadline, address: tuple[str, int] = ADDRESS, mac: str = "") -> None:
        self.until, self.address, self.mac = until, address, mac
        self.token = self.date = ""

    def addresses(self) -> list[str]:
        """The private IPv4 addresses that EC2 delivers to the primary interface, its primary one first."""
        return self._interface("local-ipv4s", lambda text: all(map(is_ipv4, text.split()))).split()

    def identity(self) -> dict[str, str]:
        """The primary interface (mac, eni, subnet, cidr, primary address), the Region, AWS's domain there."""
        return {
            "primary": self.addresses()[0],
            "mac": self.mac,
            "eni": self._interface("interface-id", lambda text: is_name(text) and text.startswith("eni-")),
            "subnet": self._interface("subnet-id", lambda text: is_name(text) and text.startswith("subnet-")),
            "cidr": self._interface("subnet-ipv4-cidr-block", is_cidr),
            "region": self._get("placement/region"),
            "domain": self._get("services/domain"),
        }

    def credentials(self, role: str = "") -> tuple[dict[str, str], float]:
        """The role's name, key_id, secret and token, and the seconds that they stay valid by IMDS's clock.

        `role` is the role's name as last known; if that is empty or outdated, we ask for it. Raises AgentError
        if the instance has no role.
        """
        import json
        from datetime import datetime, timezone

        try:
            role, text = self._role(role)
            answer = json.loads(text)
            keys = {"role": role, **{ours: str(answer[theirs]) for ours, theirs in KEYS}}
            if not all(map(is_name, keys.values())):
                raise ValueError("a key is malformed")
            end = datetime.fromisoformat(answer["Expiration"].replace("Z", "+00:00")).timestamp()
            now = http_date(self.date) if self.date else datetime.now(timezone.utc).timestamp()
            return keys, end - now
        except NoItemError:
            raise AgentError("the instance has no role; attach an instance profile", ERR_PERM) from None
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            raise UnansweredError(f"IMDS gave no usable credentials: {error!r}") from None

    def _role(self, known: str) -> tuple[str, str]:
        """The role's name, and IMDS's text about it."""
        try:
            if known:
                return known, self._get(ROLES + known, bool)
        except NoItemError:
            pass  # the instance has another role now
        role = self._get(ROLES, lambda text: is_name(text.split()[0])).split()[0]
        return role, self._get(ROLES + role, bool)

    def _interface(self, item: str, fits: Callable[[str], bool]) -> str:
        self.mac = self.mac or self._get("mac").lower()
        return self._get(f"network/interfaces/macs/{self.mac}/{item}", fits)

    def _get(self, item: str, fits: Callable[[str], bool] | None = None) -> str:
        """The item's text, which `fits` must accept; by default it must be a name."""
        while True:
            try:
                if not self.token:
                    self.token = self._exchange("PUT", "api/token", "-ttl-seconds: 60")
                    if not is_name(self.token):
                        raise ValueError("the token is none")
                text = self._exchange("GET", f"meta-data/{item}", f": {self.token}")
                if not (fits or is_name)(text):
                    raise ValueError(f"{text[:40]!r} is none")
                return text
            except NoItemError:
                raise
            except (UnansweredError, OSError, ValueError, LookupError) as error:
                self.token = ""  # it may have expired (401)
                if not self.until.sleep(IMDS_PAUSE):
                    raise UnansweredError(f"no answer from IMDS for {item}: {error}") from None

    def _exchange(self, method: str, item: str, header: str) -> str:
        """The body of one answer. We speak HTTP/1.0, so it comes in one piece."""
        request = f"{method} /latest/{item} HTTP/1.0\r\nHost: {self.address[0]}\r\n"
        sent = f"{request}X-aws-ec2-metadata-token{header}\r\n\r\n".encode()
        head, body, size = exchange(self.address, sent, self.until.part(IMDS_TIMEOUT))
        self.date = head.partition("\r\nDate: ")[2].partition("\r\n")[0]
        status = head.split()[1:2]
        if status == ["404"]:
            raise NoItemError(f"IMDS has no {item}")
        if status != ["200"] or not body or size not in (-1, len(body)):
            raise UnansweredError(f"{head[:40]!r} and {len(body)} bytes came")
        return body.decode().strip()


def exchange(address: tuple[str, int], sent: bytes, until: Deadline) -> tuple[str, bytes, int]:
    """Send the bytes over a new connection; return the answer's head, body and stated size (-1 if none).

    Raises OSError. Raises ValueError if the answer has more than MOST_BYTES, or a malformed size.
    """
    link = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        link.settimeout(until.left())
        link.connect(address)
        link.sendall(sent)
        data, chunk, body, size = b"", b"?", b"", -1
        while chunk and len(body) != size:
            link.settimeout(until.left())
            chunk = link.recv(65536)
            data += chunk
            if len(data) > MOST_BYTES:
                raise ValueError(f"more than {MOST_BYTES} bytes came")
            head, _, body = data.partition(b"\r\n\r\n")
            stated = head.lower().partition(b"\r\ncontent-length:")[2].split()
            size = int(stated[0]) if stated else -1
        return head.decode("latin-1"), body, size
    finally:
        link.close()


def http_date(text: str) -> float:
    """The seconds since 1970 of an HTTP date (RFC 9110, 5.6.7). Raises ValueError."""
    from datetime import datetime

    try:
        _, day, month, year, clock, _ = text.split()
        moment = f"{year}-{MONTHS.index(month) + 1:02}-{day}T{clock}+00:00"
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no date") from None


def is_name(text: str) -> bool:
    """Whether the text is one word, made of the characters of identifiers, Regions, tokens and keys."""
    return bool(text) and NAME_CHARACTERS.issuperset(text)


def is_ipv4(text: str) -> bool:
    """Whether the text is an IPv4 address in canonical dotted form."""
    try:
        return len(_socket.inet_pton(_socket.AF_INET, text)) == 4
    except (OSError, ValueError):
        return False


def is_cidr(text: str) -> bool:
    """Whether the text is an IPv4 network, such as 10.0.0.0/24."""
    address, _, length = text.partition("/")
    return is_ipv4(address) and length.isdecimal() and int(length) <= 32


def contains(cidr: str, address: str) -> bool:
    """Whether the network contains the address."""
    network, _, length = cidr.partition("/")
    one, other = (int.from_bytes(_socket.inet_aton(text), "big") for text in (network, address))
    return (one ^ other) >> (32 - int(length)) == 0
