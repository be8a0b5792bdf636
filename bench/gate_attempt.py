"""One attempt of the gate, in a process of its own on fresh copies of the native libraries.

Where the kernel happens to put a library's pages moves long unrolled code by a fifth, for as long as the
file stays in memory: ML-DSA signing was seen at 77 and at 95 us, from the same file and from a copy of it. So
an attempt loads copies, and another attempt others: luck is drawn anew, and the best of some attempts is
what the program can do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.gate_pairs import PARTS
from bench.gate_sample import Costs
from bench.interleave import Operation
from ronkms.observe.logs import configure_logs

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("ronkms_native", "cryptography")
TIMEOUT = 600
"""Seconds; a very busy machine was seen to take one minute."""
MEMORY = Path("/dev/shm")
"""Where the measured application keeps its data if it can, so that a busy disk does not count."""
MOST_STOLEN = 0.05
"""Of the processors' time, by the hypervisor: beyond that an attempt says nothing."""
_STEAL = 7
"""Position in the first line of /proc/stat, proc_stat(5)."""


class AttemptError(Exception):
    """An attempt could not be made."""


@dataclass(frozen=True)
class Wanted:
    """What an attempt measures. ``slower``: per cent of their speed that our operations lose, for a drill."""

    parts: Iterable[str]
    names: frozenset[str] | None = None
    slower: float = 0.0


def attempt(wanted: Wanted, copies: Path) -> dict[str, Costs]:
    """Costs by pair. ``copies``: a directory to fill; as long as it is kept, the next attempt's copies lie
    elsewhere. Raises AttemptError."""
    for package in COPIED:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise AttemptError(f"{package} is not installed: run make install")
        shutil.copytree(Path(spec.origin).parent, copies / package)
    command = [sys.executable, "-m", "bench.gate_attempt", "--slower", str(wanted.slower)]
    command += [f"--part={part}" for part in wanted.parts]
    command += [f"--name={name}" for name in wanted.names or ()]
    paths = [str(copies), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    if MEMORY.is_dir():
        environment["TMPDIR"] = str(MEMORY)
    before = _processor_times()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AttemptError(f"an attempt did not end within {TIMEOUT} s") from None
    stolen = _share_stolen(before, _processor_times())
    if done.returncode:
        raise AttemptError(f"{' '.join(command[1:])} ended with {done.returncode}")
    found: Mapping[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return {
        name: Costs(row["ours"], row["theirs"], bool(row["conclusive"]) and stolen <= MOST_STOLEN)
        for name, row in found.items()
    }


def _processor_times() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def _share_stolen(before: list[int], after: list[int]) -> float:
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return spent[_STEAL] / max(sum(spent), 1)


def slowed(operation: Operation, per_cent: float) -> Operation:
    """The same result with so much more work that ``per_cent`` of the speed is lost."""
    more = 100 / (100 - per_cent) - 1

    def run(count: int) -> None:
        operation(count)
        extra = round(count * more)
        if extra:
            operation(extra)

    return run


def measure(wanted: Wanted) -> dict[str, Costs]:
    """Measures in this process."""

    def change(operation: Operation) -> Operation:
        return slowed(operation, wanted.slower) if wanted.slower else operation

    found: dict[str, Costs] = {}
    for part in wanted.parts:
        with PARTS[part](change) as measures:
            for name, compared in measures.items():
                if wanted.names is None or name in wanted.names:
                    found[name] = compared()
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--part", choices=PARTS, action="append", required=True)
    options.add_argument("--name", action="append", help="only this pair; repeatable")
    options.add_argument("--slower", type=float, default=0.0, metavar="PERCENT")
    chosen = options.parse_args()
    names = frozenset(chosen.name) if chosen.name else None
    configure_logs("warning", "logfmt")
    found = measure(Wanted(chosen.part, names, chosen.slower))
    print(json.dumps({name: asdict(costs) for name, costs in found.items()}))


if __name__ == "__main__":
    main()
