"""The commands that break the lab's pair in many ways: `faults`, row by row, and `soak`, at random."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Annotated

import typer
from rich.table import Table

from tests.drill import soak as random_faults
from tests.drill.clouds import STACK, lab_pair
from tests.drill.diagnostics import keep
from tests.drill.fault_rows import ROWS
from tests.drill.pair import Pair
from tests.drill.reports import seconds, verdict
from tests.drill.row import Outcome, Row, run_row
from tests.drill.trials import passed, report
from tests.lab.cli import LabOption, now, plain_console, save
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.log import say, step
from tests.lab.paths import BUILD, DEFAULT_LAB


def chosen(only: Sequence[str]) -> list[Row]:
    """The rows with these names, or all rows if none is named. Raises LabError for an unknown name."""
    if unknown := [name for name in only if name not in ROWS]:
        raise LabError(f"there is no row {unknown[0]!r}", f"the rows are {', '.join(ROWS)}")
    return [row for name, row in ROWS.items() if not only or name in only]


def faults(
    name: LabOption = DEFAULT_LAB,
    only: Annotated[list[str] | None, typer.Option("--only", help="Run only the rows named.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show the rows and what is expected.")] = False,
) -> None:
    """Break the pair in every way of the catalogue and judge the outcome; write build/faults.json and .md."""
    rows = chosen(only or [])
    if listing:
        for row in rows:
            print(f"{row.name:<34} {row.does}\n{'':<34} {row.expected}: {row.reason}")
        return
    lab = Lab(name)
    pair = lab_pair(lab)
    started = datetime.now(timezone.utc)
    outcomes: list[Outcome] = []
    for number, row in enumerate(rows, start=1):
        try:
            with step(f"{number} of {len(rows)}, {row.name}: {row.does}"):
                outcome = run_row(row, lab, pair, lambda text: say(f"    {text}"))
        except KeyboardInterrupt:
            say(
                f"interrupted; the faults are undone; the {len(outcomes)} rows that ran are in build/faults.json"
            )
            raise
        outcomes.append(outcome)
        # We save after each row, so an interruption loses nothing.
        save("faults.json", report(STACK, pair.cloud.name, started, outcomes))
        (BUILD / "faults.md").write_text("".join(f"{line(each)}\n" for each in outcomes))
        say(f"    {verdict(outcome)}: {told(outcome)}")
        if not outcome.passed:
            keep(
                lab,
                BUILD / "faults" / row.name,
                what=f"{row.does}\n{row.expected}: {row.reason}\n{outcome.detail}\n",
            )
            say(f"    timeline, journals and logs are in build/faults/{row.name}")
            make_whole(lab, pair)
    console = plain_console()
    console.print(table(outcomes))
    for outcome in outcomes:
        if not outcome.passed:
            console.print(f"{outcome.name}: expected {outcome.expected}; {outcome.detail}")
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    say(f"{len(outcomes) - len(failed)} of {len(outcomes)} rows passed")
    if failed:
        say(f"failed: {', '.join(failed)}; their logs are in build/faults")
    raise typer.Exit(0 if passed(outcomes) else 1)


def soak(
    name: LabOption = DEFAULT_LAB,
    minutes: Annotated[
        float,
        typer.Option(
            envvar="MINUTES", min=0.1, max=10_000, help="How long to run; the last step is finished."
        ),
    ] = 10.0,
    seed: Annotated[
        int | None,
        typer.Option(
            envvar="SEED", min=0, help="The seed of an earlier run, for the same faults. Default: a new one."
        ),
    ] = None,
    kind: Annotated[
        random_faults.Kind,
        typer.Option(envvar="KIND", help="Faults of the whole catalogue, or SIGKILLs in a row."),
    ] = random_faults.Kind.FAULTS,
) -> None:
    """Break the pair at random until the time is up or it stays broken; write build/soak.json."""
    lab = Lab(name)
    pair = lab_pair(lab)
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    started = now()
    records: list[random_faults.Record] = []

    def keep_records(so_far: list[random_faults.Record], passed: bool = False, breach: str = "") -> None:
        records[:] = so_far
        save("soak.json", random_faults.report(kind, seed, minutes, started, passed, records, breach))

    again = f"make soak KIND={kind.value} SEED={seed} MINUTES={minutes:g}"
    say(f"soak for {minutes:g} min; the same faults again: {again}")
    try:
        random_faults.soak(seed, minutes, lab, pair, lambda text: say(f"    {text}"), keep_records, kind)
    except random_faults.BreachError as breach:
        keep_records(list(records), breach=str(breach))
        so_far = "\n".join(f"{record.number}: {record.faults}; {record}" for record in records)
        keep(
            lab,
            BUILD / "soak" / f"seed-{seed}",
            breach=f"KIND={kind.value} SEED={seed}\n{breach}\n",
            steps=so_far + "\n",
        )
        say(f"breach: {breach}")
        say(f"timeline, journals, logs and the steps so far are in build/soak/seed-{seed}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        say(f"interrupted after {len(records)} steps of seed {seed}; the faults are undone")
        raise
    keep_records(list(records), passed=True)
    slowest = max((record.whole_after_s or 0 for record in records), default=0)
    say(f"{len(records)} steps of seed {seed}; the pair was whole again after {slowest:g} s at most")


def told(outcome: Outcome) -> str:
    """An outcome in one line."""
    moved = "moves not counted" if outcome.moves is None else f"moved {outcome.moves} times"
    return f"{moved}, out for {seconds(outcome.outage_s)} s" + (
        f"; {outcome.detail}" if outcome.detail else ""
    )


def line(outcome: Outcome) -> str:
    """An outcome as a row of the README's table."""
    measured = f"{seconds(outcome.outage_s)} s, {_moves(outcome)}" if outcome.passed else "FAILED"
    return f"{promise(outcome)} {measured} |"


def _moves(outcome: Outcome) -> str:
    return "-" if outcome.moves is None else str(outcome.moves)


def promise(row: Row | Outcome) -> str:
    """The part of a row in the README's table that is known before the run."""
    return f"| `{row.name}`: {row.does} | {row.expected} | {row.reason} |"


def make_whole(lab: Lab, pair: Pair) -> None:
    """Power-cycle both nodes if a failed row left the pair broken.

    So the next row has a pair to break. Raises LabError if even that does not help.
    """
    if not pair.flaws():
        return
    say("    the pair is not whole: switching both nodes off and on for the next row")
    for node in pair.node_ids:
        lab.ask("power-loss", instance_id=node)
        lab.ask("power-on", instance_id=node)
    pair.wait_until_whole(pair.cloud.reach.whole_limit_s)


def table(outcomes: Sequence[Outcome]) -> Table:
    """The outcomes as a table for a person, in 80 columns."""
    made = Table(title="What came of each fault", title_justify="left")
    for heading in ("row", "result", "moves", "out [s]", "other node after [s]"):
        made.add_column(heading)
    for each in outcomes:
        times = (_moves(each), seconds(each.outage_s), seconds(each.recovered_s))
        made.add_row(each.name, verdict(each), *times)
    return made
