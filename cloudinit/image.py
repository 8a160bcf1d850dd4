"""`python -m cloudinit.image PLATFORM` writes the user data of a machine that becomes an image of its packages."""

from __future__ import annotations

import sys

from cloudinit import userdata
from cloudinit.platforms import PLATFORMS


def main(arguments: list[str]) -> int:
    """The status to exit with; the user data, gzipped, go to standard output."""
    if len(arguments) != 1 or arguments[0] not in PLATFORMS:
        print(
            f"usage: python -m cloudinit.image {'|'.join(sorted(PLATFORMS))} >builder.yaml.gz",
            file=sys.stderr,
        )
        return 2
    sys.stdout.buffer.write(userdata.builder(arguments[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
