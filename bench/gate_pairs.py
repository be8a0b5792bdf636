"""What the perf gate compares: pairs of things of one character, whose ratio says how fast ours is.

``native``: operations of the core against the same by another library or, where there is none, against one
that leans on the same things: the interpreter and hashing, and as many lines spread over as much memory.
``wsgi``: requests to the application without sockets, against the same to bare Falcon. ``http``: the
servers' processor time per request over sockets.
"""

from __future__ import annotations

import hashlib
import mmap
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from bench import native_operations as ops
from bench.bare_server import THREADS, WORKERS, bare_falcon
from bench.gate_sample import Costs, compare, compare_random
from bench.http_sample import Target, sample
from bench.interleave import Operation, one_core
from bench.scenarios import INFLIGHT, Scenario, scenarios
from bench.wsgi_operations import wsgi_operations
from tests.server_process import ServerProcess

Measure = Callable[[], Costs]
Change = Callable[[Operation], Operation]
"""What is done to each of our operations before it is measured; for the drill."""

TABLE_BYTES = 24 << 20
"""As large as the arena that the cache hit reads."""
HTTP_ROUNDS = 5
HTTP_SECONDS = 1
HTTP_CONNECTIONS = 16
WSGI_OPERATIONS = ("sign Ed25519", "verify hit", "wrap", "401")
HTTP_SCENARIOS = ("sign Ed25519", "401")


@dataclass(frozen=True)
class Pair:
    """Makers of our operation and of what it is compared with.

    ``luck``: the work differs from call to call. ``unit``: ours comes in batches of so many.
    """

    ours: Callable[[], Operation]
    theirs: Callable[[], Operation]
    luck: bool = False
    unit: int = 1


def native_pairs() -> dict[str, Pair]:
    """The pairs by name.

    ``cryptography``'s ML-DSA signing takes part in none: so few fit into a sample that luck decides.
    """
    return {
        "cache hit / hash and table read": Pair(ops.binding_hit, hash_and_table_read),
        "permit / SHA-256": Pair(ops.permit, sha256),
        "Ed25519 sign / cryptography": Pair(
            partial(ops.our_sign, "Ed25519"), partial(ops.their_sign, "Ed25519")
        ),
        "Ed25519 verify / cryptography": Pair(
            partial(ops.our_verify, "Ed25519"), partial(ops.their_verify, "Ed25519")
        ),
        "ML-DSA-65 sign / cryptography's verify": Pair(
            partial(ops.our_sign, "ML-DSA-65"), partial(ops.their_verify, "ML-DSA-65"), luck=True
        ),
        "ML-DSA-65 verify / cryptography": Pair(
            partial(ops.our_verify, "ML-DSA-65"), partial(ops.their_verify, "ML-DSA-65")
        ),
        "Ed25519 batch verify / single": Pair(
            partial(ops.batch_verify, 1), partial(ops.our_verify, "Ed25519"), unit=ops.BATCH
        ),
    }


def hash_and_table_read() -> Operation:
    """BLAKE2b over the bytes of a tag, and one byte of a table as large as the arena, each its own."""
    _, entries = ops.filled_arena()
    table = mmap.mmap(-1, TABLE_BYTES)
    for page in range(0, TABLE_BYTES, mmap.PAGESIZE):
        table[page] = 1
    places = random.Random(1)
    reads = [(entry, places.randrange(TABLE_BYTES)) for entry in entries]
    blake2b = hashlib.blake2b

    def run(count: int) -> None:
        for entry, place in islice(cycle(reads), count):
            blake2b(b"".join(entry)).digest()
            table[place]

    return run


def sha256() -> Operation:
    """SHA-256 of 100 bytes: like a permit, two calls from Python and a little work in the nearest cache."""
    hashed, data = hashlib.sha256, bytes(100)

    def run(count: int) -> None:
        for _ in range(count):
            hashed(data).digest()

    return run


@contextmanager
def native_measures(change: Change) -> Iterator[dict[str, Measure]]:
    """A measure for each of ``native_pairs``, on one core."""
    with one_core():
        yield {name: partial(_compare_pair, pair, change) for name, pair in native_pairs().items()}


def _compare_pair(pair: Pair, change: Change) -> Costs:
    ours, theirs = change(pair.ours()), pair.theirs()
    return compare_random(ours, theirs) if pair.luck else compare(ours, theirs, pair.unit)


@contextmanager
def wsgi_measures(change: Change) -> Iterator[dict[str, Measure]]:
    """Measures of ``WSGI_OPERATIONS``, on one core."""
    with one_core(), wsgi_operations() as operations:
        floor = operations["bare Falcon"]
        yield {wsgi_name(name): partial(compare, change(operations[name]), floor) for name in WSGI_OPERATIONS}


def wsgi_name(operation: str) -> str:
    """The name of an operation's pair."""
    return f"{operation} / bare Falcon, WSGI"


def http_name(scenario: str) -> str:
    """The name of a scenario's pair."""
    return f"{scenario} / bare Falcon, server"


@contextmanager
def http_measures(_: Change) -> Iterator[dict[str, Measure]]:
    """Measures of ``HTTP_SCENARIOS``, while both servers run. The drill does not reach into the server."""
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
            http_name(name): partial(_compare_requests, target, known[name], bare, floor)
            for name in HTTP_SCENARIOS
        }


def _compare_requests(target: Target, scenario: Scenario, bare: Target, floor: Scenario) -> Costs:
    def cost(sampled: Target, load: Scenario) -> float:
        got = sample(sampled, load, seconds=HTTP_SECONDS, connections=HTTP_CONNECTIONS)
        return got.cpu_us * 1000

    rounds = [(cost(target, scenario), cost(bare, floor)) for _ in range(HTTP_ROUNDS)]
    return Costs(ours=min(ours for ours, _ in rounds), theirs=min(theirs for _, theirs in rounds))


PARTS: Mapping[str, Callable[[Change], AbstractContextManager[dict[str, Measure]]]] = {
    "native": native_measures,
    "wsgi": wsgi_measures,
    "http": http_measures,
}
"""The parts of the gate, in the order in which they run."""
