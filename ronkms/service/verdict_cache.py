"""Verdicts of verifications in the cache that all workers share.

A tag covers, each with its length and in this order: a sub-tag of what stays the same for a key (tenant,
verify mode, policy generation, key epoch, algorithm, public key, key version), input kind, signature
format, context, digest of the input, signature. ``ext/_fastpath.pyx`` makes the same tags.
The digest is SHA-256 of a message, whatever its length; other inputs stand as they are, which the input
kind keeps apart. A rotation, a state change or a policy change alters the tag, so that older verdicts are
unreachable at once in every worker.
"""

from __future__ import annotations

from itertools import product
from typing import Final

from ronkms_native import Arena

MAX_COMPONENTS: Final = 3

_UNPACKED: Final = tuple(
    tuple(tuple(bool(bits >> position & 1) for position in range(count)) for bits in range(1 << count))
    for count in range(MAX_COMPONENTS + 1)
)
_PACKED: Final = {
    verdicts: sum(verdict << position for position, verdict in enumerate(verdicts))
    for count in range(1, MAX_COMPONENTS + 1)
    for verdicts in product((False, True), repeat=count)
}

_STALE: Final = -2


def verdicts_of(bits: int, components: int) -> tuple[bool, ...]:
    """The verdicts that are packed into ``bits``, one a component."""
    return _UNPACKED[components][bits]


class VerdictCache:
    """One verdict a component, packed into bits."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def sub_tag(
        self, tenant: bytes, mode: str, generation: int, epoch: int, alg: str, public: bytes, number: int
    ) -> bytes:
        """32 bytes for what stays the same for a key; ``generation`` is the policy's, ``number`` the key
        version (0 for an inline key)."""
        return self._arena.cache_tag(
            [
                tenant,
                mode.encode(),
                generation.to_bytes(8, "big"),
                epoch.to_bytes(8, "big"),
                alg.encode(),
                public,
                number.to_bytes(4, "big"),
            ]
        )

    def tag(self, sub_tag: bytes, input_parts: list[bytes]) -> bytes:
        """The 32-byte tag: the sub-tag and the parts of the input named above."""
        return self._arena.cache_tag([sub_tag, *input_parts])

    def get(self, tag: bytes, components: int) -> tuple[tuple[bool, ...] | None, bool]:
        """(verdicts, False), (None, False) for a miss, (None, True) for a stale entry."""
        return _found(self._arena.cache_get(tag), components)

    def claim(self, tag: bytes, components: int) -> tuple[tuple[bool, ...] | None, bool]:
        """As :meth:`get`, but a miss waits up to 2 ms for another's verdict on the same tag. After a miss
        or a stale entry the caller must end the claim, by :meth:`put` or :meth:`abandon`."""
        return _found(self._arena.cache_claim(tag), components)

    def abandon(self, tag: bytes) -> None:
        """Ends a claim without verdicts."""
        self._arena.cache_abandon(tag)

    def put(self, tag: bytes, verdicts: tuple[bool, ...]) -> None:
        """Keeps verdicts of a verification that was made after the tag's epochs were read; ends a claim."""
        self._arena.cache_put(tag, _PACKED[verdicts], not all(verdicts))


def _found(code: int, components: int) -> tuple[tuple[bool, ...] | None, bool]:
    if code >= 0:
        return verdicts_of(code, components), False
    return None, code == _STALE
