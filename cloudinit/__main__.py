"""Prints user data for machines outside a pair: `python -m cloudinit image|probe PLATFORM >user-data.gz`.

`image` is for a machine that becomes an image with the platform's packages. `probe` is for a machine that finds
out about its system what no test can know without an AWS account, reports on its console and shuts down.
"""

from __future__ import annotations

import sys

from cloudinit import userdata
from cloudinit.platforms import PLATFORMS

KINDS = {"image": userdata.builder, "probe": userdata.probe}


def main(arguments: list[str]) -> int:
    """Write the gzipped user data to standard output; return the exit status."""
    if len(arguments) != 2 or arguments[0] not in KINDS or arguments[1] not in PLATFORMS:
        print(
            f"usage: python -m cloudinit {'|'.join(KINDS)} {'|'.join(sorted(PLATFORMS))} >user-data.gz",
            file=sys.stderr,
        )
        return 2
    kind, platform = arguments
    sys.stdout.buffer.write(KINDS[kind](platform))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
