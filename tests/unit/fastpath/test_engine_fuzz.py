"""Random and mutated bytes for what the hot path reads: bodies, tokens, predicates. The twins agree with it.

The short form runs with the other unit tests; the long one for RONKMS_FUZZ_SECONDS (180) in ``make prove``.
A failure names its seed and its case; RONKMS_FUZZ_SEED runs that seed again.
"""

from __future__ import annotations

import base64
import json
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from ronkms import _fastpath
from ronkms._fastpath import UNKNOWN_KEY, CompiledToken
from ronkms.capability import pattern
from ronkms.capability.access import FACTS, Access
from ronkms.capability.checks import Alternatives, CompiledChecks, Query
from tests.unit.fastpath import request_body_twin
from tests.unit.fastpath.test_engine import HEADER, PEER, SIGN, SIGNATURE, VERIFY, Taught

NAMES = ("key_id", "message", "signature", "context", "key_version", "prehashed", "items", "")
EDGES = (0, 1, 2, 3, 4, 254, 255, 256, 8191, 8192, 8193, 65535, 65536, 65537)
"""Lengths about the limits of the parser's buffers."""
BYTES = b'"\\{}[],: \n\t\0=A/+0129az._-\x1f\x7f\x80\xff'
NOW = 1_800_000_000


@pytest.fixture
def taught(tmp_path: Path) -> Taught:
    return Taught(tmp_path)


def seeds() -> Iterator[int]:
    """One seed; for the long form as many as the time allows."""
    given = os.environ.get("RONKMS_FUZZ_SEED")
    if given is not None:
        yield int(given)
        return
    end = time.monotonic() + float(os.environ.get("RONKMS_FUZZ_SECONDS", "180"))
    while time.monotonic() < end:
        yield secrets.randbits(64)


def value(rng: random.Random) -> str:
    match rng.randrange(8):
        case 0:
            return str(rng.choice((0, 1, 7, 999_999_999, 1_000_000_000, 1 << 64)))
        case 1:
            return rng.choice(("null", "true", "1.0", "-1", "[]", "{}", '"', "01", ""))
        case 2 | 3:
            size = rng.choice((0, 1, 2, 127, 128, 129))
            return json.dumps("".join(rng.choice("kaz09._-A ") for _ in range(size)))
        case 4:
            return json.dumps(base64.b64encode(rng.randbytes(rng.choice(EDGES))).decode())
        case 5:
            return json.dumps(base64.urlsafe_b64encode(rng.randbytes(rng.randrange(9))).decode().rstrip("="))
        case _:
            return json.dumps(base64.b64encode(rng.randbytes(rng.randrange(70))).decode())


def space(rng: random.Random) -> str:
    return rng.choice(("", "", "", " ", "\n\t\r "))


def body(rng: random.Random) -> bytes:
    """What the engine answers, of its shape, near it, or nothing like it."""
    if rng.randrange(8) == 0:
        return rng.randbytes(rng.randrange(200))
    if rng.randrange(3) == 0:
        members = {"key_id": "k", "message": base64.b64encode(b"m").decode()}
        if rng.randrange(2):
            members["signature"] = base64.b64encode(SIGNATURE).decode()
        made = json.dumps(members).encode()
    else:
        names = rng.choices(NAMES, weights=(9, 9, 9, 5, 5, 1, 1, 1), k=rng.randrange(6))
        parts = [f'{space(rng)}"{name}"{space(rng)}:{space(rng)}{value(rng)}{space(rng)}' for name in names]
        made = f"{space(rng)}{{{','.join(parts)}}}{space(rng)}".encode()
    return mutated(rng, made)


def mutated(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 5))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                del changed[at:]
            case 1:
                changed[at:at] = bytes([rng.choice(BYTES)])
            case 2:
                changed[at : at + 1] = bytes([rng.choice(BYTES)])
            case 3:
                changed[at : at + rng.randrange(5)] = b""
            case _:
                start = rng.randrange(len(changed) + 1)
                changed[at:at] = changed[start : start + rng.randrange(20)]
    return bytes(changed)


def check_body(data: bytes) -> str:
    parsed = _fastpath.parse(data)
    assert parsed == request_body_twin.parse(data), data
    return "bodies declined" if parsed is None else "bodies parsed"


