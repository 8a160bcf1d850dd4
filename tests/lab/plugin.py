"""Which AWS provider Pulumi finds: the lab's stand-in, or the real plugin (`EC2VIP_PROVIDER=aws`).

`python -m tests.lab.plugin` prints one line: where the plugin is or, with status 1, what to do.
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
"""Turns off checks of the real plugin, as no account exists. `AWS_ENDPOINT_URL` leads it to the lab."""


def is_real() -> bool:
    """Whether EC2VIP_PROVIDER asks for the real plugin. Raises LabError if it names an unknown provider."""
    chosen = os.environ.get("EC2VIP_PROVIDER") or "lab"
    if chosen not in PROVIDERS:
        raise LabError(
            f"PROVIDER {chosen!r} is not one of {', '.join(PROVIDERS)}", "leave it out for the lab's own"
        )
    return chosen == "aws"


def plugin() -> Path:
    """The path of the plugin's program. Raises LabError if it has to be the real one and that is missing."""
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
    """The newest installed plugin in the range of requirements.txt. Raises LabError if there is none."""
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
    """Print where the plugin is, or why there is none."""
    try:
        sys.stdout.write(f"provider: {plugin()}\n")
    except LabError as e:
        sys.stderr.write(f"{e}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
