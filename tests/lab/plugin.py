"""Which AWS provider Pulumi finds: the lab's stand-in, or the real plugin (`EC2VIP_PROVIDER=aws`).

`python -m tests.lab.plugin` says in one line where it is, or what to do, with status 1.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.paths import PROJECT
from tests.lab.process import run

NAME = "pulumi-resource-aws"
STAND_IN = PROJECT / "tests/aws/provider/bin" / NAME
PROVIDERS = ("lab", "aws")
REAL_SETTINGS = {
    "aws:skipCredentialsValidation": True,
    "aws:skipMetadataApiCheck": True,
    "aws:skipRegionValidation": True,
}
"""What the real one must not ask of an account that does not exist. `AWS_ENDPOINT_URL` leads it to the lab."""


def is_real() -> bool:
    """Whether the real plugin is asked for. Raises LabError for a provider that there is not."""
    chosen = os.environ.get("EC2VIP_PROVIDER") or "lab"
    if chosen not in PROVIDERS:
        raise LabError(
            f"PROVIDER {chosen!r} is none of {', '.join(PROVIDERS)}", "leave it out for the lab's own"
        )
    return chosen == "aws"


def plugin() -> Path:
    """The plugin's program. Raises LabError if the real one is asked for and is not here."""
    if not is_real():
        return STAND_IN
    given = os.environ.get("PULUMI_AWS_PLUGIN")
    found = Path(given).absolute() if given else _installed()
    if found.name != NAME or not os.access(found, os.X_OK):
        raise LabError(
            f"PULUMI_AWS_PLUGIN {given} is not a program named {NAME}",
            f"give the path of one, such as /opt/{NAME}",
        )
    return found


def _installed() -> Path:
    """The newest of Pulumi's plugins in the range that requirements.txt has."""
    least, limit = _range()
    listed = json.loads(run(["pulumi", "plugin", "ls", "--json"]).stdout or "[]")
    versions = [_version(one["version"]) for one in listed if one["name"] == "aws" and one.get("version")]
    fitting = [version for version in versions if least <= version < limit]
    if not fitting:
        wanted = f">={_text(least)},<{_text(limit)}"
        raise LabError(
            f"the AWS plugin {wanted} is not here",
            "run `pulumi plugin install resource aws` with a network, or set PULUMI_AWS_PLUGIN to its path",
        )
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    return home / "plugins" / f"resource-aws-v{_text(max(fitting))}" / NAME


def _range() -> tuple[tuple[int, ...], tuple[int, ...]]:
    text = (PROJECT / "requirements.txt").read_text()
    found = re.search(r"^pulumi-aws>=([\d.]+),<([\d.]+)$", text, re.MULTILINE)
    assert found is not None, "requirements.txt has pulumi-aws with both ends"
    return _version(found[1]), _version(found[2])


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _text(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def main() -> None:
    """Say where the plugin is, or why not."""
    try:
        sys.stdout.write(f"provider: {plugin()}\n")
    except LabError as e:
        sys.stderr.write(f"{e}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
