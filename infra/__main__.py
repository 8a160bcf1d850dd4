"""The Pulumi program: the stack's settings in, a pair and its outputs out."""

import sys
from pathlib import Path

# Pulumi runs this folder as a script, with the folder itself first on the path; the packages are next to it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pulumi

from infra.config import StackConfig
from infra.pair import FloatingIpPair
from infra.resolve import pair_args

pair = FloatingIpPair("ec2vip", pair_args(StackConfig.load(pulumi.Config())))
for name, value in pair.outputs().items():
    pulumi.export(name, value)
