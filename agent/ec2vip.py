#!/usr/bin/python3 -IS
"""OCF resource agent: which node's network interface a VPC delivers a floating private IP (the VIP) to.

It owns the EC2 side, a secondary address of one interface; IPaddr2, on the same node, the OS side. EC2 gives an
address to one interface at a time and moves it in one step: EC2 is the arbiter.

start assigns with AllowReassignment: one call, nothing asked before or after it. IMDS follows in a second
to a minute (aws/amazon-vpc-cni-k8s#1872, #1975). After a refusal the API is asked who has the VIP: if this
interface has, all is well. Where the API does not answer, the peer may have better luck, and start fails in good
time for that; the only node that is left goes on for ALONE_TIME.

monitor reads IMDS alone while the VIP is there. "Absent" may be lag, so the API must confirm it before
NOT_RUNNING. "Present" is confirmed too in a probe and where no record says that the VIP is held, for the
cluster builds on that. While the API cannot be asked, the record stands, UNKNOWN_LIMIT monitors long; then
ERR_GENERIC. A probe without a record goes by IMDS; with IMDS silent too it is ERR_GENERIC: one restart of
the resource, where ERR_INSTALLED would ban this node from it unseen.

A theft goes unnoticed while IMDS is stale: a minute as a rule, until a reboot at worst
(aws/amazon-vpc-cni-k8s#3887). That is safe: the VPC sends a stale holder nothing, and drops what it sends
from an address not its own (source/destination check). When the cluster's halves meet it finds two holders
and restarts the resource; stop cannot take the VIP from the peer.

stop unassigns from this interface only. If the API refuses or cannot be reached it logs that and succeeds:
IPaddr2 stops with it, so nothing answers here; the peer's start takes the VIP whether or not it was
given back; a failed stop (on-fail=block) would keep it dark until a person comes.

No ping-pong: nodes that do not see each other both start, and the last call wins. The loser's monitor says
NOT_RUNNING, which with migration-threshold=1 bans the node until failure-timeout. The partition may last
longer, so the loss is recorded with the taker and Corosync's ring id: start does not take the VIP back from
that taker in that same ring. One partition, one move. It is lifted when the ring changes (the peer was seen
again, then died), when the taker has not the VIP any more, by `pcs resource cleanup`, by a migration, and
after LOST_HOLD: the taker may have died unseen in that partition, and the VIP must not stay dark for that.

A planned move is one call: migrate_from, on the peer, takes the VIP, and migrate_to has only noted on the old
holder that its stop, which follows, need not ask EC2. Where the peer never took it, that stop leaves the VIP
assigned to a node that does not answer for it, as a stop without the API does, and the next start, wherever
that is, moves it. The note is good for HANDOVER_TIME, and a start or a monitor that finds the VIP here ends it.

A wrong clock makes EC2 refuse what it signs. Such a refusal came over TLS and tells the time: the call is signed
once more by that, and how far off the clock was is kept for the next. How long credentials last is told by IMDS's
own clock, against which their end is set, and counted on the monotonic one.

-I: a clean environment; -S: `site` is wanted with botocore only. IMDS is read over a bare socket (importing
http.client takes as long as the rest of monitor); EC2 over http.client and ssl with the system's trust
store, signed by botocore's SigV4Auth (building botocore's EC2 client takes 0.1 s more).
"""
# No pathlib, for its import takes 8 ms.
# ruff: noqa: PTH103, PTH105, PTH120, PTH123

from __future__ import annotations

import json
import os
import socket
import sys
import time
from ipaddress import IPv4Address, IPv4Network

TYPE_CHECKING = False  # importing typing takes 7 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from xml.etree.ElementTree import Element

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

SUCCESS, ERR_GENERIC, ERR_ARGS, ERR_UNIMPLEMENTED, ERR_PERM = range(5)
ERR_INSTALLED, ERR_CONFIGURED, NOT_RUNNING = range(5, 8)

