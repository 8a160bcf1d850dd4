"""Break a pair on purpose: `python -m tests.drill verify|faults|soak|roll|lab-like`.

Run these commands through `make`, which first installs what they need.
"""

from __future__ import annotations

import sys

import typer

from tests.drill import rollout as day_two
from tests.drill.proofs import faults, soak
from tests.drill.prove.lab_like import lab_like
from tests.drill.prove.run import prove
from tests.drill.verify import verify
from tests.lab import cli
from tests.lab.cli import LabOption
from tests.lab.lab import Lab
from tests.lab.log import say, step
from tests.lab.paths import DEFAULT_LAB

app = cli.app(__doc__, of_any_stack=("verify", "prove"))


@app.command(epilog="Example: make roll")
def roll(name: LabOption = DEFAULT_LAB) -> None:
    """Twice replace both nodes with one `pulumi up` while a client pings the VIP; write build/roll.json."""
    lab = Lab(name)
    started = cli.now()
    rolls: list[day_two.Rolled] = []
    for (latency, goal_s), token_ms in zip(day_two.GOALS_S.items(), day_two.TOKENS_MS, strict=True):
        with step(f"rolling both nodes, EC2's latency {latency}", expected="1 to 2 min"):
            rolls.append(day_two.roll(lab, latency, token_ms, lambda text: say(f"    {text}")))
        last = rolls[-1]
        cli.save("roll.json", day_two.report(rolls, cli.machine(started)))
        say(
            f"    the client was {last.outage_s:.2f} s without the VIP in all (goal {goal_s:g} s), at most "
            f"{last.longest_s:.2f} s at a time; moves of the VIP: {last.moves}; the up took {last.took_s:.0f} s"
        )
        for law in last.broken:
            say(f"    FAILED: {law}")
    say("written: build/roll.json")
    raise typer.Exit(1 if any(each.broken for each in rolls) else 0)


app.command(epilog="Example: make verify TRIALS='reboot power-loss'")(verify)
app.command(epilog="Example: make faults ONLY='hang partition'")(faults)
app.command(epilog="Example: make soak KIND=kills MINUTES=30 SEED=7")(soak)
app.command(epilog="Example: make prove STACK=dev")(prove)
app.command("lab-like", epilog="Example: make lab-like REPORT=build/prove.json")(lab_like)

if __name__ == "__main__":
    sys.exit(cli.run(app))
