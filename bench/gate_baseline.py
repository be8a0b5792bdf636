"""The committed figures of the perf gate: ``bench/baseline.json``, by machine and pair."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import report

BASELINE = Path(__file__).resolve().parent / "baseline.json"


class BaselineError(Exception):
    """The baseline cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Expected:
    """``ratio``: speed of ours over that of the reference; ``reference_ns``: what the reference cost."""

    ratio: float
    reference_ns: float


@dataclass(frozen=True)
class Baseline:
    """Expected figures by pair; ``known`` is False if they are other machines'."""

    expected: Mapping[str, Expected]
    known: bool


def this_machine() -> str:
    """The name under which figures of this machine are kept."""
    return f"{report.cpu_model()}, {os.cpu_count()} cores"


def load(file: Path, machine: str) -> Baseline:
    """What ``file`` says of ``machine``, or the lowest ratios if it is unknown. Raises BaselineError."""
    try:
        machines = {
            name: {pair: Expected(**row) for pair, row in rows.items()}
            for name, rows in json.loads(file.read_text())["machines"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(f"{file} cannot be read ({error}): run make gate-baseline") from None
    if machine in machines:
        return Baseline(machines[machine], known=True)
    lowest: dict[str, Expected] = {}
    for rows in machines.values():
        for pair, row in rows.items():
            if pair not in lowest or row.ratio < lowest[pair].ratio:
                lowest[pair] = row
    return Baseline(lowest, known=False)


def enter(file: Path, machine: str, rows: Mapping[str, Expected]) -> None:
    """Writes these figures of ``machine`` into the file and leaves those of other pairs and machines."""
    kept = json.loads(file.read_text()) if file.exists() else {"machines": {}}
    kept["machines"].setdefault(machine, {}).update({pair: asdict(row) for pair, row in rows.items()})
    file.write_text(json.dumps(kept, indent=2) + "\n")
