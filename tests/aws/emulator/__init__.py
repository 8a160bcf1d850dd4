"""An EC2 in one process: its API, its metadata service, its faults. No network or machine is touched."""

from __future__ import annotations

from .emulator import Emulator
from .faults import Fault, Faults
from .http import Server
from .model import GroupRule, Instance, Interface, Machines, NullMachines
from .settings import Settings

__all__ = [
    "Emulator",
    "Fault",
    "Faults",
    "GroupRule",
    "Instance",
    "Interface",
    "Machines",
    "NullMachines",
    "Server",
    "Settings",
]
