"""What the engine answers itself, and when it declines."""

from __future__ import annotations

import base64
import json
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ronkms_native import Arena, AuditLog, Custody

from ronkms._fastpath import (
    UNKNOWN_GRANT,
    UNKNOWN_KEY,
    CompiledToken,
    Engine,
    Grant,
    SignKey,
    VerifyKey,
    parse,
)
from ronkms.domain.measure import (
    AUDIT_DIGEST,
    CAPABILITY,
    COUNTER_INDEX,
    EXTERNAL_POLICY,
    KEYRING,
    POLICY,
    http_counter,
)
from tests.fakes.api import make_arena

SIGN, VERIFY = 0, 1
HEADER = "Bearer a-token"
PEER = "192.0.2.7"
SIGNATURE = b"s" * 64


class Handle:
    """Signs as ``taught`` does then."""

    def __init__(self, taught: Taught) -> None:
        self._taught = weakref.ref(taught)

    def sign(self, message: bytes) -> bytes:
        taught = self._taught()
        assert taught is not None
        return taught.sign(message)


class Taught:
    """An engine that knows one token and one key, over real parts. ``external``: so is an external policy."""

    def __init__(self, directory: Path, *, external: bool = False) -> None:
        self.arena: Arena = make_arena()
        custody, _ = Custody.create("dev", None)
        self.digest_keys = [custody.unseal_mac_key(custody.generate_mac_key(b""), b"") for _ in range(2)]
        self.log = AuditLog.open(self.arena, str(directory), 1 << 20)
        self.log.after_fork()
        self.engine = Engine(
            self.arena,
            self.log,
            generations=(KEYRING, CAPABILITY, POLICY, AUDIT_DIGEST),
            counters=(http_counter(200), COUNTER_INDEX["kms_audit_records_total"]),
            outcomes=(0, 1),
            external=EXTERNAL_POLICY if external else None,
        )
        self.prefix = self.arena.cache_tag([b"a key"])
        self.signed: list[bytes] = []
        self.handle = Handle(self)
        self.teach_token()
        self.teach_keys()
        self.teach_digest_key(1)

    def teach_token(self, deadline: int = 1 << 40) -> None:
        token = CompiledToken(
            b"t", b'"tenant":"t","token":"00",', deadline, 0.0, [(SIGN, b"k*"), (VERIFY, b"k*")], [], 0
        )
        self.engine.learn_token("a-token", token, self.arena.generation(CAPABILITY))

    def teach_digest_key(self, epoch: int) -> None:
        generation = self.arena.generation(AUDIT_DIGEST)
        self.engine.learn_digest_key(self.digest_keys[epoch - 1], epoch, generation)

    def teach_keys(self) -> None:
        keyring, policy = self.arena.generation(KEYRING), self.arena.generation(POLICY)
        verify = VerifyKey(
            prefix=self.prefix,
            keyring=keyring,
            policy=policy,
            alg=1,
            alg_name=b"Ed25519",
            context=False,
            audit_part=b'","key_version":1,"alg":"Ed25519",',
            answers=(b"no", b"yes"),
            valid=(False, True),
        )
        self.engine.learn_verify_key(b"t", b"k", 0, verify)
        self.teach_sign_key(b"k")

    def teach_sign_key(self, key_id: bytes) -> None:
        sign = SignKey(
            keyring=self.arena.generation(KEYRING),
            policy=self.arena.generation(POLICY),
            alg=1,
            alg_name=b"Ed25519",
            cost=2,
            context=False,
            audit_part=b'","key_version":1,"alg":"Ed25519",',
            answer_parts=(b'{"signature":"', b'","key_id":"', b'"}'),
            handle=weakref.ref(self.handle),
        )
        self.engine.learn_sign_key(b"t", key_id, sign)

    def teach_grant(
        self,
        operation: int,
        *,
        seconds: float = 3600.0,
        key_id: bytes = b"k",
        cert: str = "",
        peer: str = PEER,
    ) -> None:
        grant = Grant(
            until=time.monotonic_ns() + int(seconds * 1e9),
            keyring=self.arena.generation(KEYRING),
            capability=self.arena.generation(CAPABILITY),
            policy=self.arena.generation(POLICY),
            external=self.arena.generation(EXTERNAL_POLICY),
        )
        self.engine.learn_grant(operation, "a-token", key_id, cert, peer, grant)

    def sign(self, message: bytes) -> bytes:
        self.signed.append(message)
        return SIGNATURE

    def cache(self, message_digest: bytes, verdict: int) -> None:
        tag = self.arena.cache_tag([self.prefix, b"message", b"", b"", message_digest, SIGNATURE])
        self.arena.cache_put(tag, verdict, verdict == 0)

    def ask(self, operation: int, cert: str = "", **members: object) -> bytes | int | None:
        token = self.engine.token(operation, HEADER)
        assert token is not None
        permit = self.engine.admit(token, operation)
        assert permit >= 0
        body = json.dumps({"key_id": "k", "message": base64.b64encode(b"m").decode(), **members}).encode()
        if operation == VERIFY:
            body = body[:-1] + b',"signature":"' + base64.b64encode(SIGNATURE) + b'"}'
            return self.engine.verify(token, permit, body, "c", cert, PEER, time.monotonic_ns())
        return self.engine.sign(token, permit, body, "c", cert, PEER, time.monotonic_ns())


