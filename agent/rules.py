"""What each action does and answers. docs/agent.md gives the reasons, with the fault behind each rule."""

from __future__ import annotations

import time

from agent.metadata import Metadata, contains
from agent.outcome import (
    ERR_ARGS,
    ERR_CONFIGURED,
    ERR_PERM,
    NOT_RUNNING,
    SUCCESS,
    AgentError,
    Deadline,
    RefusedError,
    UnansweredError,
    log,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from agent.ec2 import Ec2
    from agent.record import Record

# Seconds. An action ends within its bound plus LOAD_TIME, far below the operation's time-out (20 or 60 s). So a
# failure is the agent's own answer, with a reason, and recovery goes on.
BOUND = {
    "start": 20.0,
    "migrate_from": 20.0,
    "stop": 12.0,
    "monitor": 12.0,
    "validate-all": 5.0,
    "migrate_to": 5.0,
}
IMDS_SHARE = 4.0  # the most that IMDS gets of a bound
ALONE_TIME = 30.0  # extra time for a start on the last node: failing would only ban it for a while
LOAD_TIME = 2.0  # to load the interpreter and its imports on a busy node
DENIED_PAUSE = 1.0  # between two tries while EC2 may not know the role's permissions yet
# For this long after a start, EC2's own "absent" may be eventual consistency. We wait for less than the monitor's
# interval, because a thief may be the cause as well; a needless restart costs one call.
SETTLE_TIME = 8.0
LAG_TIME = 60.0  # for this long after a start, IMDS may lag (aws/amazon-vpc-cni-k8s#1872, #1975)
# Monitors in a row without an answer. At an interval of 10 s that is a minute, twice the longest IMDS outage on
# record (30 s, amazonlinux/amazon-ec2-net-utils#52).
UNKNOWN_LIMIT = 6
LOST_HOLD = 3600.0  # for this long we leave the VIP to an unseen peer that took it in the same membership
KEYS_MARGIN = 300.0  # IMDS has new credentials five minutes before the old ones end
HANDOVER_TIME = 30.0  # from migrate_to to stop: the peer's migrate_from, and the cluster's work around it

UNUSED = "set ec2_vip to an unused address of the subnet"


class Agent:
    """The agent's actions; the caller hands in the clients. Each returns an OCF code or raises AgentError."""

    def __init__(
        self,
        vip: str,
        imds: Metadata,
        connect: Callable[[Deadline], Ec2],
        record: Record,
        until: Deadline,
        probe: bool = False,
        cluster: ModuleType | None = None,
    ) -> None:
        self.vip, self.imds, self.connect = vip, imds, connect
        self.record, self.until, self.probe = record, until, probe
        self._cluster = cluster
        self.imds_share = IMDS_SHARE

    def act(self, action: str) -> int:
        """Carry out an action, then save the record."""
        steps: dict[str, Callable[[], int]] = {
            "start": self.start,
            "migrate_from": lambda: self.start(planned=True),
            "stop": self.stop,
            "monitor": self.look if self.probe else self.monitor,
            "migrate_to": self.hand_over,
            "validate-all": self.validate,
        }
        try:
            return steps[action]()
        finally:
            self.record.save()

    # --- taking the VIP, and letting it go -----------------------------------------------------------------

    def start(self, planned: bool = False) -> int:
        """Have EC2 deliver the VIP here. Unless planned, refuse to take it back from an unseen peer."""
        record = self.record
        try:
            self._take(planned)
        except UnansweredError as error:
            if not planned and self._has_it_since_boot():
                log("WARNING", f"going by IMDS, which shows {self.vip} here since boot: {error}")
            elif self.cluster.membership()[0] != "1":
                raise
            else:
                log("WARNING", f"{error}; no other node is there, so this one goes on")
                self.until, self.imds_share = Deadline(ALONE_TIME), ALONE_TIME
                self._take(planned)
        record.held, record.since = True, time.monotonic()
        record.unknown, record.gone, record.taker, record.ring = 0, 0.0, "", ""
        log("INFO", f"{self.vip} assigned to {record.eni}")
        return SUCCESS

    def _take(self, planned: bool) -> None:
        """Assign the VIP. Retry a denial until EC2 has once said yes, because a new role takes a moment.

        In a planned move the first denial counts: the old holder serves, and each try would be time without the
        VIP.
        """
        self.record.handed = 0.0
        denied = None
        while True:
            try:
                return self._assign(planned)
            except AgentError as error:
                if denied and isinstance(error, UnansweredError):
                    raise denied from None  # this try had too little time for an answer
                patient = error.code == ERR_PERM and not planned and not self.record.welcome
                if not patient or not self.until.sleep(DENIED_PAUSE):
                    raise
                log("WARNING", f"{error}; trying again, for a new role takes a moment")
                denied = error

    def _assign(self, planned: bool) -> None:
        ec2 = self._ec2()
        self.check(vars(self.record))
        if not planned:
            self._check_not_lost(ec2)
        try:
            ec2.assign(self.vip)
        except RefusedError as refusal:
            # EC2 may refuse a call whose effect is already there.
            if refusal.code == ERR_PERM or self._owner(ec2, refusal) != (
                self.record.eni,
                self.record.primary,
            ):
                raise
        self.record.welcome = True

    def _has_it_since_boot(self) -> bool:
        """Whether IMDS shows the VIP here, and cannot be stale because the node has not had it since boot."""
        if self.record.since or self.record.gone:
            return False
        try:
            return self.vip in self._imds().addresses()
        except UnansweredError:
            return False

    def _check_not_lost(self, ec2: Ec2) -> None:
        """Raise AgentError if an unseen peer has taken the VIP: each would take it from the other for ever.

        A thief does not count as a peer. A peer that is a member took the VIP with the cluster's consent.
        """
        record = self.record
        if not record.ring or time.monotonic() - record.gone > LOST_HOLD:
            return
        nodes, ring = self.cluster.membership()
        if nodes != "1" or ring != record.ring:
            return
        eni, own = ec2.owner(self.vip)
        members = self.cluster.members()
        if eni == record.taker and (not members or own in members):
            reason = f"{eni} took {self.vip} and has it, and the cluster's membership is the same since"
            raise AgentError(f"{reason}; not taking it back (pcs resource cleanup overrides)")

    def hand_over(self) -> int:
        """Note that the peer's migrate_from takes the VIP next, so the next stop has nothing to give back."""
        self.record.handed = time.monotonic()
        return SUCCESS

    def stop(self) -> int:
        """Have EC2 stop delivering the VIP here. If EC2 does not, leave it to the next start and succeed."""
        record = self.record
        gone = self._recently(record.handed) or (not record.held and self._recently(record.gone))
        record.held, record.unknown, record.handed = False, 0, 0.0
        if gone:
            log("INFO", f"{self.vip} has gone; nothing to give back")
            return SUCCESS
        try:
            ec2 = self._ec2()
            if self.vip != record.primary:
                try:
                    ec2.unassign(self.vip)
                    record.welcome = True
                except RefusedError as refusal:
                    if refusal.code == ERR_PERM or self._owner(ec2, refusal)[0] == record.eni:
                        raise
                log("INFO", f"{self.vip} is not on {record.eni} any more")
        except AgentError as error:
            log("ERR", f"{self.vip} may still be assigned here; the next start moves it: {error}")
        return SUCCESS

    def _recently(self, moment: float) -> bool:
        return bool(moment) and 0 <= time.monotonic() - moment < HANDOVER_TIME

    # --- looking -------------------------------------------------------------------------------------------

    def monitor(self) -> int:
        """Whether EC2 delivers the VIP here. A holder trusts IMDS while that lists it; else we ask EC2."""
        record, listed = self.record, None
        try:
            listed = self.vip in self._imds().addresses()
            if listed and record.held:
                return self._held()
        except UnansweredError as error:
            log("WARNING", str(error))
        try:
            owner = self._ec2().owner(self.vip)
        except AgentError as error:
            return self._unconfirmed(listed, error)
        return self._by_ec2(*owner)

    def look(self) -> int:
        """A probe's answer: the API's, whatever IMDS and the record say.

        If a probe fails, or wrongly reports the VIP, Pacemaker sees a second holder and stops both. If it wrongly
        denies the VIP, that costs one start, which EC2 treats as done. So if EC2 does not answer, the probe says
        "not running". Only a node that holds the VIP by its record says "running", unless IMDS contradicts it.
        """
        record = self.record
        try:
            code = self._by_ec2(*self._ec2().owner(self.vip))
        except AgentError as error:
            code = SUCCESS if record.held and not self._contradicted() else NOT_RUNNING
            log("WARNING", f"going by the record, exit code {code}: {error}")
        if code == NOT_RUNNING:
            record.taker = record.ring = (
                ""  # `pcs resource cleanup` probes, which lifts the refusal of _check_not_lost
            )
        return code

    def _contradicted(self) -> bool:
        try:
            listed = self.vip in self._imds().addresses()
        except AgentError:
            return False
        return not listed and time.monotonic() - self.record.since > LAG_TIME

    def _by_ec2(self, owner: str, own: str) -> int:
        record = self.record
        if owner == record.eni:
            if own == self.vip:
                self.check({**vars(record), "primary": self.vip})
            return self._held()
        if record.held and 0 <= time.monotonic() - record.since < SETTLE_TIME:
            return SUCCESS
        if record.held:
            log("WARNING", f"{self.vip} has gone from {record.eni} to {owner or 'nobody'}")
            record.gone, record.taker = time.monotonic(), owner
            record.ring = self.cluster.membership()[1] if owner else ""
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
        """A monitor's answer while the API, which has the last word, is out of reach."""
        record = self.record
        if not record.held:
            log("WARNING", f"going by IMDS: {error}")
            if listed:
                return SUCCESS
            raise AgentError(f"neither IMDS nor EC2 tells where {self.vip} is: {error}")
        record.unknown += 1
        reason = f"unknown ({record.unknown} of {UNKNOWN_LIMIT}) if {self.vip} is here: {error}"
        if not record.save() or record.unknown >= UNKNOWN_LIMIT:
            raise AgentError(reason)
        log("WARNING", reason)
        return SUCCESS

    # --- common --------------------------------------------------------------------------------------------

    def validate(self) -> int:
        """Check the VIP against this node's subnet and primary address, if IMDS answers."""
        try:
            self.check(self._imds().identity())
        except UnansweredError as error:
            log("WARNING", f"not checked against the node: {error}")
        return SUCCESS

    def check(self, me: Mapping[str, str]) -> None:
        """Raise AgentError if the VIP cannot be a secondary address of the interface."""
        if self.vip == me["primary"]:
            reason = f"ec2_vip {self.vip} is the primary address of {me['eni']}; {UNUSED}"
            raise AgentError(reason, ERR_CONFIGURED)
        if not contains(me["cidr"], self.vip):
            reason = f"ec2_vip {self.vip} is outside {me['cidr']}, this node's subnet; {UNUSED}"
            raise AgentError(reason, ERR_ARGS)

    def _owner(self, ec2: Ec2, refusal: RefusedError) -> tuple[str, str]:
        try:
            return ec2.owner(self.vip)
        except UnansweredError:
            raise refusal from None

    @property
    def cluster(self) -> ModuleType:
        """The module that asks Corosync, imported only when an action needs it."""
        from agent import cluster

        return self._cluster or cluster

    def _imds(self) -> Metadata:
        """The metadata service, with its share of the action's remaining time."""
        self.imds.until = self.until.part(self.imds_share)
        return self.imds

    def _ec2(self) -> Ec2:
        """EC2, called with new credentials from IMDS, or with the kept ones while those are valid."""
        record, imds = self.record, self._imds()
        try:
            if not record.eni:
                vars(record).update(imds.identity())
            credentials, good = imds.credentials(record.role)
            vars(record).update(credentials, expiry=time.monotonic() + good)
        except UnansweredError:
            if not record.keys_last(0):
                raise
        return self.connect(self.until)
