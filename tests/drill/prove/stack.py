"""The run's own stack: the settings of a stack's file with the run's tag, in a Pulumi backend of the run's own.

The user's stack is not touched, and need not exist.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import yaml

from cloudinit.platforms import PLATFORMS
from tests.drill.prove.leftovers import TAG
from tests.lab.errors import LabError
from tests.lab.files import write_whole
from tests.lab.paths import PROJECT
from tests.lab.pulumi_stack import PulumiStack

NAME = "prove"
"""The stack's name in the run's backend, and so in the names of its roles and parameters. Two runs at once in one
account and Region would meet there, so the preflight refuses a second one."""
PASSPHRASE_FILE = "passphrase"
PAIR = "ec2vip"
ROOMY = {"nano": "small", "micro": "small"}
"""Interfaces of these sizes have room for the VIP alone beside their own address (t3, t3a and t4g: two IPv4
addresses each, from small on four; EC2 user guide, "Maximum IP addresses per network interface"). The measures
move one more, so the run's pair is a size larger."""
PINGS = {"protocol": "icmp"}
DEFAULT_PLATFORM, DEFAULT_TYPE = "al2023", "t3.micro"


def settings_of(stack: str) -> dict[str, Any]:
    """The settings in Pulumi.STACK.yaml: those of this project by key, those of others by their full name.

    Raises LabError if there is no such file, or if it holds a secret: the run's own backend can't read it.
    """
    path = PROJECT / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        raise LabError(f"there is no {path.name}", "name a stack that has a file of settings: STACK=dev")
    config: dict[str, Any] = (yaml.safe_load(path.read_text()) or {}).get("config") or {}
    own = str(yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["name"]) + ":"
    if secret := [key for key, value in config.items() if isinstance(value, dict) and "secure" in value]:
        raise LabError(
            f"{path.name} holds {', '.join(secret)} encrypted, and a run has a backend of its own",
            f"copy the file without {'it' if len(secret) == 1 else 'them'}, as Pulumi.try.yaml, and set STACK=try",
        )
    return {key.removeprefix(own): value for key, value in config.items()}


def region_of(settings: Mapping[str, Any]) -> str:
    """The Region in the settings, else that of the user's environment. Raises LabError if neither names one."""
    found = settings.get("aws:region") or os.environ.get("AWS_REGION") or boto3.Session().region_name
    if not found:
        raise LabError("no Region is set", "set AWS_REGION=…, or aws:region in the stack's file")
    return str(found)


def settings_of_run(settings: Mapping[str, Any], stack: str, run: str) -> dict[str, Any]:
    """The settings with which a run's pair is made.

    All that it makes has the run's tag. Session Manager may reach its nodes, if their image has the agent. Its
    client group may ping the VIP. Its instances have room for one address more. A
    boundary of the stack's is that of the run's stack instead, for each names its own stack's network interfaces.
    """
    family, _, size = str(settings.get("instanceType", DEFAULT_TYPE)).partition(".")
    platform = PLATFORMS.get(str(settings.get("platform", DEFAULT_PLATFORM)))
    has_agent = "amiId" in settings or (platform is not None and platform.has_ssm_agent)
    clients = list(settings.get("clients") or ())
    if not any(entry.get("protocol") == "icmp" for entry in clients if isinstance(entry, dict)):
        clients.append(PINGS)
    made = {**settings}
    if boundary := str(settings.get("permissionsBoundary") or ""):
        made["permissionsBoundary"] = boundary.replace(f"-{stack}-{PAIR}-", f"-{NAME}-{PAIR}-")
    return {
        **made,
        "tags": {**(settings.get("tags") or {}), TAG: run},
        "instanceType": f"{family}.{ROOMY.get(size, size)}",
        "ssm": has_agent,
        "clients": clients,
    }


class RunStack(PulumiStack):
    """The stack of one run. Its state, and the passphrase that encrypts it, are in the run's folder.

    It runs the user's own `pulumi` with the plugins that are installed, in the environment of this process.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(PROJECT, NAME, folder)
        self.configure(settings)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PULUMI_BACKEND_URL": f"file://{self.state_dir / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase()),
            "PULUMI_PYTHON_CMD": sys.executable,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }

    def _passphrase(self) -> Path:
        path = self.state_dir / PASSPHRASE_FILE
        if not path.exists():
            write_whole(path, secrets.token_urlsafe(24), 0o600)
        return path
