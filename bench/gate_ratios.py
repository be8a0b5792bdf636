"""What the perf gate measures: ratios that other load on the machine hardly moves.

All are ratios of processor time, of two things done in turn: native operations against the same by another
library (or, where there is none, a hash over the same bytes), and the server's processor time per request
against bare Falcon's. More is better.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import native_operations as ops
from bench.bare_server import THREADS, WORKERS, bare_falcon
from bench.http_sample import Target, sample
from bench.interleave import Operation, interleave
from bench.scenarios import INFLIGHT, Scenario, scenarios
from tests.server_process import ServerProcess

Measure = Callable[[], Sequence[float]]
"""One attempt: the ratios of its rounds."""

ROUNDS = 5
NATIVE_SECONDS = 0.1
HTTP_SCENARIOS = ("sign Ed25519", "verify hit", "mixed", "401")


def native_pairs() -> dict[str, tuple[Callable[[], Operation], Callable[[], Operation]]]:
    """By name: makers of the operation and of what it is compared with.

    ``cryptography``'s ML-DSA signing takes part in none: so few fit in a sample that luck decides.
    """
    return {
        "cache hit / BLAKE2b": (ops.binding_hit, ops.blake2_of_same_bytes),
        "permit / BLAKE2b": (ops.permit, ops.blake2_of_same_bytes),
        "Ed25519 sign / cryptography": (_bound(ops.our_sign, "Ed25519"), _bound(ops.their_sign, "Ed25519")),
        "Ed25519 verify / cryptography": (
            _bound(ops.our_verify, "Ed25519"),
            _bound(ops.their_verify, "Ed25519"),
        ),
        "ML-DSA-65 sign / cryptography's verify": (
            _bound(ops.our_sign, "ML-DSA-65"),
            _bound(ops.their_verify, "ML-DSA-65"),
        ),
        "ML-DSA-65 verify / cryptography": (
            _bound(ops.our_verify, "ML-DSA-65"),
            _bound(ops.their_verify, "ML-DSA-65"),
        ),
        "Ed25519 batch verify / single": (lambda: ops.batch_verify(1), _bound(ops.our_verify, "Ed25519")),
    }


def native_measures() -> dict[str, Measure]:
    """A measure for each of ``native_pairs``."""
    return {name: pair_measure(ours(), theirs()) for name, (ours, theirs) in native_pairs().items()}


def pair_measure(ours: Operation, theirs: Operation) -> Measure:
    """Measures the rate of ``ours`` over that of ``theirs``."""

    def measure() -> list[float]:
        samples = interleave({"ours": ours, "theirs": theirs}, rounds=ROUNDS, seconds=NATIVE_SECONDS)
        return samples.ratios("ours", "theirs")

    return measure


@contextmanager
def http_measures() -> Iterator[dict[str, Measure]]:
    """Measures of ``HTTP_SCENARIOS``, while both servers run."""
    environment = {
        "KMS_WORKERS": str(WORKERS),
        "KMS_THREADS": str(THREADS),
        "KMS_MAX_INFLIGHT_SIGN": str(INFLIGHT),
    }
    with (
        tempfile.TemporaryDirectory() as data_dir,
        bare_falcon() as bare,
        ServerProcess(Path(data_dir, "data"), env=environment) as server,
    ):
        known = {scenario.name: scenario for scenario in scenarios(server, misses=1)}
        target = Target(server.api_url, server.pid)
        floor = Scenario("bare Falcon POST", known["sign Ed25519"].requests)
        yield {
            f"{name} / bare Falcon, processor time": _request_measure(target, known[name], bare, floor)
            for name in HTTP_SCENARIOS
        }


def _request_measure(target: Target, scenario: Scenario, bare: Target, floor: Scenario) -> Measure:
    def measure() -> list[float]:
        ratios = []
        for _ in range(ROUNDS):
            theirs = sample(bare, floor, seconds=1, connections=16)
            ours = sample(target, scenario, seconds=1, connections=16)
            ratios.append(theirs.cpu_us / ours.cpu_us)
        return ratios

    return measure


def _bound(make: Callable[[str], Operation], alg: str) -> Callable[[], Operation]:
    return lambda: make(alg)
