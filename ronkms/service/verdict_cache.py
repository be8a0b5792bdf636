"""Verdicts of verifications in the cache that all workers share.

A tag covers, each with its length and in this order: tenant, verify mode, policy generation, key epoch,
algorithm, public key, key version, input kind, signature format, context, digest of the input, signature.
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


class VerdictCache:
    """One verdict a component, packed into bits."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def tag(self, parts: list[bytes]) -> bytes:
        """The 32-byte tag of the parts named above."""
        return self._arena.cache_tag(parts)

    def get(self, tag: bytes, components: int) -> tuple[tuple[bool, ...] | None, bool]:
        """(verdicts, False), (None, False) for a miss, (None, True) for a stale entry."""
        found = self._arena.cache_get(tag)
        if found >= 0:
            return _UNPACKED[components][found], False
        return None, found == _STALE

    def put(self, tag: bytes, verdicts: tuple[bool, ...]) -> None:
        """Keeps verdicts of a verification that was made after the tag's epochs were read."""
        self._arena.cache_put(tag, _PACKED[verdicts], not all(verdicts))