# Seconds. An action ends within its bound and LOAD_TIME, far below the operation's 60 s: the failure is then
# the agent's own answer, with a reason, and recovery goes on.
BOUND = {
    "start": 20.0,
    "migrate_from": 20.0,
    "stop": 12.0,
    "monitor": 12.0,
    "validate-all": 5.0,
    "migrate_to": 5.0,
}
ALONE_TIME = 30.0  # more, for a start on the only node that is left: failing would only ban it for a while
LOAD_TIME = 2.0  # the interpreter and its imports on a busy node
IMDS_SHARE = 4.0  # of a bound, at most
IMDS_TIMEOUT = 1.0  # one exchange; a healthy IMDS takes milliseconds
IMDS_PAUSE = 0.2
API_TIMEOUT = 5  # one exchange with EC2; seen: 0.3 to 0.6 s
API_PAUSE, API_PAUSE_MAX = 0.2, 3.0  # doubling, jittered
API_PAGES = 20
TRY_TIME = 0.3  # with less than that left another try would only hide why the last one failed
QUORUM_TIMEOUT = 2.0
SETTLE_TIME = 15.0  # so long after a start EC2's own "absent" may be "eventual consistency"
# Monitors in a row: at an interval of 10 s a minute, twice the longest IMDS outage on record
# (30 s, amazonlinux/amazon-ec2-net-utils#52).
UNKNOWN_LIMIT = 6
LOST_HOLD = 3600.0  # a VIP that was taken is not taken back within the same membership
KEYS_MARGIN = 300.0  # IMDS has new credentials five minutes before the old ones end
HANDOVER_TIME = 30.0  # from migrate_to to stop: the peer's migrate_from, and what the cluster takes around it
# EC2 takes what was signed within five minutes of its own time. An answer's date that is no further off than the
# less is not why it refused; one that is further off than the more is no clock's error that could be trusted.
SKEW_MIN, SKEW_MAX = 60.0, 86400.0

# Far below the cluster's stickiness: it only decides where two nodes have the VIP.
PREFERENCE = 100
PREFER_AFTER = 0.3  # seconds: IPaddr2 has begun by then; a woken peer takes half a second to meet
PREFER = 'sleep "$1"; exec cibadmin --modify --allow-create --scope constraints --xml-text "$2"'

IMDS_ADDRESS = ("169.254.169.254", 80)
QUORUMTOOL = "/usr/sbin/corosync-quorumtool"

PARAMETERS = (  # name, required, type, default, description
    ("ec2_vip", 1, "string", "", "Floating private IPv4 address, in the subnet of the interface."),
    ("interface", 0, "string", "", "OS name of the interface, as IPaddr2's nic. Default: the primary."),
    ("region", 0, "string", "", "AWS Region. Default: the instance's."),
    ("endpoint", 0, "string", "", "https URL of the EC2 API. Default: the Region's public one."),
    ("api_timeout", 0, "integer", str(API_TIMEOUT), "Seconds that one call to the EC2 API may take."),
)
ACTIONS = {  # advised timeout in seconds
    "start": 60,
    "stop": 60,
    "monitor": 60,
    "migrate_to": 20,
    "migrate_from": 60,
    "validate-all": 20,
    "meta-data": 5,
}

# EC2's error codes that are no verdict; an unknown interface is one's own just after a launch.
TRANSIENT = "RequestLimitExceeded Throttling ThrottlingException InternalError Unavailable ServiceUnavailable"
TRANSIENT += " InvalidNetworkInterfaceID.NotFound"
ROLE = "allow the action to the instance's role"
CLOCK = "check the node's clock (chronyc tracking) and the instance's role"
UNTIMELY = "AuthFailure RequestExpired SignatureDoesNotMatch InvalidClientTokenId ExpiredToken"
OTHER = "set ec2_vip to an unused address of the subnet"
# EC2's code, a piece of its message, ours, a remedy. Pacemaker goes on to the other node after ERR_PERM and
# ERR_ARGS, and gives up after ERR_CONFIGURED.
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


class AgentError(Exception):
    """Why an action failed, for a person to act on, and the OCF code by which Pacemaker does right."""

    def __init__(self, reason: str, code: int = ERR_GENERIC) -> None:
        super().__init__(reason)
        self.code = code


class UnansweredError(AgentError):
    """No usable answer came: nothing is known."""


class NoItemError(UnansweredError):
    """IMDS answered that it has no such item."""


class RefusedError(AgentError):
    """EC2 answered no."""


def log(level: str, text: str) -> None:
    """Log as ocf_log does: to the cluster's syslog facility, or else to stderr, which Pacemaker logs."""
    tag = os.environ.get("HA_LOGTAG") or f"ec2vip({os.environ.get('OCF_RESOURCE_INSTANCE', '')})"
    facility = os.environ.get("HA_LOGFACILITY") or "none"
    if facility == "none":
        print(f"{tag}: {level}: {text}", file=sys.stderr)
        return
    import syslog

    syslog.openlog(tag, syslog.LOG_PID, getattr(syslog, f"LOG_{facility.upper()}", syslog.LOG_DAEMON))
    syslog.syslog(getattr(syslog, f"LOG_{level}"), f"{level}: {text}")


