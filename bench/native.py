"""The native core on one core: verify cache, signatures, batches (part of ``make bench``).

One run, all operations in turn, rates per second of processor time, medians of the rounds; a ratio is the
median of the ratios within a round. The process is tied to one core before the first thread starts.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from bench import liboqs_speed, report
from bench import native_operations as ops
from bench.compiled import load_cache_hits
from bench.interleave import Operation, Samples, interleave, one_core

BUILD = Path(__file__).resolve().parent.parent / "build" / "bench"
LIBOQS = "liboqs"


@dataclass(frozen=True)
class Figure:
    """A rate against an aim, or (with ``reference``) a ratio of two rates."""

    label: str
    operation: str
    reference: str | None
    aim: float | None


FIGURES = (
    Figure("cache hit from Cython, million/s", "cache hit, Cython", None, 3.0),
    Figure("the same with SHA-256 of the message, million/s", "cache hit, Cython, SHA-256", None, None),
    Figure("cache hit from Python, million/s", "cache hit, Python", None, 1.0),
    Figure("cache hit from Python / warp-cache shared", "cache hit, Python", "cache hit, warp-cache", None),
    Figure("cache hit from Python / dict", "cache hit, Python", "cache hit, dict", None),
    Figure("Ed25519 verify / cryptography", "Ed25519 verify", "Ed25519 verify, cryptography", 2.5),
    Figure("Ed25519 sign / cryptography", "Ed25519 sign", "Ed25519 sign, cryptography", None),
    Figure("ML-DSA-65 sign / cryptography", "ML-DSA-65 sign", "ML-DSA-65 sign, cryptography", 8.0),
    Figure("ML-DSA-65 verify / cryptography", "ML-DSA-65 verify", "ML-DSA-65 verify, cryptography", None),
    Figure("ML-DSA-65 sign / liboqs", "ML-DSA-65 sign", "ML-DSA-65 sign, liboqs", 0.9),
    Figure("ML-DSA-65 verify / liboqs", "ML-DSA-65 verify", "ML-DSA-65 verify, liboqs", 0.9),
    Figure(
        "batch verify of 64 Ed25519, one key / single", "Ed25519 batch verify, 1 key", "Ed25519 verify", 1.8
    ),
    Figure(
        "batch verify of 64 Ed25519, 64 keys / single",
        "Ed25519 batch verify, 64 keys",
        "Ed25519 verify",
        None,
    ),
    Figure("batch sign of 64 Ed25519 / single", "Ed25519 batch sign", "Ed25519 sign", None),
)


def operations() -> dict[str, Operation]:
    """Everything that is timed in this process, by name."""
    cache_hits = load_cache_hits(BUILD)
    timed: dict[str, Operation] = {
        "cache hit, Cython": ops.compiled_hit(cache_hits),
        "cache hit, Cython, SHA-256": ops.compiled_hit_with_digest(cache_hits),
        "cache hit, Python": ops.binding_hit(),
        "cache hit, dict": ops.dict_hit(),
        "cache hit, warp-cache": ops.warp_cache_hit(),
    }
    for alg in ("Ed25519", "ML-DSA-65"):
        timed[f"{alg} sign"] = ops.our_sign(alg)
        timed[f"{alg} sign, cryptography"] = ops.their_sign(alg)
        timed[f"{alg} verify"] = ops.our_verify(alg)
        timed[f"{alg} verify, cryptography"] = ops.their_verify(alg)
    timed["Ed25519 batch sign"] = ops.batch_sign()
    timed["Ed25519 batch verify, 1 key"] = ops.batch_verify(1)
    timed["Ed25519 batch verify, 64 keys"] = ops.batch_verify(64)
    return timed


def measure(rounds: int, seconds: float) -> Samples:
    """One run of all operations; liboqs' program takes its turn in each round, if it can be built."""
    timed = operations()
    program = liboqs_speed.build_speed_program(BUILD / "liboqs")
    rates: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, samples in interleave(timed, rounds=1, seconds=seconds).rates.items():
            rates[name] += samples
        if program is not None:
            for name, rate in liboqs_speed.run_speed_program(program, 1).items():
                rates.setdefault(f"ML-DSA-65 {name}, {LIBOQS}", []).append(rate)
    return Samples(rates)


def values(samples: Samples, figure: Figure) -> list[float] | None:
    """The rounds' values of a figure; None if its reference was not measured."""
    if figure.reference is None:
        return [rate / 1e6 for rate in samples.rates[figure.operation]]
    if figure.reference not in samples.rates:
        return None
    return samples.ratios(figure.operation, figure.reference)


def as_report(samples: Samples, rounds: int, seconds: float) -> dict[str, object]:
    """The report's JSON object."""
    figures = {}
    for figure in FIGURES:
        found = values(samples, figure)
        if found is not None:
            figures[figure.label] = {
                "median": round(statistics.median(found), 3),
                "min": round(min(found), 3),
                "max": round(max(found), 3),
                "aim": figure.aim,
            }
    return {
        "what": "the native core on one core, per second of processor time, medians of interleaved rounds",
        "machine": report.machine(),
        "settings": {
            "rounds": rounds,
            "seconds": seconds,
            "cache_entries_in_turn": ops.ENTRIES,
            "message_bytes": ops.MESSAGE_BYTES,
        },
        "figures": figures,
        "rates_per_second": {name: round(samples.rate(name)) for name in samples.rates},
    }


def bars(figures: dict[str, dict[str, float]]) -> list[report.Bar]:
    """The figures that have an aim."""
    return [report.Bar(label, row["median"], row["aim"]) for label, row in figures.items() if row["aim"]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, default=None, help="directory for native.json and native.svg")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=float, default=0.2, help="processor time of a sample")
    chosen = options.parse_args()
    with one_core():
        made = as_report(measure(chosen.rounds, chosen.seconds), chosen.rounds, chosen.seconds)
    figures: dict[str, dict[str, float]] = made["figures"]  # type: ignore[assignment]
    for label, row in figures.items():
        aim = f"  (aim {row['aim']:g})" if row["aim"] else ""
        print(f"{label:60} {row['median']:>8.2f}   {row['min']:.2f} to {row['max']:.2f}{aim}")
    if chosen.out:
        report.write(
            chosen.out, "native", made, "Native core on one core, measured and aimed at", bars(figures)
        )


if __name__ == "__main__":
    main()
