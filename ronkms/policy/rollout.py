"""Which keys sign hybrid, and with which version (docs/SECURITY.md, "Post-quantum policy")."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ronkms.domain.algorithm import ALGORITHMS
from ronkms.domain.key import Key, KeyVersion
from ronkms.policy.decision import Decision
from ronkms.policy.pq import is_classical

_LABEL: Final = b"ron-kms rollout v1"
_COUNTERPARTS: Final = (
    ("Ed25519", "MLDSA65-Ed25519-SHA512"),
    ("ES256", "MLDSA65-ECDSA-P256-SHA512"),
    ("ES384", "MLDSA87-ECDSA-P384-SHA512"),
)

HYBRID_OF: Final[Mapping[str, str]] = MappingProxyType(
    {classical: hybrid for classical, hybrid in _COUNTERPARTS if hybrid in ALGORITHMS}
)
"""The composite that a key of a classical algorithm moves to. Others, as PS256, do not move."""


def selected(tenant: str, key_id: str, percent: int) -> bool:
    """Whether the key belongs to the first ``percent`` of all keys.

    SHA-256 over ``ron-kms rollout v1``, tenant and key id, each with its length (4 bytes, big-endian); the
    first 8 bytes, big-endian, are the key's place in 2^64. A selected key stays so as ``percent`` grows."""
    if percent in (0, 100):
        return percent == 100
    parts = (_LABEL, tenant.encode(), key_id.encode())
    digest = hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
    return int.from_bytes(digest[:8], "big") * 100 < percent << 64


def signs_hybrid(tenant: str, key_id: str, decision: Decision) -> bool:
    """Whether the policy wants a hybrid version of the key to sign."""
    if not decision.produce_hybrid:
        return False
    return decision.refuses_classical_signing or selected(tenant, key_id, decision.rollout_percent)


def signing_version(key: Key, decision: Decision, *, hybrid_fits: bool = True) -> KeyVersion:
    """The newest enabled version of the kind that the policy wants; of any kind if there is no such.

    ``hybrid_fits``: False for an input that no composite takes (a digest, a signature format): then a
    classical version signs if the key has one. Raises KeyDisabled."""
    newest = key.newest_enabled()
    hybrid = ALGORITHMS[newest.alg].hybrid
    if not hybrid and newest.alg not in HYBRID_OF:
        return newest
    wanted = hybrid_fits and signs_hybrid(key.tenant, key.key_id, decision)
    if hybrid == wanted:
        return newest
    return _newest_other(key, newest, hybrid=wanted) or newest


def lacks_hybrid(key: Key, decision: Decision) -> bool:
    """Whether the policy wants a hybrid version to sign and the key never had one. Raises KeyDisabled."""
    hybrid = HYBRID_OF.get(key.newest_enabled().alg)
    return (
        hybrid is not None
        and key.policy.allows(hybrid)
        and signs_hybrid(key.tenant, key.key_id, decision)
        and not any(ALGORITHMS[version.alg].hybrid for version in key.versions.values())
    )


def _newest_other(key: Key, newest: KeyVersion, *, hybrid: bool) -> KeyVersion | None:
    for number in range(newest.number - 1, 0, -1):
        version = key.versions[number]
        kind_fits = ALGORITHMS[version.alg].hybrid if hybrid else is_classical(version.alg)
        if kind_fits and key.is_usable(number):
            return version
    return None
