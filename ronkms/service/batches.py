"""Many signatures or verifications in one request: one admission, one audit record, all cores.

An item that fails holds its error in its place and never fails the others. Items that differ only in
their message (signing), or that take no special input (verification), share one native call.
``service.plain_batches`` gives the same answers to the common batch in less time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from ronkms.errors import KmsError
from ronkms.service.admission import Gate
from ronkms.service.batch_answers import BatchAnswers, Name, each_of
from ronkms.service.call import Call
from ronkms.service.results import Signature, Verification
from ronkms.service.sign import Prepared, Signing
from ronkms.service.verify import Verifying
from ronkms.service.verify_candidates import Candidate, Check

MAX_ITEMS: Final = 1000

_Work = TypeVar("_Work", Prepared, Check)
_Result = TypeVar("_Result", Signature, Verification)


class _Batch(BatchAnswers[_Result], Generic[_Work, _Result]):
    """The items of one request: what is still to be done, and the answers by position."""

    def __init__(self, call: Call, items: Sequence[Callable[[Call], _Work]]) -> None:
        key_ids: list[str] = []
        super().__init__(len(items), key_ids.__getitem__)
        call.become_batch(len(items))
        self.work: list[tuple[int, _Work]] = []
        names: set[Name] = set()
        for position, prepare in enumerate(items):
            call.key_id, call.key_version, call.alg = "", 0, ""
            try:
                self.work.append((position, prepare(call)))
            except KmsError as error:
                self.by_position[position] = error
            key_ids.append(call.key_id)
            names.add((call.key_id, call.key_version, call.alg))
        self.describe(call, names, (work.digest for _, work in self.work))


class Batches:
    """Takes one callable an item, which decodes and decides on it, or raises a KmsError."""

    def __init__(self, *, gate: Gate, signing: Signing, verifying: Verifying) -> None:
        self._gate = gate
        self._signing = signing
        self._verifying = verifying

    def sign(self, call: Call, items: Sequence[Callable[[Call], Prepared]]) -> list[Signature | KmsError]:
        """Results in the order of ``items``. Raises Saturated, TenantOverShare, for all."""
        batch: _Batch[Prepared, Signature] = _Batch(call, items)
        self._gate.top_up(call, sum(prepared.cost for _, prepared in batch.work))
        groups: dict[tuple[object, ...], list[tuple[int, Prepared]]] = {}
        for position, prepared in batch.work:
            alike = (prepared.key.key_id, prepared.version.number, prepared.given.context)
            groups.setdefault(alike if prepared.given.plain else (position,), []).append((position, prepared))
        for group in groups.values():
            try:
                signatures = self._sign_group(call, [prepared for _, prepared in group])
            except KmsError as error:
                batch.by_position.update({position: error for position, _ in group})
            else:
                batch.by_position.update(zip((position for position, _ in group), signatures, strict=True))
        return batch.close(call)

    def verify(self, call: Call, items: Sequence[Callable[[Call], Check]]) -> list[Verification | KmsError]:
        """Results in the order of ``items``. Raises Saturated, TenantOverShare, for all."""
        batch: _Batch[Check, Verification] = _Batch(call, items)
        misses = [
            (position, check, candidate)
            for position, check in batch.work
            for candidate in self._verifying.advance(check, 1)
        ]
        once = {candidate.tag: check for _, check, candidate in misses}
        self._gate.top_up(call, sum(map(self._verifying.cost, once.values())))
        self._compute(call, batch, misses)
        for position, check in batch.work:
            if position not in batch.by_position:
                try:
                    batch.by_position[position] = self._verifying.conclude(check)
                except KmsError as error:
                    batch.by_position[position] = error
        return batch.close(call)

    def _sign_group(self, call: Call, group: list[Prepared]) -> list[Signature | KmsError]:
        if len(group) == 1:
            return [self._signing.finish(group[0])]
        messages = [prepared.given.data for prepared in group]
        alike = self._signing.finish_alike(group[0], messages, background=call.background)
        return each_of(alike, len(group))

    def _compute(
        self, call: Call, batch: _Batch[Check, Verification], misses: list[tuple[int, Check, Candidate]]
    ) -> None:
        together = []
        single: dict[bytes, Candidate] = {}
        for position, check, candidate in misses:
            try:
                if check.given.plain:
                    self._verifying.public_key(candidate)
                    together.append((check.given, check.signature, candidate))
                elif (computed := single.get(candidate.tag)) is not None:
                    candidate.verdicts = computed.verdicts
                else:
                    self._verifying.compute(check, candidate)
                    single[candidate.tag] = candidate
            except KmsError as error:
                batch.by_position[position] = error
        self._verifying.compute_plain(together, background=call.background)
