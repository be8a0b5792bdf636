"""Batches of plain items only: what is the same for all items of a key is found once, not once an item.

Plain is a message under a stored key, with or without a context. The answers are those of
``service.batches``, which takes every batch and to which this leaves what cannot be found once for several
items: the decision on a token that may depend on the message.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import sha256
from itertools import chain
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from ronkms.errors import KmsError
from ronkms.service.admission import Gate
from ronkms.service.batch_answers import BatchAnswers, Name, each_of
from ronkms.service.call import Call
from ronkms.service.crypto_input import CryptoInput
from ronkms.service.results import CacheUse, Signature, SignedAlike, Verification
from ronkms.service.sign import Signing
from ronkms.service.verify import Verifying
from ronkms.service.verify_candidates import Candidate, Check

NEWEST: Final = 0
"""The key version of an item that names none."""


class PlainSign(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One message to sign: at most MAX_MESSAGE bytes, and a context of at most MAX_CONTEXT, both from
    base64 in JSON."""

    key_id: str
    message: bytes
    context: bytes = b""


class PlainVerify(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One signature to verify; sizes as in :class:`PlainSign`."""

    key_id: str
    message: bytes
    signature: bytes
    context: bytes = b""
    key_version: Annotated[int, Meta(ge=1, le=2**32 - 1)] = NEWEST


class _Alike(NamedTuple):
    """Items to verify that differ in message and signature only. ``newest``: their first candidate."""

    check: Check
    newest: Candidate
    positions: Sequence[int]
    last: bool
    """No other version could have made the signatures."""


class _LookedUp(NamedTuple):
    """What the cache said on one item; ``verdicts`` None for a miss."""

    position: int
    alike: _Alike
    tag: bytes
    used: CacheUse
    verdicts: tuple[bool, ...] | None


_Key = TypeVar("_Key", bound=Hashable)


class PlainBatches:
    """For tokens whose decision does not depend on the message."""

    def __init__(self, *, gate: Gate, signing: Signing, verifying: Verifying) -> None:
        self._gate = gate
        self._signing = signing
        self._verifying = verifying

    def sign(self, call: Call, items: Sequence[PlainSign]) -> list[Signature | KmsError] | SignedAlike:
        """Results in the order of ``items``. Raises Saturated, TenantOverShare, for all."""
        call.become_batch(len(items))
        answers: BatchAnswers[Signature] = BatchAnswers(len(items), lambda at: items[at].key_id)
        names: set[Name] = set()
        digests = [b""] * len(items)
        cost = 0
        groups = []
        for (key_id, context), positions in _positions([(item.key_id, item.context) for item in items]):
            call.key_id, call.key_version, call.alg = "", 0, ""
            first = CryptoInput(items[positions[0]].message, context=context)
            try:
                prepared = self._signing.prepare(call, key_id, first)
            except KmsError as error:
                answers.by_position.update(dict.fromkeys(positions, error))
            else:
                groups.append((prepared, positions))
                for at in positions:
                    digests[at] = sha256(items[at].message).digest()
                cost += prepared.cost * len(positions)
            names.add((call.key_id, call.key_version, call.alg))
        answers.describe(call, names, filter(None, digests))
        self._gate.top_up(call, cost)
        for prepared, positions in groups:
            try:
                messages = [items[at].message for at in positions]
                alike = self._signing.finish_alike(prepared, messages, background=call.background)
            except KmsError as error:
                answers.by_position.update(dict.fromkeys(positions, error))
                continue
            if len(positions) == len(items) and alike.refusal is None:
                return answers.close_alike(call, alike)
            answers.by_position.update(zip(positions, each_of(alike, len(positions)), strict=True))
        return answers.close(call)

    def verify(self, call: Call, items: Sequence[PlainVerify]) -> list[Verification | KmsError]:
        """Results in the order of ``items``. Raises Saturated, TenantOverShare, for all."""
        call.become_batch(len(items))
        answers: BatchAnswers[Verification] = BatchAnswers(len(items), lambda at: items[at].key_id)
        names: set[Name] = set()
        digests = [b""] * len(items)
        groups = []
        alike = [(item.key_id, item.key_version, item.context) for item in items]
        for (key_id, number, context), positions in _positions(alike):
            call.key_id, call.key_version, call.alg = "", 0, ""
            first = items[positions[0]]
            given = CryptoInput(first.message, context=context)
            try:
                check = self._verifying.candidates.of_key(
                    call, key_id, number or None, given, first.signature
                )
            except KmsError as error:
                answers.by_position.update(dict.fromkeys(positions, error))
            else:
                newest = next(check.untried)
                check.tried = [newest]
                last = number != NEWEST or check.key is None or len(check.key.versions) == 1
                groups.append(_Alike(check, newest, positions, last))
                for at in positions:
                    digests[at] = sha256(items[at].message).digest()
            names.add((call.key_id, call.key_version, call.alg))
        answers.describe(call, names, filter(None, digests))
        looked_up = [
            self._look_up(group, at, digests[at], items[at].signature)
            for group in groups
            for at in group.positions
        ]
        computed = self._compute(call, items, looked_up)
        self._conclude(call, items, looked_up, computed, answers)
        return answers.close(call)

    def _look_up(self, alike: _Alike, position: int, digest: bytes, signature: bytes) -> _LookedUp:
        newest = alike.newest
        tag = self._verifying.candidates.tag(newest, alike.check.given, digest, signature)
        verdicts, stale = self._verifying.cache.get(tag, len(newest.row.components))
        used: CacheUse = "hit" if verdicts is not None else "stale" if stale else "miss"
        return _LookedUp(position, alike, tag, used, verdicts)

    def _compute(
        self, call: Call, items: Sequence[PlainVerify], looked_up: list[_LookedUp]
    ) -> dict[bytes, tuple[bool, ...]]:
        """Verdicts of the misses by tag, so that equal items are computed once."""
        misses = {found.tag: found for found in looked_up if found.verdicts is None}
        self._gate.top_up(call, sum(self._verifying.cost(each.alike.check) for each in misses.values()))
        work = []
        for tag, found in misses.items():
            item = items[found.position]
            given = CryptoInput(item.message, context=item.context)
            work.append((given, item.signature, found.alike.newest.again(tag)))
        self._verifying.compute_plain(work, background=call.background)
        return {candidate.tag: candidate.verdicts for _, _, candidate in work}

    def _conclude(
        self,
        call: Call,
        items: Sequence[PlainVerify],
        looked_up: list[_LookedUp],
        computed: dict[bytes, tuple[bool, ...]],
        answers: BatchAnswers[Verification],
    ) -> None:
        """Items whose verdicts and use of the cache are the same share one answer."""
        shared: dict[tuple[int, tuple[bool, ...], CacheUse], Verification | KmsError] = {}
        for position, alike, tag, used, kept in looked_up:
            verdicts = computed[tag] if kept is None else kept
            same = (alike.positions[0], verdicts, used)
            answer = shared.get(same)
            if answer is None:
                candidate = alike.newest.again(tag)
                candidate.verdicts = verdicts
                if alike.last or self._verifying.accepts(alike.check, candidate):
                    answer = shared[same] = self._answer(alike.check, candidate, used)
                else:
                    answer = self._try_older(call, items[position], candidate, used)
            answers.by_position[position] = answer

    def _answer(self, check: Check, candidate: Candidate, used: CacheUse) -> Verification | KmsError:
        check.tried, check.used = [candidate], used
        return self._conclusion(check)

    def _conclusion(self, check: Check) -> Verification | KmsError:
        try:
            return self._verifying.conclude(check)
        except KmsError as error:
            return error

    def _try_older(
        self, call: Call, item: PlainVerify, newest: Candidate, used: CacheUse
    ) -> Verification | KmsError:
        apart = call.apart()
        given = CryptoInput(item.message, context=item.context)
        try:
            check = self._verifying.candidates.of_key(apart, item.key_id, None, given, item.signature)
        except KmsError as error:
            return error
        first = next(check.untried)
        if first.tag == newest.tag:
            return self._answer(check, newest, used)
        # The key or the policy changed meanwhile.
        check.untried = chain((first,), check.untried)
        return self._conclusion(check)


def _positions(keys: Sequence[_Key]) -> list[tuple[_Key, Sequence[int]]]:
    """Where each key stands, in the order of their first."""
    if keys.count(keys[0]) == len(keys):
        return [(keys[0], range(len(keys)))]
    found: dict[_Key, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return list(found.items())