@pytest.fixture
def taught(tmp_path: Path) -> Iterator[Taught]:
    made = Taught(tmp_path)
    yield made
    inflight = made.arena.snapshot().inflight
    assert (inflight["sign"][0], inflight["verify"][0]) == (0, 0)


def digest(message: bytes) -> bytes:
    from hashlib import sha256

    return sha256(message).digest()


def test_a_cached_verdict_is_answered(taught: Taught) -> None:
    assert taught.ask(VERIFY) is None
    taught.cache(digest(b"m"), 1)
    assert taught.ask(VERIFY) == b"yes"
    taught.cache(digest(b"m"), 0)
    assert taught.arena.snapshot().cache["miss"] == 0, "a miss is the general path's to count"
    assert taught.log.head[0] == 1


def test_a_negative_verdict_is_answered(taught: Taught) -> None:
    taught.cache(digest(b"m"), 0)
    assert taught.ask(VERIFY) == b"no"


def test_a_signature_is_answered(taught: Taught) -> None:
    encoded = base64.b64encode(SIGNATURE)
    assert taught.ask(SIGN) == b'{"signature":"' + encoded + b'","key_id":"k"}'
    assert taught.signed == [b"m"]
    assert taught.log.head[0] == 1


def test_a_handle_that_its_backend_let_go_is_taught_anew(taught: Taught) -> None:
    taught.handle = Handle(taught)
    assert taught.ask(SIGN) == UNKNOWN_KEY
    assert taught.signed == []
    taught.teach_keys()
    assert isinstance(taught.ask(SIGN), bytes)


def test_many_keys_are_known_at_once(taught: Taught) -> None:
    names = [f"key-{number}" for number in range(20_000)]
    for name in names:
        taught.teach_sign_key(name.encode())
    unknown = sum(taught.ask(SIGN, key_id=name) == UNKNOWN_KEY for name in names)
    assert unknown < 20, "hardly one met a full set"