class Deadline:
    """The moment by which a piece of work must have ended."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds to go, never 0: to a socket that means "do not wait"."""
        return max(0.001, self.end - time.monotonic())

    def sleep(self, seconds: float) -> bool:
        """Sleep, or return False at once if that would leave no time for another try."""
        if self.left() < seconds + TRY_TIME:
            return False
        time.sleep(seconds)
        return True


class Metadata:
    """The instance metadata service, IMDSv2. Methods raise UnansweredError for want of a usable answer."""

    def __init__(self, deadline: Deadline, interface: str, address: tuple[str, int]) -> None:
        self.deadline, self.interface, self.address = deadline, interface, address
        self.token = self.path = self.date = ""

    def addresses(self) -> list[str]:
        """The private IPv4 addresses that EC2 delivers to the interface, the primary first."""
        found = self._of_interface("local-ipv4s").split()
        if not found or not all(map(is_ipv4, found)):
            raise UnansweredError(f"IMDS lists no usable addresses: {found}")
        return found

    def identity(self) -> dict[str, str]:
        """The interface (eni, subnet, cidr, primary) and where its API is (region, domain)."""
        return {
            "eni": self._of_interface("interface-id"),
            "subnet": self._of_interface("subnet-id"),
            "cidr": self._of_interface("subnet-ipv4-cidr-block"),
            "primary": self.addresses()[0] if self.interface else self._get("local-ipv4"),
            "region": self._get("placement/region"),
            "domain": self._get("services/domain"),
        }

    def credentials(self) -> tuple[dict[str, str], float]:
        """The role's AccessKeyId, SecretAccessKey and Token, and for how many seconds they are good.

        Raises AgentError if the instance has no role.
        """
        from datetime import datetime, timezone
        from email.utils import parsedate_to_datetime

        try:
            role = self._get("iam/security-credentials/").split()[0]
            answer = json.loads(self._get(f"iam/security-credentials/{role}"))
            keys = {name: answer[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")}
            now = parsedate_to_datetime(self.date) if self.date else datetime.now(timezone.utc)
            end = datetime.fromisoformat(answer["Expiration"].replace("Z", "+00:00"))
            return keys, (end - now).total_seconds()
        except NoItemError:
            raise AgentError("the instance has no role; attach an instance profile", ERR_PERM) from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UnansweredError(f"IMDS gave no usable credentials: {error!r}") from None

    def _of_interface(self, item: str) -> str:
        if self.interface and not self.path:
            try:
                with open(f"/sys/class/net/{self.interface}/address") as file:
                    self.path = file.read().strip().lower()
            except OSError:
                reason = f"interface {self.interface!r} is not on this node; set one that ip link shows"
                raise AgentError(reason, ERR_ARGS) from None
        self.path = self.path or self._get("mac")
        return self._get(f"network/interfaces/macs/{self.path}/{item}")

    def _get(self, item: str) -> str:
        while True:
            try:
                if not self.token:
                    self.token = self._exchange("PUT", "api/token", "-ttl-seconds: 60")
                return self._exchange("GET", f"meta-data/{item}", f": {self.token}")
            except NoItemError:
                raise
            except (UnansweredError, OSError, ValueError) as error:
                self.token = ""  # 401: it has expired
                if not self.deadline.sleep(IMDS_PAUSE):
                    raise UnansweredError(f"no answer from IMDS for {item}: {error}") from None

    def _exchange(self, method: str, item: str, token: str) -> str:
        """One exchange, in HTTP/1.0 so that an answer comes in one piece."""
        until = Deadline(min(IMDS_TIMEOUT, self.deadline.left()))
        request = f"{method} /latest/{item} HTTP/1.0\r\nHost: {self.address[0]}\r\n"
        with socket.create_connection(self.address, until.left()) as link:
            link.sendall(f"{request}X-aws-ec2-metadata-token{token}\r\n\r\n".encode())
            answer, chunk, body, size = b"", b"?", b"", -1
            while chunk and len(body) != size:
                link.settimeout(until.left())
                chunk = link.recv(65536)
                answer += chunk
                head, _, body = answer.partition(b"\r\n\r\n")
                stated = head.lower().partition(b"\r\ncontent-length:")[2].split()
                size = int(stated[0]) if stated else -1
        self.date = head.partition(b"\r\nDate: ")[2].partition(b"\r\n")[0].decode()
        status = head.split()[1:2]
        if status == [b"404"]:
            raise NoItemError(f"IMDS has no {item}")
        if status != [b"200"] or not body or size not in (-1, len(body)):
            raise UnansweredError(f"{head[:40]!r} and {len(body)} bytes came")
        return body.decode().strip()


class Ec2:
    """The three calls to the EC2 API that a floating address takes, for one interface.

    Methods raise UnansweredError if there is no answer by the deadline, having tried again, and RefusedError
    by the table REFUSALS.
    """

    def __init__(self, record: Record, deadline: Deadline, given: Mapping[str, str]) -> None:
        self.record, self.me, keys = record, record.identity, record.credentials
        self.deadline, self.timeout = deadline, float(given["api_timeout"])
        self.region = given["region"] or self.me["region"]
        self.endpoint = given["endpoint"].rstrip("/") or f"https://ec2.{self.region}.{self.me['domain']}"
        # The names that botocore's signer reads.
        self.access_key, self.secret_key = keys["AccessKeyId"], keys["SecretAccessKey"]
        self.token = keys["Token"]

    def assign(self, vip: str) -> None:
        """Move the address here from wherever it is."""
        mine = {"NetworkInterfaceId": self.me["eni"], "PrivateIpAddress.1": vip}
        self._call("AssignPrivateIpAddresses", {**mine, "AllowReassignment": "true"})

    def unassign(self, vip: str) -> None:
        """Take the address off this interface."""
        mine = {"NetworkInterfaceId": self.me["eni"], "PrivateIpAddress.1": vip}
        self._call("UnassignPrivateIpAddresses", mine)

    def owner(self, vip: str) -> tuple[str, bool]:
        """The subnet's interface that has the address ("" if none has), and whether as its primary.

        With filters: that is the larger request allowance, one interface at most, and "none" is no error.
        """
        query = {"Filter.1.Name": "addresses.private-ip-address", "Filter.1.Value.1": vip}
        query.update({"Filter.2.Name": "subnet-id", "Filter.2.Value.1": self.me["subnet"]})
        for _ in range(API_PAGES):
            answer = self._call("DescribeNetworkInterfaces", query)
            for eni in answer.iterfind("{*}networkInterfaceSet/{*}item"):
                for item in eni.iterfind("{*}privateIpAddressesSet/{*}item"):
                    if item.findtext("{*}privateIpAddress") == vip:
                        primary = item.findtext("{*}primary") == "true"
                        return eni.findtext("{*}networkInterfaceId", ""), primary
            query["NextToken"] = answer.findtext("{*}nextToken") or ""
            if not query["NextToken"]:
                return "", False
        raise UnansweredError(f"EC2's list of interfaces goes on after {API_PAGES} pages")

    def _call(self, action: str, query: Mapping[str, str]) -> Element:
        pause = API_PAUSE
        while True:
            try:
                return self._attempt(action, query)
            except UnansweredError as error:
                from random import uniform

                if not self.deadline.sleep(uniform(pause / 2, pause)):  # noqa: S311 (no secret)
                    raise
                log("WARNING", f"{error}; trying again")
                pause = min(2 * pause, API_PAUSE_MAX)

    def _attempt(self, action: str, query: Mapping[str, str], last: bool = False) -> Element:
        from http.client import HTTPException, HTTPSConnection
        from urllib.parse import urlencode

        seconds = min(self.timeout, self.deadline.left())
        body = urlencode({"Action": action, "Version": "2016-11-15", **query}).encode()
        headers = self._signed(body)

        def exchange() -> tuple[int, bytes, str]:
            link = HTTPSConnection(self.endpoint[8:], timeout=seconds)
            try:
                link.request("POST", "/", body, headers)
                answer = link.getresponse()
                return answer.status, answer.read(), answer.getheader("Date", "")
            finally:
                link.close()

        try:
            status, text, date = bounded(exchange, seconds)
        except (OSError, HTTPException) as error:
            raise UnansweredError(f"{action}: no answer from {self.endpoint}: {error!r}") from None
        from xml.etree.ElementTree import ParseError, fromstring

        try:
            answer = fromstring(text)  # noqa: S314 (from EC2, over TLS)
        except ParseError:
            raise UnansweredError(f"{action}: {self.endpoint} answered {status} without XML") from None
        if status == 200 and answer.tag.endswith(f"{action}Response"):
            return answer
        name, message = answer.findtext(".//{*}Code") or "?", answer.findtext(".//{*}Message") or ""
        # Some messages go on in a kilobyte of code.
        reason = f"{action} on {self.me['eni']}: {status} {name}: {message[:300]}"
        if not 400 <= status < 500 or name in TRANSIENT.split():
            raise UnansweredError(reason)
        if name in UNTIMELY.split() and not last and self._corrected(date):
            log(
                "WARNING",
                f"{reason}; this clock is {-self.record.skew:.0f} s ahead of EC2's: signing by EC2's",
            )
            return self._attempt(action, query, last=True)
        code, remedy = next(row[2:] for row in REFUSALS if row[0] in ("", name) and row[1] in message)
        raise RefusedError(f"{reason}; {remedy}", code)

    def _corrected(self, date: str) -> bool:
        """Go by the time that an answer tells; False if it was signed by that time already."""
        from email.utils import parsedate_to_datetime

        try:
            skew = parsedate_to_datetime(date).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return False
        if abs(skew - self.record.skew) < SKEW_MIN or abs(skew) > SKEW_MAX:
            return False
        self.record.skew = skew
        return True

    def _signed(self, body: bytes) -> dict[str, str]:
        sign, request_type = signer()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + self.record.skew))

        class Signer(sign):  # type: ignore[misc, valid-type]
            def canonical_request(self, request: AWSRequest) -> str:
                # All that comes after it takes the time from here.
                request.context["timestamp"] = stamp
                del request.headers["X-Amz-Date"]
                request.headers["X-Amz-Date"] = stamp
                return str(super().canonical_request(request))

        form = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
        request = request_type("POST", f"{self.endpoint}/", form, body)
        Signer(self, "ec2", self.region).add_auth(request)
        return dict(request.headers.items())