def check_request(taught: Taught, operation: int, data: bytes) -> str:
    """It answers only what the twin reads as a request of the known key, and then this message alone."""
    token = taught.engine.token(operation, HEADER)
    assert token is not None
    permit = taught.engine.admit(token, operation)
    assert permit >= 0, "a permit was not given back"
    before, signed = taught.log.head[0], len(taught.signed)
    run = taught.engine.sign if operation == SIGN else taught.engine.verify
    answer = run(token, permit, data, "c", "", PEER, time.monotonic_ns())
    asked = request_body_twin.parse(data) or {}
    known = asked.get("key_id") == "k" and asked.get("message") is not None and not asked.get("context")
    names = {"key_id", "message", "context"}
    if operation == SIGN:
        expected = known and set(asked) <= names
        assert taught.signed[signed:] == ([asked["message"]] if expected else []), data
    else:
        signs = asked.get("message") == b"m" and asked.get("signature") == SIGNATURE
        expected = known and signs and set(asked) <= names | {"signature"}
    assert isinstance(answer, bytes) is expected, (data, answer)
    assert taught.log.head[0] == before + expected
    if not expected:
        assert answer in (None, UNKNOWN_KEY)
        return "requests declined"
    if operation == VERIFY:
        assert answer == b"yes"
    return "requests answered"


def check_header(taught: Taught, header: str) -> str:
    token = taught.engine.token(SIGN, header)
    assert (token is not None) is (header == HEADER), header
    return "headers declined" if token is None else "headers taken"


def text(rng: random.Random) -> str:
    return "".join(rng.choice("ab-1*é\0") for _ in range(rng.choice((0, 1, 1, 2, 3, 9, 300))))


def query(rng: random.Random) -> Query:
    fact = rng.randrange(len(FACTS))
    moment = NOW + rng.choice((-(1 << 62), -1, 0, 1, 1 << 61))
    match rng.randrange(6):
        case 0:
            return "time", moment
        case 1:
            return "since", moment
        case 2:
            return "delegations", rng.randrange(4)
        case 3:
            return "member", fact, frozenset(text(rng) for _ in range(rng.choice((1, 2, 40))))
        case 4:
            return "prefix", fact, text(rng)
        case _:
            return "affix", fact, text(rng), text(rng)


def check_predicates(rng: random.Random) -> str:
    checks: list[Alternatives] = [
        tuple(query(rng) for _ in range(rng.randrange(1, 4))) for _ in range(rng.randrange(4))
    ]
    granted = [(rng.randrange(2), text(rng)) for _ in range(rng.randrange(1, 4))]
    operation, delegations = rng.randrange(2), rng.randrange(4)
    key, alg, digest, cert = (text(rng).replace("*", "b") for _ in range(4))
    rights = [(op, each.encode()) for op, each in granted]
    native = CompiledToken(b"t", b"", 1 << 62, 0.0, rights, [list(check) for check in checks], delegations)
    # A stated fact is never empty.
    key, alg, digest = key or "k", alg or "a", digest or "d"
    access = Access(("sign", "verify")[operation], key, alg, digest, cert or None, NOW, delegations)
    general = CompiledChecks(None, tuple(checks), tuple(range(len(checks)))).predicates
    expected = any(op == operation and pattern.matches(each, key) for op, each in granted) and all(
        holds(access) for holds in general
    )
    decided = native.decide(operation, key.encode(), alg.encode(), digest.encode(), cert.encode(), NOW)
    assert decided is expected, (granted, checks, access)
    return "predicates that hold" if expected else "predicates that do not"


def rounds(taught: Taught, seed: int, count: int, seen: Counter[str]) -> None:
    rng = random.Random(seed)
    taught.cache(sha256(b"m").digest(), 1)
    taught.signed.clear()
    try:
        for _ in range(count):
            data = body(rng)
            seen[check_body(data)] += 1
            seen[check_request(taught, rng.choice((SIGN, VERIFY)), data)] += 1
            header = mutated(rng, HEADER.encode()).decode("latin-1")
            seen[check_header(taught, header)] += 1
            seen[check_predicates(rng)] += 1
    except BaseException as error:
        error.add_note(f"RONKMS_FUZZ_SEED={seed}")
        raise


def test_any_bytes_give_what_the_general_path_gives(taught: Taught) -> None:
    seen: Counter[str] = Counter()
    rounds(taught, 1, 1_000, seen)
    assert len(seen) == 8, "a kind of case did not come up"


@pytest.mark.long
def test_any_bytes_for_minutes(taught: Taught) -> None:
    seen: Counter[str] = Counter()
    for seed in seeds():
        rounds(taught, seed, 2_000, seen)
    print("".join(f"\n{count:,} {kind}" for kind, count in sorted(seen.items())))
    assert sum(seen.values()) > 0
