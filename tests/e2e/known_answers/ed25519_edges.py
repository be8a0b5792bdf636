"""Ed25519 signatures on which verifiers differ, made with plain arithmetic (RFC 8032 section 5.1).

Nothing here is constant-time or meant for use: it only makes test inputs and tells what each
verification rule says about them. ``docs/INTEROP.md`` shows the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    """Edwards addition; complete."""
    product = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P
    return x, y


def multiply(scalar: int, point: Point) -> Point:
    """Double and add."""
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def encode(point: Point) -> bytes:
    """The canonical 32 bytes."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point of any encoding, canonical or not; None if there is none."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, (number & (1 << 255) - 1) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_M1 % P
    if x * x % P != square:
        return None
    return (P - x if x & 1 != sign and x else x, y)


_BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
assert _BASE is not None
BASE: Point = _BASE


def _order_eight() -> Point:
    """A generator of the torsion subgroup: L times some point is one, for about half of all points."""
    for y in range(2, 100):
        point = decode(y.to_bytes(32, "little"))
        if point is not None:
            torsion = multiply(L, point)
            if multiply(4, torsion) != IDENTITY:
                return torsion
    raise AssertionError("no point of order 8")


TORSION: Point = _order_eight()
SMALL_ORDER: frozenset[Point] = frozenset(multiply(number, TORSION) for number in range(8))
ORDER_TWO = multiply(4, TORSION)

SECRET = int.from_bytes(hashlib.sha512(b"ron-kms edge cases: secret").digest(), "little") % L
NONCE = int.from_bytes(hashlib.sha512(b"ron-kms edge cases: nonce").digest(), "little") % L


def challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    """k = SHA-512(R || A || M) mod L."""
    return int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % L


@dataclass(frozen=True)
class Edge:
    """One signature and what four rules say about it."""

    name: str
    public: bytes
    message: bytes
    signature: bytes

    @property
    def _points(self) -> tuple[Point, Point, int, int] | None:
        public, commitment = decode(self.public), decode(self.signature[:32])
        response = int.from_bytes(self.signature[32:], "little")
        if public is None or commitment is None:
            return None
        return public, commitment, response, challenge(self.signature[:32], self.public, self.message)

    def _holds(self, cofactor: int) -> bool:
        if self._points is None:
            return False
        public, commitment, response, k = self._points
        left = multiply(cofactor * response, BASE)
        right = add(multiply(cofactor, commitment), multiply(cofactor * k, public))
        return left == right and response < L

    @property
    def public_is_taken(self) -> bool:
        """Whether ron-kms takes the public key: canonical and not of small order."""
        point = decode(self.public)
        return point is not None and encode(point) == self.public and point not in SMALL_ORDER

    @property
    def ron_kms(self) -> bool:
        """Cofactored, S < L, canonical A and R, A not of small order."""
        point = decode(self.signature[:32])
        canonical = point is not None and encode(point) == self.signature[:32]
        return self.public_is_taken and canonical and self._holds(8)

    @property
    def zip215(self) -> bool:
        """ed25519-zebra: cofactored, S < L, any encoding."""
        return self._holds(8)

    @property
    def cofactorless(self) -> bool:
        """OpenSSL and ed25519-dalek ``verify``: R is recomputed and its canonical bytes compared."""
        if self._points is None:
            return False
        return self._holds(1) and encode(self._points[1]) == self.signature[:32]

    @property
    def strict(self) -> bool:
        """ed25519-dalek ``verify_strict``: cofactorless, neither A nor R of small order."""
        if self._points is None:
            return False
        return self.cofactorless and SMALL_ORDER.isdisjoint(self._points[:2])


def _sign(name: str, public: bytes, commitment: bytes, nonce: int, message: bytes, shift: int = 0) -> Edge:
    response = (nonce + challenge(commitment, public, message) * SECRET) % L + shift
    return Edge(name, public, message, commitment + response.to_bytes(32, "little"))


def _message(public: bytes, commitment: bytes, residue: int) -> bytes:
    """The first message whose challenge is ``residue`` modulo 8 (0) or not 0 modulo 8 (1)."""
    for number in range(1000):
        message = b"edge %d" % number
        if (challenge(commitment, public, message) % 8 != 0) == bool(residue):
            return message
    raise AssertionError("unreachable")


def edges() -> Iterator[Edge]:
    """The table, in the order of ``docs/INTEROP.md``."""
    honest, pure_r = encode(multiply(SECRET, BASE)), encode(multiply(NONCE, BASE))
    mixed_a = encode(add(multiply(SECRET, BASE), TORSION))
    mixed_r = encode(add(multiply(NONCE, BASE), TORSION))
    message = b"edge"
    yield _sign("ordinary signature", honest, pure_r, NONCE, message)
    yield _sign("S + L", honest, pure_r, NONCE, message, shift=L)
    yield _sign("R is the identity", honest, encode(IDENTITY), 0, message)
    yield _sign("R of order 2", honest, encode(ORDER_TWO), 0, message)
    yield _sign("R of order 8", honest, encode(TORSION), 0, message)
    yield _sign("R of mixed order", honest, mixed_r, NONCE, message)
    for residue, text in ((0, "k = 0 mod 8"), (1, "k != 0 mod 8")):
        yield _sign(f"A of mixed order, {text}", mixed_a, pure_r, NONCE, _message(mixed_a, pure_r, residue))
    yield _sign("A and R of mixed order that cancel", *_cancelling(mixed_a))
    sign_bit = 1 << 255
    for text, number in (("y = p + 1", P + 1), ("x = 0 with sign bit", 1 | sign_bit)):
        yield _sign(
            f"R is the identity, not canonical: {text}", honest, number.to_bytes(32, "little"), 0, message
        )
    for text, number in (
        ("identity", 1),
        ("order 2", P - 1),
        ("identity, not canonical: y = p + 1", P + 1),
        ("identity, not canonical: x = 0 with sign bit", 1 | sign_bit),
    ):
        yield _small_public(f"A is small: {text}", number.to_bytes(32, "little"))
    yield _small_public("A is small: order 8", encode(TORSION))


def _cancelling(public: bytes) -> tuple[bytes, bytes, int, bytes]:
    """R = rB + jT with j + k = 0 mod 8, so that the torsion vanishes without the cofactor."""
    for number in range(1000):
        message = b"edge %d" % number
        for j in range(1, 8):
            commitment = encode(add(multiply(NONCE, BASE), multiply(j, TORSION)))
            if (j + challenge(commitment, public, message)) % 8 == 0:
                return public, commitment, NONCE, message
    raise AssertionError("unreachable")


def _small_public(name: str, public: bytes) -> Edge:
    """R = rB, S = r under a public key of small order, with k = 0 mod 8 so that all equations hold."""
    commitment = encode(multiply(NONCE, BASE))
    message = _message(public, commitment, 0)
    return Edge(name, public, message, commitment + NONCE.to_bytes(32, "little"))