def signer() -> tuple[type[SigV4Auth], type[AWSRequest]]:
    """botocore's signer and its request. Raises AgentError if there is no botocore."""
    if "site" not in sys.modules:
        import site

        site.main()  # what -S left out
    try:
        # urllib3 would take it in place of ssl: 25 ms, and nothing is sent by urllib3.
        sys.modules.setdefault("OpenSSL", None)  # type: ignore[arg-type]
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
    except Exception as error:  # a broken one raises whatever it likes
        reason = f"{sys.executable} has no botocore ({error}); install python3-botocore"
        raise AgentError(reason, ERR_INSTALLED) from None
    return SigV4Auth, AWSRequest


def preload() -> None:
    """Import what a call to EC2 needs, in the background, while IMDS is asked: 30 ms less until the call."""
    import threading

    def load() -> None:
        try:
            signer()
            import http.client  # noqa: F401
        except AgentError:
            pass  # said where it is needed

    sys.setswitchinterval(0.0005)  # IMDS's answers need not wait for the import
    threading.Thread(target=load, daemon=True).start()


def bounded(work: Callable[[], tuple[int, bytes, str]], seconds: float) -> tuple[int, bytes, str]:
    """What work() returns or raises, or TimeoutError after `seconds`.

    In a thread, for a name look-up knows no time-out and a peer that trickles outlasts a socket's.
    """
    import threading

    results: list[tuple[int, bytes, str] | Exception] = [TimeoutError(f"nothing within {seconds:.1f} s")]

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if isinstance(results[-1], Exception):
        raise results[-1]
    return results[-1]


