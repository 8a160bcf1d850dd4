"""EC2 emulated in one process: its API, metadata service and faults. It changes no network or machine."""

from __future__ import annotations

from .emulator import Emulator
from .faults import Fault, Faults
from .http import Server
from .model import CommandedMachines, GroupRule, Instance, Interface, Machines, NullMachines
from .settings import Settings

__all__ = [
    "CommandedMachines",
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
