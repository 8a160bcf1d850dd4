"""The whole fault catalogue, in the order in which it runs."""

from __future__ import annotations

from tests.drill.fault_rows_agent import AGENT_ROWS
from tests.drill.fault_rows_machine import LAST_ROWS, MACHINE_ROWS
from tests.drill.fault_rows_network import NETWORK_ROWS
from tests.drill.fault_rows_services import SERVICE_ROWS

ROWS = {row.name: row for row in (*MACHINE_ROWS, *NETWORK_ROWS, *SERVICE_ROWS, *AGENT_ROWS, *LAST_ROWS)}
