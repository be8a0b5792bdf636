"""The answers of one batch by position, and what its one audit record says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Generic, TypeVar

from ronkms.domain.operation import Outcome
from ronkms.errors import Denied, KmsError, PolicyUnavailable, RequestError
from ronkms.service.call import Call
from ronkms.service.results import Signature, SignedAlike, Verification

_Result = TypeVar("_Result", Signature, Verification)
Name = tuple[str, int, str]
"""(key id, key version, algorithm), as far as they were found out about an item."""


class BatchAnswers(Generic[_Result]):
    """``by_position`` is filled by whoever does the work."""

    def __init__(self, size: int, key_id_at: Callable[[int], str]) -> None:
        """``key_id_at``: the stored key that the item at a position names."""
        self.by_position: dict[int, _Result | KmsError] = {}
        self._size = size
        self._key_id_at = key_id_at

    def describe(self, call: Call, names: set[Name], digests: Iterable[bytes]) -> None:
        """Before the permit grows. ``digests``: of the inputs that were not refused, in order."""
        call.key_id, call.key_version, call.alg = names.pop() if len(names) == 1 else ("", 0, "")
        call.input = _digest_of_all(list(digests))

    def close(self, call: Call) -> list[_Result | KmsError]:
        """Answers in order; the audit record gets their sums."""
        answers = [self.by_position[position] for position in range(self._size)]
        errors = [answer for answer in answers if isinstance(answer, KmsError)]
        invalid = sum(isinstance(answer, Verification) and not answer.valid for answer in answers)
        denials = [error for error in errors if isinstance(error, Denied)]
        call.detail = _sums(len(errors), len(denials), invalid)
        if denials:
            call.detail += f" first_denied={denials[0].reason}"
            to_admin = call.tells_reasons()
            for denial in denials:
                denial.to_admin = to_admin
        undecided = next((error for error in errors if isinstance(error, PolicyUnavailable)), None)
        if undecided is not None:
            call.detail += f" first_undecided={undecided.fault}: {undecided.reason}"
        if errors and len(errors) == self._size:
            rejected = any(isinstance(error, RequestError) for error in errors)
            call.outcome = Outcome.REJECTED if rejected else Outcome.ERROR
            if len(denials) == self._size:
                call.outcome = Outcome.DENIED
        elif invalid:
            call.outcome = Outcome.INVALID
        if errors or not call.key_version:
            self._name_keys(call, answers, all_used=not errors)
        return answers

    def close_alike(self, call: Call, alike: SignedAlike) -> SignedAlike:
        """As :meth:`close`, for items that one key version has signed."""
        call.detail = _sums(0, 0, 0)
        return alike

    def _name_keys(self, call: Call, answers: list[_Result | KmsError], *, all_used: bool) -> None:
        """What was used, for the record: one version by all items, or versions with their counts of items."""
        used = [
            (at, answer.key_version) for at, answer in enumerate(answers) if not isinstance(answer, KmsError)
        ]
        versions = {version for _, version in used}
        if call.key_id and len(versions) == 1:
            call.key_version = versions.pop() or 0
            if all_used:
                return
        call.keys = Counter(f"{self._key_id_at(at)}/{version}" for at, version in used if version)


def each_of(alike: SignedAlike, items: int) -> list[Signature | KmsError]:
    """One answer an item."""
    like = alike.like
    answers: list[Signature | KmsError] = [
        Signature(signature=signature, alg=like.alg, key_id=like.key_id, key_version=like.key_version)
        for signature in alike.signatures
    ]
    if alike.refusal is not None:
        answers += [alike.refusal] * (items - len(answers))
    return answers


def _sums(failed: int, denied: int, invalid: int) -> str:
    return f"failed={failed} denied={denied} invalid={invalid}"


def _digest_of_all(digests: list[bytes]) -> bytes:
    """SHA-256 over each with its length before it: four bytes, big-endian."""
    lengths = set(map(len, digests))
    if len(lengths) == 1:
        length = lengths.pop().to_bytes(4, "big")
        return sha256(length + length.join(digests)).digest()
    return sha256(b"".join(len(each).to_bytes(4, "big") + each for each in digests)).digest()
