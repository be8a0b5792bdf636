"""Eight workers hammer one arena while they are killed and replaced; run as a script by its test.

``python arena_hammer.py DIRECTORY SECONDS`` prints one JSON object with what was found at the end. A worker
that sees a wrong verdict exits with 3 and stops the run.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from ronkms_native import Arena, AuditLog

WORKERS = 8
KILL_EVERY_S = 0.1
TAGS = 3_000
TENANTS = 40
LIMITS = (60, 90)
WRONG_VERDICT = 3
BODY = b'"op":"sign","outcome":"ok"}'


def verify(number: int) -> int:
    """The direct verification that every cached verdict is checked against."""
    return hashlib.sha256(number.to_bytes(4, "big")).digest()[0]


def tag_of(arena: Arena, number: int) -> bytes:
    return arena.cache_tag([b"tenant", number.to_bytes(4, "big"), b"s" * 64])


def make_arena() -> Arena:
    return Arena(
        cache_entries=1024,  # far fewer than tags, so that entries are overwritten all the time
        cache_ttl_ms=200,
        inflight_sign=LIMITS[0],
        inflight_verify=LIMITS[1],
        tenant_share_min=0.05,
        slots=2 * WORKERS,
        tenants=32,
        ops=["sign", "verify"],
        algs=["Ed25519"],
        outcomes=["ok"],
        counters=["appended", "observed"],
        gauges=["unused"],
        generations=["keyring"],
    )


def hammer(arena: Arena, log: AuditLog, seed: int) -> None:
    choose = random.Random(seed)
    held: list[int] = []
    while True:
        number = choose.randrange(TAGS)
        expected = verify(number)
        tag = tag_of(arena, number)
        verdict = arena.cache_get(tag)
        if verdict >= 0 and verdict != expected:
            os._exit(WRONG_VERDICT)
        if verdict < 0:
            arena.cache_put(tag, expected, negative=expected % 4 == 0)
        tenant = b"tenant-%d" % choose.randrange(TENANTS)
        op_class = choose.randrange(2)
        permit = arena.admit(op_class, tenant, choose.randrange(1, 4))
        if permit >= 0:
            if choose.random() < 0.3:
                arena.top_up(permit, choose.randrange(1, 6))
            held.append(permit)
        while len(held) > choose.randrange(6):
            arena.release(held.pop(choose.randrange(len(held))))
        if choose.random() < 0.2:
            seq = log.append(BODY)
            arena.count(0)
            if choose.random() < 0.02:
                log.wait_durable(seq)
        arena.observe(op_class, 0, 0, tenant, choose.randrange(10**6))
        arena.count(1)


def start(arena: Arena, log: AuditLog, seed: int) -> tuple[int, int]:
    """Forks a worker. Returns (process, slot)."""
    slot = arena.claim_slot()
    process = os.fork()
    if process == 0:
        try:
            arena.enter_slot(slot)
            log.after_fork()
            hammer(arena, log, seed)
        finally:
            os._exit(1)
    return process, slot


def reap(arena: Arena, process: int, slot: int) -> tuple[int, int]:
    """Kills a worker and takes back what it held. Returns (exit status, permits)."""
    os.kill(process, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return status, arena.reclaim_slot(slot)


def records(directory: Path) -> int:
    """Checks the whole chain and counts the records."""
    seq, prev = 0, "0" * 64
    for segment in sorted(directory.glob("audit-*.jsonl")):
        for line in segment.read_bytes().splitlines():
            record = json.loads(line)
            if (record["seq"], record["prev"]) != (seq, prev):
                raise AssertionError(f"the chain breaks at record {seq}")
            seq, prev = seq + 1, hashlib.sha256(b"\0" + line).hexdigest()
    return seq


def refill(arena: Arena, op_class: int) -> int:
    """How many units a tenant alone gets, once the others' demand is forgotten."""
    permits = []
    while (permit := arena.admit(op_class, b"alone", 1)) >= 0:
        permits.append(permit)
    for permit in permits:
        arena.release(permit)
    return len(permits)


def main(directory: Path, seconds: float) -> dict[str, object]:
    arena = make_arena()
    log = AuditLog.open(arena, str(directory), 1 << 18)
    choose = random.Random(1)
    workers = [start(arena, log, seed) for seed in range(WORKERS)]
    statuses: list[int] = []
    reclaimed = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and set(statuses) <= {-signal.SIGKILL}:
        time.sleep(KILL_EVERY_S)
        status, permits = reap(arena, *workers.pop(choose.randrange(WORKERS)))
        statuses.append(status)
        reclaimed += permits
        workers.append(start(arena, log, len(statuses) + WORKERS))
    for worker in workers:
        status, permits = reap(arena, *worker)
        statuses.append(status)
        reclaimed += permits

    snapshot = arena.snapshot()
    found = [arena.cache_get(tag_of(arena, number)) for number in range(TAGS)]
    # Whatever locks and lines the dead left, a new worker can use all of it.
    arena.cache_sweep(all_entries=True)
    for number in range(TAGS):
        arena.cache_put(tag_of(arena, number), verify(number), negative=False)
    last = log.append(BODY)
    log.wait_durable(last)
    time.sleep(1.2)
    return {
        "kills": len(statuses),
        "statuses": sorted(set(statuses)),
        "reclaimed": reclaimed,
        "inflight": {name: units for name, (units, _) in snapshot.inflight.items()},
        "wrong": sum(1 for number, verdict in enumerate(found) if verdict >= 0 and verdict != verify(number)),
        "kept": sum(1 for verdict in found if verdict >= 0),
        "appended": snapshot.counters["appended"],
        "observed": snapshot.counters["observed"],
        "operations": sum(count for *_, count in snapshot.ops),
        "measured": sum(sum(buckets) for _, _, buckets, _ in snapshot.histograms),
        "records": records(directory),
        "head": log.head[0],
        "cache_size": arena.snapshot().cache["size"],
        "free": [refill(arena, op_class) for op_class in (0, 1)],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), float(sys.argv[2]))))