def prefer(environ: Mapping[str, str]) -> None:
    """Tell the cluster, in the background, that this node took the VIP last.

    A holder that stood still for longer than the token wakes believing it has the VIP still, and the halves meet
    with two holders. By this constraint Pacemaker starts the VIP on the right one; it is the cluster's newest
    configuration, so that it wins over the woken half's. Not at once, for Pacemaker would work its transition out
    anew in the middle.
    """
    resource, node = environ.get("OCF_RESOURCE_INSTANCE"), environ.get("OCF_RESKEY_CRM_meta_on_node")
    if not resource or not node:
        return
    place = f'<rsc_location id="{resource}-taker" rsc="{resource}" node="{node}" score="{PREFERENCE}"/>'
    words = ["sh", "-c", PREFER, "sh", str(PREFER_AFTER), place]
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    try:
        os.posix_spawn("/bin/sh", words, dict(os.environ), file_actions=null)
    except OSError as error:
        log("WARNING", f"cannot tell the cluster who took the VIP: {error}")


class Record:
    """What a node keeps from call to call, in a file of root's on a tmpfs: a reboot forgets it.

    The credentials are there so that stop can do its work while IMDS is down.
    """

    def __init__(self, path: str, vip: str) -> None:
        self.vip = vip
        self.held = False  # start was accepted, or the API said so, and no stop since
        self.handed = 0.0  # when migrate_to left the VIP to the peer; 0: it did not
        self.since = 0.0  # when start was accepted (time.monotonic: the same clock for all processes)
        self.unknown = 0  # monitors in a row without an answer
        self.lost = ["", ""]  # the interface that took the VIP, and Corosync's ring then
        self.lost_at = 0.0
        self.identity: dict[str, str] = {}
        self.credentials: dict[str, str] = {}
        self.expiry = 0.0  # when they end (time.monotonic)
        self.skew = 0.0  # seconds that EC2's clock is ahead of this node's
        kept, self._saved = vars(self).copy(), ""
        self._path = path
        try:
            with open(path) as file:
                text = file.read()
            found = json.loads(text)
            if found.keys() == kept.keys() and found["vip"] == vip:
                vars(self).update(found, _saved=text)
        except (OSError, ValueError, AttributeError):
            pass  # none, or not ours: nothing is known

    def save(self) -> bool:
        """Write the file if anything has changed; False if that fails."""
        text = json.dumps({name: value for name, value in vars(self).items() if name[0] != "_"})
        try:
            if text != self._saved:
                os.makedirs(os.path.dirname(self._path), exist_ok=True)
                handle = os.open(self._path + "~", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with open(handle, "w") as file:
                    file.write(text)
                os.replace(self._path + "~", self._path)
                self._saved = text
        except OSError as error:
            log("WARNING", f"cannot keep a record: {error}")
            return False
        return True

    def keys_last(self, seconds: float) -> bool:
        """Whether the kept credentials will be good in `seconds` from now."""
        return time.monotonic() + seconds < self.expiry


def quorum(item: str) -> str:
    """What Corosync says of its membership, as `Ring ID`, a new one for each change; "" if it says nothing."""
    import subprocess

    try:
        done = subprocess.run([QUORUMTOOL, "-s"], capture_output=True, text=True, timeout=QUORUM_TIMEOUT)
    except (OSError, subprocess.SubprocessError):
        return ""
    return "".join(done.stdout.partition(f"\n{item}:")[2].split()[:1])


class Agent:
    """The actions on clients handed in. Each returns an OCF code or raises AgentError."""

    def __init__(
        self,
        vip: str,
        imds: Metadata,
        connect: Callable[[Record], Ec2],
        record: Record,
        quorum: Callable[[str], str] = quorum,
        probe: bool = False,
    ) -> None:
        self.vip, self.imds, self.connect = vip, imds, connect
        self.record, self.quorum, self.probe = record, quorum, probe

    def act(self, action: str) -> int:
        """Carry out an action, and keep what is known after it."""
        steps = {"start": self.start, "migrate_from": lambda: self.start(planned=True), "stop": self.stop}
        try:
            return {**steps, "monitor": self.monitor, "migrate_to": self.hand_over}[action]()
        finally:
            self.record.save()

    def start(self, planned: bool = False) -> int:
        """Have EC2 deliver the VIP here; if not planned, not by taking it back."""
        try:
            eni = self._take(planned)
        except UnansweredError as error:
            if self.quorum("Nodes") != "1":
                raise
            log("WARNING", f"{error}; no other node is there to try, so this one goes on")
            eni = self._take(planned, Deadline(ALONE_TIME))
        self.record.held, self.record.since = True, time.monotonic()
        self.record.unknown, self.record.lost = 0, ["", ""]
        log("INFO", f"{self.vip} assigned to {eni}")
        return SUCCESS

    def _take(self, planned: bool, until: Deadline | None = None) -> str:
        self.record.handed = 0.0
        if until:
            self.imds.deadline = until
        ec2, eni = self._ec2()
        if until:
            ec2.deadline = until
        self.check(self.record.identity)
        if not planned:
            self._check_not_lost(ec2)
        try:
            ec2.assign(self.vip)
        except RefusedError as refusal:
            # EC2 may refuse what is done already.
            if refusal.code == ERR_PERM or self._owner(ec2, refusal) != (eni, False):
                raise
        return eni

    def hand_over(self) -> int:
        """Leave the VIP to the peer, whose migrate_from is next; the stop after that has nothing to give back."""
        self.record.handed = time.monotonic()
        return SUCCESS

    def stop(self) -> int:
        """Have EC2 stop delivering the VIP here, or leave that to the next start."""
        record, handed = self.record, self.record.handed
        record.held, record.unknown, record.handed = False, 0, 0.0
        if handed and time.monotonic() - handed < HANDOVER_TIME:
            log("INFO", f"{self.vip} was handed over; nothing to give back")
            return SUCCESS
        try:
            ec2, eni = self._ec2()
            if self.vip != record.identity["primary"]:
                try:
                    ec2.unassign(self.vip)
                except RefusedError as refusal:
                    if refusal.code == ERR_PERM or self._owner(ec2, refusal)[0] == eni:
                        raise
                log("INFO", f"{self.vip} is not on {eni} any more")
        except AgentError as error:
            log("ERR", f"{self.vip} may still be assigned here; the next start moves it: {error}")
        return SUCCESS

    def monitor(self) -> int:
        """Whether EC2 delivers the VIP here."""
        record, listed = self.record, None
        try:
            listed = self.vip in self.imds.addresses()
            if listed and record.held and not self.probe:
                return self._held()
        except UnansweredError as error:
            log("WARNING", str(error))
        try:
            ec2, eni = self._ec2()
            owner, primary = ec2.owner(self.vip)
        except AgentError as error:
            return self._unconfirmed(listed, error)
        if owner == eni:
            if primary:
                self.check({**self.record.identity, "primary": self.vip})
            return self._held()
        if record.held and 0 <= time.monotonic() - record.since < SETTLE_TIME:
            return SUCCESS
        if self.probe:
            record.lost = ["", ""]
        elif record.held:
            log("WARNING", f"{self.vip} has gone from {eni} to {owner or 'nobody'}")
            record.lost, record.lost_at = [owner, self.quorum("Ring ID") if owner else ""], time.monotonic()
        record.held, record.unknown = False, 0
        return NOT_RUNNING

    def _held(self) -> int:
        self.record.held, self.record.unknown, self.record.handed = True, 0, 0.0
        try:
            if not self.record.keys_last(KEYS_MARGIN):
                self._ec2()
        except AgentError as error:
            log("WARNING", f"no new credentials to keep: {error}")
        return SUCCESS

    def _unconfirmed(self, listed: bool | None, error: AgentError) -> int:
        """The answer while the API, which has the last word, cannot be asked."""
        record = self.record
        if self.probe or not record.held:
            log("WARNING", f"going by IMDS and this node's record of {self.vip}: {error}")
            if listed or record.held:
                return SUCCESS
            if self.probe and listed is False:
                return NOT_RUNNING
            raise AgentError(f"neither IMDS nor EC2 tells where {self.vip} is: {error}")
        record.unknown += 1
        if not record.save() or record.unknown >= UNKNOWN_LIMIT:
            raise AgentError(f"unknown {record.unknown} times in a row if {self.vip} is here: {error}")
        log("WARNING", f"unknown ({record.unknown} of {UNKNOWN_LIMIT}) if {self.vip} is here: {error}")
        return SUCCESS

    def validate(self) -> int:
        """Whether this node has botocore, and the VIP fits it as far as IMDS tells."""
        signer()
        try:
            self.check(self.imds.identity())
        except UnansweredError as error:
            log("WARNING", f"not checked against the node: {error}")
        return SUCCESS

    def check(self, me: Mapping[str, str]) -> None:
        """Raise AgentError if the VIP cannot be a secondary address of the interface."""
        if self.vip == me["primary"]:
            reason = f"ec2_vip {self.vip} is the primary address of {me['eni']}; {OTHER}"
            raise AgentError(reason, ERR_CONFIGURED)
        if IPv4Address(self.vip) not in IPv4Network(me["cidr"]):
            reason = f"ec2_vip {self.vip} is outside {me['cidr']}, this node's subnet; {OTHER}"
            raise AgentError(reason, ERR_ARGS)

    def _check_not_lost(self, ec2: Ec2) -> None:
        taker, ring = self.record.lost
        if not ring or time.monotonic() - self.record.lost_at > LOST_HOLD or ring != self.quorum("Ring ID"):
            return
        if ec2.owner(self.vip)[0] == taker:
            reason = f"{taker} took {self.vip} and has it, and the cluster's membership is the same since"
            raise AgentError(f"{reason}; not taking it back (pcs resource cleanup overrides)")

    def _owner(self, ec2: Ec2, refusal: RefusedError) -> tuple[str, bool]:
        try:
            return ec2.owner(self.vip)
        except UnansweredError:
            raise refusal from None

    def _ec2(self) -> tuple[Ec2, str]:
        record = self.record
        try:
            record.identity, (record.credentials, good) = self.imds.identity(), self.imds.credentials()
            record.expiry = time.monotonic() + good
        except UnansweredError:
            if not record.keys_last(0):
                raise
        return self.connect(record), record.identity["eni"]


def is_ipv4(text: str) -> bool:
    """Whether the text is an IPv4 address in its one usual form."""
    try:
        return str(IPv4Address(text)) == text
    except ValueError:
        return False


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The parameters, defaults filled in. Raises AgentError: value, rule, remedy."""
    given = {name: environ.get(f"OCF_RESKEY_{name}") or default for name, _, _, default, _ in PARAMETERS}
    seconds = given["api_timeout"]
    rules = (
        ("ec2_vip", is_ipv4(given["ec2_vip"]), "an IPv4 address such as 10.0.0.10"),
        ("interface", "/" not in given["interface"], "a name that ip link shows"),
        ("endpoint", given["endpoint"][:8] in ("", "https://"), "an https:// URL"),
        ("api_timeout", seconds.isdecimal() and 1 <= int(seconds) <= 12, "1 to 12 whole seconds"),
    )
    for name, fits, rule in rules:
        if not fits:
            raise AgentError(f"{name} {given[name]!r} is not {rule}; set it to one", ERR_CONFIGURED)
    return given


def run(action: str, environ: Mapping[str, str], imds: tuple[str, int]) -> int:
    """Carry out an action on this node; an OCF code. Raises AgentError."""
    given = settings(environ)
    deadline = Deadline(BOUND[action])
    name = environ.get("OCF_RESOURCE_INSTANCE", "default").replace("/", "_")
    agent = Agent(
        given["ec2_vip"],
        Metadata(Deadline(min(IMDS_SHARE, BOUND[action])), given["interface"], imds),
        lambda record: Ec2(record, deadline, given),
        Record(f"{environ.get('HA_RSCTMP') or '/run/resource-agents'}/ec2vip-{name}.json", given["ec2_vip"]),
        probe=environ.get("OCF_RESKEY_CRM_meta_interval") == "0",
    )
    if action == "validate-all":
        return agent.validate()
    if action not in ("monitor", "migrate_to"):
        preload()
    code = agent.act(action)
    if action in ("start", "migrate_from"):
        prefer(environ)
    return code


def meta_data() -> str:
    """The agent's description by the OCF resource agent API 1.1."""
    text = """<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="ec2vip" version="1.0">
<version>1.1</version>
<longdesc lang="en">Holds a floating private IPv4 address as a secondary address of this EC2 instance's
network interface. IPaddr2, on the same node, holds the same address in the OS.</longdesc>
<shortdesc lang="en">Floating private IP on EC2</shortdesc>
<parameters>
"""
    for name, required, kind, default, about in PARAMETERS:
        text += f'<parameter name="{name}" required="{required}" unique="{required}">\n'
        text += f'<longdesc lang="en">{about}</longdesc>\n'
        text += f'<shortdesc lang="en">{about.split(".")[0]}</shortdesc>\n'
        given = f' default="{default}"' if default else ""
        text += f'<content type="{kind}"{given}/>\n</parameter>\n'
    text += "</parameters>\n<actions>\n"
    for name, timeout in ACTIONS.items():
        every = ' interval="10s" depth="0"' if name == "monitor" else ""
        text += f'<action name="{name}" timeout="{timeout}s"{every}/>\n'
    return text + "</actions>\n</resource-agent>"


def main(arguments: list[str], environ: Mapping[str, str], imds: tuple[str, int] = IMDS_ADDRESS) -> int:
    """Carry out the action named; the exit code. The reason of a failure goes to stderr."""
    action = arguments[0] if len(arguments) == 1 else ""
    if action == "meta-data":
        print(meta_data())
        return SUCCESS
    if action not in ACTIONS:
        usage = action == "usage"
        print(f"usage: ec2vip {{{'|'.join(ACTIONS)}|usage}}", file=sys.stdout if usage else sys.stderr)
        return SUCCESS if usage else ERR_UNIMPLEMENTED
    try:
        return run(action, environ, imds)
    except AgentError as error:
        reason, code = " ".join(str(error).split()), error.code
    except Exception as error:  # our own fault must not pass for an answer
        reason, code = f"unexpected {error!r}", ERR_GENERIC
    print(f"ocf-exit-reason:{reason}", file=sys.stderr)
    log("ERR", f"{action}: {reason}")
    return code


if __name__ == "__main__":
    exit_code = main(sys.argv[1:], os.environ)
    sys.stdout.flush()
    os._exit(exit_code)  # at once: no tidying up, and no waiting for a thread that hangs in a name look-up
