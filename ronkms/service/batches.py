"""Many signatures or verifications in one request: one admission, one audit record, all cores.

An item that fails holds its error in its place and never fails the others. Items that differ only in
their message (signing), or that take no special input (verification), share one native call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, Generic, TypeVar

from ronkms.domain.operation import Outcome
from ronkms.errors import Denied, KmsError
from ronkms.service.admission import Gate
from ronkms.service.call import Call
from ronkms.service.results import Signature, Verification
from ronkms.service.sign import Prepared, Signing
from ronkms.service.verify import Verifying
from ronkms.service.verify_candidates import Candidate, Check

MAX_ITEMS: Final = 1000

_Work = TypeVar("_Work", Prepared, Check)
_Result = TypeVar("_Result", Signature, Verification)


class _Batch(Generic[_Work, _Result]):
    """The items of one request: what is still to be done, and the answers by position."""

    def __init__(self, call: Call, items: Sequence[Callable[[Call], _Work]]) -> None:
        self.answers: dict[int, _Result | KmsError] = {}
        self.work: list[tuple[int, _Work]] = []
        self._size = len(items)
        names = set()
        for position, prepare in enumerate(items):
            call.key_id, call.key_version, call.alg = "", 0, ""
            try:
                self.work.append((position, prepare(call)))
            except KmsError as error:
                self.answers[position] = error
            names.add((call.key_id, call.key_version, call.alg))
        self._describe(call, names)

    def _describe(self, call: Call, names: set[tuple[str, int, str]]) -> None:
        call.items = self._size
        call.key_id, call.key_version, call.alg = names.pop() if len(names) == 1 else ("", 0, "")
        inputs = [work.digest for _, work in self.work]
        call.input = sha256(b"".join(len(each).to_bytes(4, "big") + each for each in inputs)).digest()

    def close(self, call: Call) -> list[_Result | KmsError]:
        """Answers in order; the audit record gets their sums."""
        answers = [self.answers[position] for position in range(self._size)]
        errors = [answer for answer in answers if isinstance(answer, KmsError)]
        invalid = sum(isinstance(answer, Verification) and not answer.valid for answer in answers)
        denied = sum(isinstance(error, Denied) for error in errors)
        call.detail = f"failed={len(errors)} denied={denied} invalid={invalid}"
        refusal = next((error for error in errors if isinstance(error, Denied)), None)
        if refusal is not None:
            call.detail += f" first_denied={refusal.reason}"
        if errors and len(errors) == self._size:
            call.outcome = Outcome.DENIED if denied == self._size else Outcome.REJECTED
        elif invalid:
            call.outcome = Outcome.INVALID
        return answers


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
                signatures = self._sign_group([prepared for _, prepared in group])
            except KmsError as error:
                batch.answers.update({position: error for position, _ in group})
            else:
                batch.answers.update(zip((position for position, _ in group), signatures, strict=True))
        return batch.close(call)

    def verify(self, call: Call, items: Sequence[Callable[[Call], Check]]) -> list[Verification | KmsError]:
        """Results in the order of ``items``. Raises Saturated, TenantOverShare, for all."""
        batch: _Batch[Check, Verification] = _Batch(call, items)
        misses = [
            (position, check, candidate)
            for position, check in batch.work
            for candidate in self._verifying.advance(check, 1)
        ]
        self._gate.top_up(call, sum(self._verifying.cost(check) for _, check, _ in misses))
        self._compute(batch, misses)
        for position, check in batch.work:
            if position not in batch.answers:
                try:
                    batch.answers[position] = self._verifying.conclude(check)
                except KmsError as error:
                    batch.answers[position] = error
        return batch.close(call)

    def _sign_group(self, group: list[Prepared]) -> list[Signature]:
        if len(group) == 1:
            return [self._signing.finish(group[0])]
        return self._signing.finish_alike(group)

    def _compute(
        self, batch: _Batch[Check, Verification], misses: list[tuple[int, Check, Candidate]]
    ) -> None:
        together = []
        for position, check, candidate in misses:
            try:
                if check.given.plain:
                    self._verifying.public_key(candidate)
                    together.append((check, candidate))
                else:
                    self._verifying.compute(check, candidate)
            except KmsError as error:
                batch.answers[position] = error
        self._verifying.compute_plain(together)
