"""The algorithms that keys can have, and what each takes.

Names are public API (DESIGN 4). ``cost`` is in admission units: one unit is about the server time of
one Ed25519 signature with its request; a dearer algorithm counts for what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ronkms.errors import BadRequest


class Usage(StrEnum):
    """What a key is for. A key has exactly one usage, for life."""

    SIGN = "sign"
    WRAP = "wrap"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One row of the table: the static facts about an algorithm."""

    name: str
    usage: Usage
    kty: str
    """JWK key type (RFC 7517, 7518, 8037, AKP); ``oct`` for secret keys, which are never exported."""
    components: tuple[str, ...]
    """Names of the verdicts that ``PublicKey.verify`` gives, in order."""
    context: bool = False
    """Takes a context of up to 255 bytes (FIPS 204 section 5.2; composite draft)."""
    digest: str | None = None
    """Takes ``prehashed`` with this digest name."""
    digest_size: int = 0
    mu: bool = False
    """Takes an external mu of 64 bytes (FIPS 204 section 6.2, algorithm 7 line 6)."""
    der: bool = False
    """ECDSA: DER by default, ``p1363`` on request."""
    aad: bool = False
    """Wrapping binds additional authenticated data."""
    cost_private: int = 1
    cost_public: int = 1

    @property
    def hybrid(self) -> bool:
        """True for the IETF composites."""
        return len(self.components) > 1

    @property
    def asymmetric(self) -> bool:
        """True if there is a public key to publish."""
        return self.kty != "oct"


_TABLE: Final = (
    Algorithm("Ed25519", Usage.SIGN, "OKP", ("Ed25519",)),
    Algorithm("ES256", Usage.SIGN, "EC", ("ES256",), digest="sha256", digest_size=32, der=True),
    Algorithm(
        "ES384",
        Usage.SIGN,
        "EC",
        ("ES384",),
        digest="sha384",
        digest_size=48,
        der=True,
        cost_private=2,
        cost_public=3,
    ),
    Algorithm("PS256", Usage.SIGN, "RSA", ("PS256",), digest="sha256", digest_size=32, cost_private=12),
    Algorithm("ML-DSA-44", Usage.SIGN, "AKP", ("ML-DSA-44",), context=True, mu=True, cost_private=2),
    Algorithm("ML-DSA-65", Usage.SIGN, "AKP", ("ML-DSA-65",), context=True, mu=True, cost_private=3),
    Algorithm(
        "ML-DSA-87", Usage.SIGN, "AKP", ("ML-DSA-87",), context=True, mu=True, cost_private=4, cost_public=2
    ),
    Algorithm(
        "MLDSA44-Ed25519-SHA512",
        Usage.SIGN,
        "AKP",
        ("ML-DSA-44", "Ed25519"),
        context=True,
        cost_private=3,
        cost_public=2,
    ),
    Algorithm(
        "MLDSA65-Ed25519-SHA512",
        Usage.SIGN,
        "AKP",
        ("ML-DSA-65", "Ed25519"),
        context=True,
        cost_private=4,
        cost_public=2,
    ),
    Algorithm(
        "MLDSA65-ECDSA-P256-SHA512",
        Usage.SIGN,
        "AKP",
        ("ML-DSA-65", "ES256"),
        context=True,
        cost_private=4,
        cost_public=2,
    ),
    Algorithm(
        "MLDSA87-ECDSA-P384-SHA512",
        Usage.SIGN,
        "AKP",
        ("ML-DSA-87", "ES384"),
        context=True,
        cost_private=6,
        cost_public=5,
    ),
    Algorithm("AES-256-GCM", Usage.WRAP, "oct", (), aad=True),
    Algorithm("AES-KWP", Usage.WRAP, "oct", ()),
    Algorithm("X-Wing", Usage.WRAP, "AKP", (), aad=True, cost_private=3, cost_public=3),
)

ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType({row.name: row for row in _TABLE})


def algorithm(name: str) -> Algorithm:
    """The row of ``name``. Raises :class:`BadRequest` for a name that is not in the table."""
    try:
        return ALGORITHMS[name]
    except KeyError:
        raise BadRequest(f"alg must be one of {', '.join(ALGORITHMS)}", field="/alg") from None
