"""What the perf gate measures: ratios that other load on the machine hardly moves.

All are ratios of processor time, of two things done in turn. ``native``: operations of the core against the
same by another library or, where there is none, a hash over the same bytes. ``wsgi``: requests to the
application without sockets, against the same to bare Falcon. ``http``: the servers' processor time per
request over sockets, which other load moves by some 8%, so that more passes. More is better.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench import native_operations as ops
from bench.bare_server import THREADS, WORKERS, bare_falcon
from bench.http_sample import Target, sample
from bench.interleave import Operation, interleave, one_core
from bench.scenarios import INFLIGHT, Scenario, scenarios
from bench.wsgi_operations import wsgi_operations
from tests.server_process import ServerProcess

Measure = Callable[[int], Sequence[float]]
"""One attempt: the ratios of its rounds, whose samples are as many times longer as the argument says."""

ROUNDS = 5
NATIVE_SECONDS = 0.1
WSGI_OPERATIONS = ("sign Ed25519", "verify hit", "wrap", "401")
HTTP_SCENARIOS = ("sign Ed25519", "401")
TOLERANCES = {"native": 0.10, "wsgi": 0.10, "http": 0.20}
"""By which part of the baseline a ratio may be lower, by part of the gate."""


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


@contextmanager
def native_measures() -> Iterator[dict[str, Measure]]:
    """A measure for each of ``native_pairs``, on one core."""
    with one_core():
        yield {name: pair_measure(ours(), theirs()) for name, (ours, theirs) in native_pairs().items()}


@contextmanager
def wsgi_measures() -> Iterator[dict[str, Measure]]:
    """Measures of ``WSGI_OPERATIONS``, on one core."""
    with one_core(), wsgi_operations() as operations:
        floor = operations["bare Falcon"]
        yield {wsgi_ratio(name): pair_measure(operations[name], floor) for name in WSGI_OPERATIONS}


def wsgi_ratio(name: str) -> str:
    """What the baseline calls the ratio of an operation."""
    return f"{name} / bare Falcon, WSGI"


def http_ratio(name: str) -> str:
    """What the baseline calls the ratio of a scenario."""
    return f"{name} / bare Falcon, server"


def pair_measure(ours: Operation, theirs: Operation) -> Measure:
    """Measures the rate of ``ours`` over that of ``theirs``."""

    def measure(longer: int) -> list[float]:
        seconds = longer * NATIVE_SECONDS
        samples = interleave({"ours": ours, "theirs": theirs}, rounds=ROUNDS, seconds=seconds)
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
            http_ratio(name): _request_measure(target, known[name], bare, floor) for name in HTTP_SCENARIOS
        }


def _request_measure(target: Target, scenario: Scenario, bare: Target, floor: Scenario) -> Measure:
    def measure(longer: int) -> list[float]:
        ratios = []
        for _ in range(ROUNDS):
            theirs = sample(bare, floor, seconds=longer, connections=16)
            ours = sample(target, scenario, seconds=longer, connections=16)
            ratios.append(theirs.cpu_us / ours.cpu_us)
        return ratios

    return measure


def _bound(make: Callable[[str], Operation], alg: str) -> Callable[[], Operation]:
    return lambda: make(alg)


PARTS: Mapping[str, Callable[[], AbstractContextManager[dict[str, Measure]]]] = {
    "native": native_measures,
    "wsgi": wsgi_measures,
    "http": http_measures,
}
"""The parts of the gate, in the order in which they run."""
