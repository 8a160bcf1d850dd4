"""What a node remembers about one VIP from one action to the next."""

from __future__ import annotations

import os
import time

from agent.outcome import log


class Record:
    """A file on a tmpfs that only root can read, with a line for each value; a reboot clears it.

    A node keeps its primary interface, and so its subnet, for as long as it runs (EC2 User Guide, "Elastic
    network interfaces"), so we ask for them once. We keep the credentials so that stop works while IMDS is down.
    """

    def __init__(self, path: str, vip: str) -> None:
        self.vip = vip
        self.held = False  # a start succeeded, or EC2 said that the VIP is here; no stop or loss since
        self.welcome = False  # EC2 has carried out a call by this role
        self.since = 0.0  # when a start succeeded (time.monotonic: the same clock for all processes)
        self.handed = 0.0  # when migrate_to left the VIP to the peer; 0 if it did not
        self.unknown = 0  # monitors in a row without an answer
        self.gone = 0.0  # when EC2 said that the VIP had left this node
        self.taker = ""  # the interface that had it then
        self.ring = ""  # Corosync's ring id then
        self.mac = self.eni = self.subnet = self.cidr = self.primary = self.region = self.domain = ""
        self.role = self.key_id = self.secret = self.token = ""
        self.expiry = 0.0  # when the credentials end (time.monotonic)
        self.skew = 0.0  # seconds that EC2's clock is ahead of this node's
        self._names = list(vars(self))
        self._path = path
        self._saved = self._load()

    def _load(self) -> str:
        """Take over the file's values, all or none; return its text, or "" for none."""
        try:
            with open(self._path, encoding="utf-8") as file:
                text = file.read()
            found = dict(line.split("=", 1) for line in text.splitlines())
            values = {name: type(getattr(self, name))(found.pop(name)) for name in self._names}
        except (OSError, ValueError, KeyError):
            return ""  # no file, or not in our format
        if found or values["vip"] != self.vip:
            return ""
        vars(self).update(values)
        return text

    def save(self) -> bool:
        """Write the file if anything has changed; False if that fails."""
        values = {name: getattr(self, name) for name in self._names}
        text = "".join(f"{name}={'' if value is False else value}\n" for name, value in values.items())
        if text == self._saved:
            return True
        aside = f"{self._path}~{os.getpid()}"  # keeps two agents apart, such as a probe beside a monitor
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            with open(
                os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                file.write(text)
            os.replace(aside, self._path)
        except OSError as error:
            log("WARNING", f"cannot keep a record: {error}")
            return False
        self._saved = text
        return True

    def keys_last(self, seconds: float) -> bool:
        """Whether the kept credentials will still be valid `seconds` from now."""
        return time.monotonic() + seconds < self.expiry