def test_records_are_written_by_the_general_schema(taught: Taught, tmp_path: Path) -> None:
    taught.ask(SIGN)
    (record,) = [
        json.loads(line) for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    assert list(record)[-2:] == ["digest", "dk"]
    assert record.pop("dk") == 1
    assert record.pop("digest") == taught.digest_keys[0].mac(digest(b"m")).hex()
    assert {name: record[name] for name in list(record)[3:]} == {
        "v": 1,
        "op": "sign",
        "outcome": "ok",
        "tenant": "t",
        "token": "00",
        "corr_id": "c",
        "key_id": "k",
        "key_version": 1,
        "alg": "Ed25519",
    }


def test_a_new_digest_key_is_used_from_its_first_record_on(taught: Taught, tmp_path: Path) -> None:
    taught.cache(digest(b"m"), 1)
    assert taught.ask(VERIFY) == b"yes"
    taught.arena.bump(AUDIT_DIGEST)
    assert (taught.ask(VERIFY), taught.ask(SIGN)) == (UNKNOWN_KEY, UNKNOWN_KEY)
    assert taught.signed == []
    taught.teach_digest_key(2)
    assert taught.ask(VERIFY) == b"yes"
    assert isinstance(taught.ask(SIGN), bytes)
    lines = [line for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    found = [(record["dk"], record["digest"]) for record in map(json.loads, lines)]
    one, two = (key.mac(digest(b"m")).hex() for key in taught.digest_keys)
    assert found == [(1, one), (2, two), (2, two)]


def test_a_new_digest_key_during_the_cryptography_is_noticed(
    taught: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changes(message: bytes) -> bytes:
        taught.arena.bump(AUDIT_DIGEST)
        return SIGNATURE

    monkeypatch.setattr(taught, "sign", changes)
    taught.teach_keys()
    assert taught.ask(SIGN) is None
    assert taught.log.head[0] == 0


def test_without_a_digest_key_it_declines(taught: Taught) -> None:
    untaught = Engine(
        taught.arena,
        taught.log,
        generations=(KEYRING, CAPABILITY, POLICY, AUDIT_DIGEST),
        counters=(0, 1),
        outcomes=(0, 1),
    )
    taught.engine = untaught
    taught.teach_token()
    taught.teach_keys()
    assert taught.ask(SIGN) == UNKNOWN_KEY


@pytest.mark.parametrize("generation", [KEYRING, POLICY])
def test_a_change_makes_it_decline_to_verify(taught: Taught, generation: int) -> None:
    taught.cache(digest(b"m"), 1)
    taught.arena.bump(generation)
    assert taught.ask(VERIFY) == UNKNOWN_KEY
    taught.teach_keys()
    assert taught.ask(VERIFY) == b"yes"


@pytest.mark.parametrize("generation", [KEYRING, POLICY])
def test_a_change_makes_it_decline_to_sign(taught: Taught, generation: int) -> None:
    taught.arena.bump(generation)
    assert taught.ask(SIGN) == UNKNOWN_KEY
    assert taught.signed == []


@pytest.mark.parametrize("generation", [KEYRING, POLICY])
def test_a_change_during_the_cryptography_is_noticed(
    taught: Taught, monkeypatch: pytest.MonkeyPatch, generation: int
) -> None:
    def changes(message: bytes) -> bytes:
        taught.arena.bump(generation)
        return SIGNATURE

    monkeypatch.setattr(taught, "sign", changes)
    taught.teach_keys()
    assert taught.ask(SIGN) is None
    assert taught.log.head[0] == 0


def test_a_failing_backend_is_left_to_the_general_path(
    taught: Taught, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(message: bytes) -> bytes:
        raise ValueError

    monkeypatch.setattr(taught, "sign", fails)
    taught.teach_keys()
    assert taught.ask(SIGN) is None


def test_a_change_of_capabilities_makes_it_forget_tokens(taught: Taught) -> None:
    taught.arena.bump(CAPABILITY)
    assert taught.engine.token(SIGN, HEADER) is None


def test_an_expired_token_is_not_served(taught: Taught) -> None:
    taught.teach_token(deadline=int(time.time()))
    assert taught.engine.token(SIGN, HEADER) is None


@pytest.mark.parametrize(
    "header", ["", "Bearer ", "bearer a-token", "Bearer a-tokem", "Basic a-token", "é" * 9]
)
def test_other_headers_are_declined(taught: Taught, header: str) -> None:
    assert taught.engine.token(SIGN, header) is None


@pytest.mark.parametrize(
    "members",
    [{"context": "Yw=="}, {"key_id": "x"}, {"prehashed": "sha256"}, {"message": 1}, {"key_version": 2}],
)
def test_other_requests_are_declined(taught: Taught, members: dict[str, object]) -> None:
    taught.cache(digest(b"m"), 1)
    assert taught.ask(VERIFY, **members) in (None, UNKNOWN_KEY)
    assert taught.ask(SIGN, **members) in (None, UNKNOWN_KEY)
    assert taught.log.head[0] == 0


def test_a_key_outside_the_rights_is_declined(taught: Taught) -> None:
    narrow = CompiledToken(b"t", b"", 1 << 40, 0.0, [(SIGN, b"other")], [], 0)
    taught.engine.learn_token("a-token", narrow, taught.arena.generation(CAPABILITY))
    assert taught.ask(SIGN) is None
    assert taught.engine.token(VERIFY, HEADER) is None


def test_a_bound_token_is_answered_over_its_certificate_alone(taught: Taught) -> None:
    check = [("member", 4, frozenset({"ab" * 32}))]
    bound = CompiledToken(b"t", b'"tenant":"t","token":"00",', 1 << 40, 0.0, [(SIGN, b"k*")], [check], 0)
    taught.engine.learn_token("a-token", bound, taught.arena.generation(CAPABILITY))
    assert isinstance(taught.ask(SIGN, cert="ab" * 32), bytes)
    for wrong in ("", "cd" * 32, "ab" * 31):
        assert taught.ask(SIGN, cert=wrong) is None
    assert len(taught.signed) == 1


def test_a_token_passed_on_too_often_is_declined(taught: Taught) -> None:
    for delegations, answered in ((2, True), (3, False)):
        token = CompiledToken(
            b"t",
            b'"tenant":"t","token":"00",',
            1 << 40,
            0.0,
            [(SIGN, b"k*")],
            [[("delegations", 2)]],
            delegations,
        )
        taught.engine.learn_token("a-token", token, taught.arena.generation(CAPABILITY))
        assert isinstance(taught.ask(SIGN), bytes) is answered


def test_a_closed_log_is_left_to_the_general_path(taught: Taught, tmp_path: Path) -> None:
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    taught.log.writable()
    time.sleep(0.15)
    taught.ask(SIGN)
    time.sleep(0.15)
    assert taught.ask(SIGN) is None


def test_many_tokens_are_known_at_once(taught: Taught) -> None:
    """In a table with one place a name, some of so many would have taken another's."""
    generation = taught.arena.generation(CAPABILITY)
    names = [f"token-{number}" for number in range(300)]
    for name in names:
        token = CompiledToken(name.encode(), b"", 1 << 40, 0.0, [(SIGN, b"*")], [], 0)
        taught.engine.learn_token(name, token, generation)
    found = [taught.engine.token(SIGN, f"Bearer {name}") for name in names]
    assert [token.tenant.decode() for token in found if token is not None] == names


def test_a_full_table_gives_entries_up_and_takes_new_ones(taught: Taught) -> None:
    generation = taught.arena.generation(CAPABILITY)
    for number in range(3 * 4096):
        name = f"token-{number}"
        taught.engine.learn_token(
            name, CompiledToken(name.encode(), b"", 1 << 40, 0.0, [(SIGN, b"*")], [], 0), generation
        )
        assert taught.engine.token(SIGN, f"Bearer {name}") is not None


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Taught]:
    made = Taught(tmp_path, external=True)
    made.cache(digest(b"m"), 1)
    yield made
    inflight = made.arena.snapshot().inflight
    assert (inflight["sign"][0], inflight["verify"][0]) == (0, 0)


def test_with_an_external_policy_nothing_is_answered_without_a_grant(guarded: Taught) -> None:
    for operation in (SIGN, VERIFY):
        assert guarded.ask(operation) == UNKNOWN_GRANT
        guarded.teach_grant(operation)
        assert isinstance(guarded.ask(operation), bytes)
    assert len(guarded.signed) == 1
    assert guarded.log.head[0] == 2


def test_a_grant_is_for_one_operation_key_certificate_and_peer(guarded: Taught) -> None:
    guarded.teach_grant(VERIFY)
    guarded.teach_grant(SIGN, key_id=b"other")
    guarded.teach_grant(SIGN, cert="ab" * 32)
    guarded.teach_grant(SIGN, peer="192.0.2.8")
    guarded.teach_grant(SIGN, cert=PEER, peer="")
    assert guarded.ask(SIGN) == UNKNOWN_GRANT
    assert isinstance(guarded.ask(SIGN, cert="ab" * 32), bytes)


def test_a_grant_ends_by_the_clock(guarded: Taught) -> None:
    guarded.teach_grant(SIGN, seconds=0.0)
    assert guarded.ask(SIGN) == UNKNOWN_GRANT
    guarded.teach_grant(SIGN, seconds=0.2)
    time.sleep(0.2)
    assert guarded.ask(SIGN) == UNKNOWN_GRANT


@pytest.mark.parametrize("generation", [KEYRING, CAPABILITY, POLICY, EXTERNAL_POLICY])
def test_a_grant_ends_with_each_generation(guarded: Taught, generation: int) -> None:
    guarded.teach_grant(SIGN)
    assert isinstance(guarded.ask(SIGN), bytes)
    guarded.arena.bump(generation)
    guarded.teach_token()
    guarded.teach_keys()
    assert guarded.ask(SIGN) == UNKNOWN_GRANT


def test_a_grant_without_an_external_policy_is_a_fault(taught: Taught) -> None:
    with pytest.raises(ValueError, match="no external policy"):
        taught.teach_grant(SIGN)


class DigestKey:
    """The pointer of a digest key; asked for it, tells whether the one in use is still there."""

    def __init__(self, taught: Taught, in_use: weakref.ref[DigestKey] | None) -> None:
        self._key = taught.digest_keys[0]
        self._in_use = in_use
        self.kept: bool | None = None

    def _pointer(self) -> int:
        self.kept = self._in_use is None or self._in_use() is not None
        return self._key._pointer()


def test_the_digest_key_in_use_is_kept_until_another_is_in_place(taught: Taught) -> None:
    generation = taught.arena.generation(AUDIT_DIGEST)
    first = DigestKey(taught, None)
    in_use = weakref.ref(first)
    taught.engine.learn_digest_key(first, 1, generation)
    del first
    second = DigestKey(taught, in_use)
    taught.engine.learn_digest_key(second, 1, generation)
    assert second.kept, "another thread may be using it"
    assert in_use() is None
    assert isinstance(taught.ask(SIGN), bytes)


def test_nothing_takes_none_for_an_object(taught: Taught) -> None:
    engine = taught.engine
    token = engine.token(SIGN, HEADER)
    assert token is not None
    entry = {"keyring": 0, "policy": 0, "alg": 0, "alg_name": b"", "context": False, "audit_part": b""}
    now = time.monotonic_ns()
    calls: list[tuple[Callable[..., object], tuple[object, ...], dict[str, object]]] = [
        (engine.token, (SIGN, None), {}),
        (engine.admit, (None, SIGN), {}),
        (engine.sign, (None, -1, b"{}", "c", "", PEER, now), {}),
        (engine.verify, (None, -1, b"{}", "c", "", PEER, now), {}),
        (engine.sign, (token, -1, None, "c", "", PEER, now), {}),
        (engine.learn_token, ("a", None, 0), {}),
        (engine.learn_verify_key, (b"t", b"k", 0, None), {}),
        (engine.learn_sign_key, (b"t", b"k", None), {}),
        (parse, (None,), {}),
        (CompiledToken, (None, b"", 0, 0.0, [], [], 0), {}),
        (VerifyKey, (), {**entry, "prefix": bytes(32), "answers": None, "valid": (True,)}),
        (SignKey, (), {**entry, "cost": 1, "answer_parts": None, "handle": None}),
    ]
    for call, positional, named in calls:
        with pytest.raises(TypeError):
            call(*positional, **named)


def test_a_verdict_without_its_answer_is_refused(taught: Taught) -> None:
    with pytest.raises(ValueError, match="every verdict"):
        VerifyKey(
            prefix=bytes(32),
            keyring=0,
            policy=0,
            alg=0,
            alg_name=b"",
            context=False,
            audit_part=b"",
            answers=(b"no", b"yes"),
            valid=(False,),
        )
