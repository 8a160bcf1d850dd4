"""The three calls of the EC2 API that a floating address needs, and what each refusal means."""

from __future__ import annotations

from agent.api import Api
from agent.outcome import ERR_ARGS, ERR_CONFIGURED, ERR_GENERIC, ERR_PERM, RefusedError, UnansweredError, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

    from agent.outcome import Deadline
    from agent.record import Record

API_PAUSE, API_PAUSE_MAX = 0.2, 3.0  # seconds; doubling, jittered

# EC2's error codes that call for another try. Just after a launch EC2 may not know our own interface yet.
TRANSIENT = "RequestLimitExceeded Throttling ThrottlingException InternalError Unavailable ServiceUnavailable"
TRANSIENT += " InvalidNetworkInterfaceID.NotFound"
ROLE = "allow the action to the instance's role"
CLOCK = "check the node's clock (chronyc tracking) and the instance's role"
UNTIMELY = "AuthFailure RequestExpired SignatureDoesNotMatch InvalidClientTokenId ExpiredToken"
OTHER = "set ec2_vip to an unused address of the subnet"
# EC2's code, a piece of its message, our OCF code, a remedy. After ERR_PERM and ERR_ARGS Pacemaker tries the
# other node; after ERR_CONFIGURED it gives up.
REFUSALS = (
    ("UnauthorizedOperation", "", ERR_PERM, ROLE),
    ("AccessDenied", "", ERR_PERM, ROLE),
    *((name, "", ERR_PERM, CLOCK) for name in UNTIMELY.split()),
    ("PrivateIpAddressLimitExceeded", "", ERR_ARGS, "unassign another or take a larger instance type"),
    ("InvalidParameterValue", "secondary-addresses", ERR_CONFIGURED, f"another's primary address; {OTHER}"),
    ("InvalidParameterValue", "move is not allowed", ERR_ARGS, "unassign it from its interface"),
    ("InvalidParameterValue", "does not fall within", ERR_ARGS, OTHER),
    ("InvalidParameterValue", "reserved range", ERR_CONFIGURED, OTHER),
    ("InvalidParameterValue", "parameter address", ERR_CONFIGURED, OTHER),
    ("", "", ERR_GENERIC, "see EC2's error codes"),
)
UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


class Ec2:
    """EC2's calls for one interface, the record's.

    Methods try again until the deadline and then raise UnansweredError. If EC2 refuses, they raise RefusedError
    with a code from the table REFUSALS.
    """

    def __init__(self, record: Record, until: Deadline, endpoint: str = "") -> None:
        self.record, self.until = record, until
        self.api = Api("ec2", record, until, endpoint)

    def assign(self, vip: str) -> None:
        """Move the address here from wherever it is."""
        mine = {"NetworkInterfaceId": self.record.eni, "PrivateIpAddress.1": vip}
        self._call("AssignPrivateIpAddresses", {**mine, "AllowReassignment": "true"})

    def unassign(self, vip: str) -> None:
        """Take the address off this interface."""
        mine = {"NetworkInterfaceId": self.record.eni, "PrivateIpAddress.1": vip}
        self._call("UnassignPrivateIpAddresses", mine)

    def owner(self, vip: str) -> tuple[str, str]:
        """The subnet's interface that has the address, and its primary address; both "" if none has it.

        We ask with filters: such a request has the larger allowance, finds one interface at most, and "none" is
        not an error. Two interfaces are a picture from the middle of a move, so we ask again.
        """
        while True:
            found = self._owners(vip)
            if len(found) < 2:
                return found[0] if found else ("", "")
            if not self.until.sleep(API_PAUSE):
                raise UnansweredError(f"EC2 says that {' and '.join(eni for eni, _ in found)} have {vip}")

    def _owners(self, vip: str) -> list[tuple[str, str]]:
        query = {"Filter.1.Name": "addresses.private-ip-address", "Filter.1.Value.1": vip}
        query.update({"Filter.2.Name": "subnet-id", "Filter.2.Value.1": self.record.subnet})
        found = []
        while True:
            answer = self._call("DescribeNetworkInterfaces", query)
            for eni in answer.iterfind("{*}networkInterfaceSet/{*}item"):
                own, listed = "", []
                for item in eni.iterfind("{*}privateIpAddressesSet/{*}item"):
                    listed.append(item.findtext("{*}privateIpAddress", ""))
                    own = listed[-1] if item.findtext("{*}primary") == "true" else own
                if vip in listed:
                    found.append((eni.findtext("{*}networkInterfaceId", ""), own))
            query["NextToken"] = answer.findtext("{*}nextToken") or ""
            if not query["NextToken"]:
                return found

    def _call(self, action: str, query: Mapping[str, str]) -> Element:
        pause = API_PAUSE
        while True:
            try:
                return self._attempt(action, query)
            except UnansweredError as error:
                from random import uniform

                if not self.until.sleep(uniform(pause / 2, pause)):  # noqa: S311 (no secret)
                    raise
                log("WARNING", f"{error}; trying again")
                pause = min(2 * pause, API_PAUSE_MAX)

    def _attempt(self, action: str, query: Mapping[str, str], last: bool = False) -> Element:
        body = form({"Action": action, "Version": "2016-11-15", **query})
        content = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        status, date, text = self.api.post(content, body)
        from xml.etree.ElementTree import ParseError, fromstring

        try:
            answer = fromstring(text)  # noqa: S314 (from EC2, over TLS)
        except ParseError:
            raise UnansweredError(f"{action}: {status} without XML") from None
        if status == 200 and answer.tag.endswith(f"{action}Response"):
            return answer
        name, message = answer.findtext(".//{*}Code") or "?", answer.findtext(".//{*}Message") or ""
        # Some messages end in a kilobyte of encoded text.
        reason = f"{action} on {self.record.eni}: {status} {name}: {message[:300]}"
        if not 400 <= status < 500 or name in TRANSIENT.split():
            raise UnansweredError(reason)
        if name in UNTIMELY.split() and not last and self.api.learn_time(date):
            log("WARNING", f"{reason}; signing by EC2's clock, {self.record.skew:+.0f} s")
            return self._attempt(action, query, last=True)
        code, remedy = next(row[2:] for row in REFUSALS if row[0] in ("", name) and row[1] in message)
        raise RefusedError(f"{reason}; {remedy}", code)


def form(query: Mapping[str, str]) -> bytes:
    """The query as application/x-www-form-urlencoded."""
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query.items()).encode()


def _quoted(text: str) -> str:
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode())
